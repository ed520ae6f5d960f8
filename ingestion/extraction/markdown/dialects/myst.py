"""MyST: directives in fences of backticks or colons, roles, targets.

``` ```{note} words```, ``:::{tip}``, ``{ref}`words <target>` ``, ``(target)=``. A directive that shows code is code, a
table of lists or commas is a table, ``eval-rst`` is read as reStructuredText, an unknown one leaves its words.
"""

from __future__ import annotations

import csv
import re
from html import escape

from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.fence import make_fence_rule

from ingestion.extraction.admonitions import KNOWN, UNNAMED
from ingestion.extraction.markdown.dialect import Block, BlockRule, Dialect, InlineRule, Page, titled
from ingestion.extraction.markdown.dialects.mkdocs import file_note
from ingestion.extraction.rst import reader as rst

# Directives that show code, with its language where the argument is none.
CODE = {
    "code": None, "code-block": None, "sourcecode": None, "code-cell": None, "parsed-literal": "", "math": "math",
    "doctest": "pycon", "testcode": "python", "prompt": "console", "ipython": "pycon", "mermaid": "mermaid",
    "jupyter-execute": "python", "productionlist": "", "console": "console",
}  # fmt: skip
HIDDEN = {
    "autoclass", "autofunction", "automodule", "autosummary", "bibliography", "contents", "currentmodule", "digraph",
    "eval", "graphviz", "include", "index", "meta", "raw", "sectionauthor", "tableofcontents", "tags", "toctree",
    "vimeo", "youtube",
}  # fmt: skip
PICTURES = {"figure", "image", "figure-md", "video", "iframe"}
VERSIONS = {
    "versionadded": "New in version", "versionchanged": "Changed in version", "versionremoved": "Removed in version",
    "deprecated": "Deprecated since version",
}  # fmt: skip
# The argument of these is a name for the machine.
UNTITLED = {"grid", "tab-set", "tabs", "code-group", "div", "margin", "only", "container", "exercise", "math"}
PROSE_ROLES = {
    "abbr", "abbreviation", "cite", "cite:p", "cite:t", "dfn", "doc", "download", "emphasis", "eq", "footcite",
    "guilabel", "index", "kbd", "menuselection", "numref", "pep", "ref", "rfc", "strong", "sub", "subscript", "sup",
    "superscript", "term", "title", "u", "del", "button", "badge", "bdg",
}  # fmt: skip
NUMBERED = {"pep": "PEP ", "rfc": "RFC "}

_DIRECTIVE = re.compile(r"[ \t]*\{([\w:.+-]{1,40})\}[ \t]*(.*)$")
_OPTION = re.compile(r"[ \t]*:([\w-]{1,40}):(?:[ \t]+(.*))?$")
_QUARTO_CHUNK = {"r", "python", "julia", "bash", "sh", "sql", "ojs", "stan", "dot", "js", "css", "html", "rust", "go"}


def _read_directive(block: Block, info: str, content: str) -> bool:
    """Add what a directive shows; return False, and add nothing, if ``info`` does not name a directive."""
    match = _DIRECTIVE.match(info)
    if not match or match.group(1).lower() in _QUARTO_CHUNK:
        return False
    name, argument = match.group(1).lower().rpartition(":")[2], match.group(2).strip()
    options, body = _split_options(content)
    if name in CODE:
        if caption := options.get("caption", ""):
            block.title("container", caption)
        language = CODE[name]
        block.code(body, argument.partition(" ")[0] if language is None else language)
    elif name == "literalinclude":
        block.paragraph(file_note(argument))
    elif name == "eval-rst":
        block.markdown(rst.read("", body).markdown)
    elif name in ("list-table", "csv-table"):
        _add_table(block, name, argument, options, body)
    elif name in HIDDEN:
        block.page.dropped.add("tables of contents and indexes" if name == "toctree" else f"directive {name}", content)
    elif name in PICTURES:
        block.paragraph(options.get("alt", ""))
        block.markdown(body)
    else:
        _add_note(block, name, argument, body)
    return True


def _split_options(content: str) -> tuple[dict[str, str], str]:
    """Return the options above a directive's text, written with colons or between lines of dashes, and the text."""
    lines = content.split("\n")
    options: dict[str, str] = {}
    start = 0
    if lines[0].strip() == "---" and "---" in (line.strip() for line in lines[1:]):
        start = next(i for i, line in enumerate(lines[1:], 1) if line.strip() == "---") + 1
        options = {
            key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines[1 : start - 1])
        }
    else:
        while start < len(lines) and (option := _OPTION.match(lines[start])):
            options[option.group(1)] = (option.group(2) or "").strip()
            start += 1
    return options, "\n".join(lines[start:]).strip("\n")


