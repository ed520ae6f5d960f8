"""The directives of reStructuredText by name, and the parts of the lines under them."""

from __future__ import annotations

import re

from ingestion.extraction.rst.lines import dedent

CODE = {
    "code", "code-block", "sourcecode", "console", "parsed-literal", "math", "doctest", "testcode", "prompt",
    "ipython", "jupyter-execute", "code-cell", "productionlist", "mermaid",
}  # fmt: skip
# Those whose argument is no language.
LANGUAGE_OF = {
    "parsed-literal": "",
    "console": "console",
    "math": "math",
    "doctest": "pycon",
    "testcode": "python",
    "prompt": "console",
    "ipython": "pycon",
    "jupyter-execute": "python",
    "productionlist": "",
    "mermaid": "mermaid",
}
# Those whose argument is the first line of what they show.
ARGUMENT_IS_CODE = {"math"}
DROPPED = {
    "autosummary", "bibliography", "codeauthor", "contents", "cssclass", "default-domain", "default-role", "digraph",
    "graphviz", "include", "index", "inheritance-diagram", "meta", "raw", "rst-class", "role", "sectionauthor",
    "sectnum", "tabularcolumns", "tags", "target-notes", "testcleanup", "testsetup", "toctree", "unicode",
}  # fmt: skip
# Targets for references in Django's documentation: nothing is shown where they stand.
INVISIBLE = {"setting", "templatetag", "templatefilter", "fieldlookup"}
CONTAINERS = {
    "compound", "container", "epigraph", "glossary", "grid", "highlights", "hlist", "ifconfig", "only", "pull-quote",
    "tab-set", "tab-set-code", "tabs",
}  # fmt: skip
LABELS = {
    "versionadded": "New in version",
    "versionchanged": "Changed in version",
    "versionremoved": "Removed in version",
    "deprecated": "Deprecated since version",
    "seealso": "See also",
}
NOTES = {"note", "warning", "tip", "hint", "important", "caution", "danger", "attention", "error", "todo", "seealso"}
VERSIONS = {"versionadded", "versionchanged", "versionremoved", "deprecated"}
TITLED = {
    "admonition", "card", "centered", "dropdown", "grid-item-card", "grid-item", "group-tab", "rubric", "sidebar",
    "tab", "tab-item", "topic",
}  # fmt: skip
TABLES = {"table", "list-table", "csv-table"}

OPTION = re.compile(r":([\w-]{1,40}):(?:[ \t]+(.*))?$")


def label_of(name: str, argument: str) -> str:
    """Return the first words of a note, a version mark or a titled box; empty for other directives."""
    if name in TITLED:
        return argument
    if name in VERSIONS:
        return f"{LABELS[name]} {argument.partition(' ')[0]}:"
    return LABELS.get(name, name.capitalize()) if name in NOTES else ""


def beside_name(name: str, argument: str) -> str:
    """Return the part of the argument that belongs to the text."""
    if name in VERSIONS:
        return argument.partition(" ")[2]
    return argument if name in NOTES else ""


def split_body(body: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """Return the options, the lines that continue the first one, and those after the first blank line or option."""
    end = next((i for i, line in enumerate(body) if not line), len(body))
    options: dict[str, str] = {}
    head: list[str] = []
    for line in body[:end]:
        if option := OPTION.match(line.strip()):
            options[option.group(1)] = option.group(2) or ""
        elif not options:
            head.append(line)
    return options, head, body[end:]


def content_of(argument: str, head: list[str], rest: list[str]) -> list[str]:
    """Return all lines of a directive's text; the first may stand beside the directive's name."""
    body = dedent([*head, *rest])
    return [argument, *body] if head else [argument, "", *body]