def _add_note(block: Block, name: str, argument: str, body: str) -> None:
    """Add a note or box; a box's argument is its title, a note's its first words."""
    if name in VERSIONS:
        version, _, words = argument.partition(" ")
        block.state.tokens += titled(f"{VERSIONS[name]} {version}")
        body = f"{words}\n{body}" if words else body
    elif name in KNOWN:
        block.title(name)
        body = f"{argument}\n{body}"
    elif name not in UNTITLED:
        block.title(name if name in UNNAMED else "container", argument)
    block.markdown(body)


def _add_table(block: Block, name: str, title: str, options: dict[str, str], body: str) -> None:
    """Add a table whose rows are lists, or lines with commas."""
    block.title("container", title)
    rows = _rows_of_lists(body) if name == "list-table" else _rows_of_commas(body, options)
    block.html("<table>")
    for row in rows:
        block.html("<tr>")
        for cell in row:
            block.html("<td>")
            block.markdown(cell)
            block.html("</td>")
        block.html("</tr>")
    block.html("</table>")


def _rows_of_lists(body: str) -> list[list[str]]:
    """Return the rows of a table that is written as a list of lists, each row as the texts of its cells."""
    return [_items(row) for row in _items(body)]


def _items(text: str) -> list[str]:
    """Return the texts of the items of a list, which all begin in the same column."""
    items: list[list[str]] = []
    width = len(text) - len(text.lstrip())
    for line in text.split("\n"):
        line = line[width:] if not line[:width].strip() else line
        if line[:1] in ("*", "-", "+") and line[1:2] in (" ", ""):
            items.append(["  " + line[2:]])
        elif items:
            items[-1].append(line)
    return ["\n".join(line[2:] if not line[:2].strip() else line for line in item) for item in items]


def _rows_of_commas(body: str, options: dict[str, str]) -> list[list[str]]:
    """Return the rows of a table with commas, or what the option ``delim`` names, between the cells.

    The option ``header`` is the first row, if it is given. If the text cannot be read so, each line is a row of one
    cell.
    """
    mark = {"tab": "\t", "space": " "}.get(options.get("delim", ""), options.get("delim", ",")[:1] or ",")
    lines = [*([options["header"]] if options.get("header") else []), *body.split("\n")]
    try:
        return list(csv.reader((f"{line}\n" for line in lines), delimiter=mark, skipinitialspace=True))
    except (csv.Error, ValueError):  # the second for a mark that cannot part cells, from Python 3.13 on
        return [[line] for line in lines]


# --- Roles and targets ---------------------------------------------------------------------------------------


def _role(match: re.Match[str], page: Page) -> str:
    """Return the HTML of a role: its words as prose, as a formula, or as a name in code."""
    role, words = match.group(1).lower(), " ".join(match.group(3).split())
    bare = role.rpartition(":")[2]
    if bare == "octicon":
        return ""
    if bare == "math":
        return escape(f"${words}$", quote=False)
    target = ""
    if words.endswith(">") and "<" in words:
        words, _, target = words[:-1].rpartition("<")
        words = words.strip() or target
    if bare in ("sub", "sup", "subscript", "superscript"):
        return f"<{bare[:3]}>{escape(words)}</{bare[:3]}>"
    if bare in PROSE_ROLES or role in PROSE_ROLES or bare.startswith("bdg"):
        shown = words if target or bare not in ("ref", "doc") else words.strip("/").replace("-", " ")
        return escape(NUMBERED.get(bare, "") + shown, quote=False)
    if target and " " in words:
        return escape(words, quote=False)
    words = words[1:].rpartition(".")[2] if words.startswith("~") else words.lstrip("!.")
    call = "()" if bare in ("func", "meth") and not words.endswith(")") else ""
    return f"<code>{escape(words, quote=False)}{call}</code>"


def _read_target(block: Block, match: re.Match[str]) -> int:
    """Add an empty link with the id of a target, ``(name)=``; return the number of the next line."""
    block.html(f'<a id="{escape(match.group(1))}"></a>')
    return block.line + 1


_colon_fence = make_fence_rule(markers=(":",), disallow_marker_in_info=())


def _read_colons(block: Block, _: re.Match[str]) -> int:
    """Add what a directive between lines of colons shows; return the line after it, 0 if there is none."""
    state: StateBlock = block.state
    if not _colon_fence(state, block.line, block.end, False):
        return 0
    token = state.tokens.pop()
    after = state.line
    _read_directive(block, token.info, token.content)
    return after


DIALECT = Dialect(
    blocks=(
        BlockRule(":", re.compile(r":{3,}[ \t]*\{[\w:+-]{1,40}\}"), _read_colons),
        BlockRule("(", re.compile(r"\(([\w:.-]{1,100})\)=$"), _read_target),
        BlockRule("+", re.compile(r"\+\+\+[ \t]*(?:\{[^}]*\})?$"), lambda block, _: block.line + 1),
    ),
    marks=(InlineRule("{", re.compile(r"\{([\w:.+-]{1,40})\}(`+)([^`]+(?:`(?!\2)[^`]*)*?)\2(?!`)"), _role),),
    fences=(_read_directive,),
)
