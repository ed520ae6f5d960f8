"""What a role of reStructuredText (``:role:`words```) shows: code, prose, a formula; never the role itself.

In: the role's name and its words. Out: elements of docutils. Known are the roles of docutils, Sphinx and its common
extensions, and those that a page defines; any other names code.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

from ingestion.extraction.rst.page import Page

# The words of these roles are prose; those of any other role name code.
PROSE = {
    "abbr", "abbreviation", "ac", "button", "cite", "citation", "cite:p", "cite:t", "commit", "cve", "bpo", "dfn",
    "doc", "download", "eq", "guilabel", "index", "issue", "kbd", "menuselection", "numref", "pep", "pep-reference",
    "pr", "pull", "pypi", "ref", "rfc", "rfc-reference", "t", "term", "ticket", "title", "title-reference", "user",
}  # fmt: skip
PROSE_PREFIXES = ("bdg", "button")  # of sphinx-design
NUMBERED = {
    "ticket": "#", "issue": "#", "pr": "#", "pull": "#", "user": "@", "pep": "PEP ", "pep-reference": "PEP ",
    "rfc": "RFC ", "rfc-reference": "RFC ", "cve": "CVE-", "bpo": "bpo-", "gh": "GH-",
}  # fmt: skip
VERBATIM = {"code", "literal"}
CALLABLE = {"func", "meth"}
FORMATTED: dict[str, type[Any]] = {
    "emphasis": nodes.emphasis, "strong": nodes.strong, "math": nodes.math,
    "sub": nodes.subscript, "subscript": nodes.subscript, "sup": nodes.superscript, "superscript": nodes.superscript,
}  # fmt: skip
ICONS = ("octicon", "fa", "fab", "fas", "far", "material-regular", "material-outlined", "material-round")
MAX_ROLES = 10  # from a role to the one that it is made of
_VARIABLE = re.compile(r"\{([^{}]*)\}")


def shown(role: str, words: str, page: Page) -> list[Any]:
    """Return what ``:role:`words``` shows on a page; ``words`` may hold docutils' marks of backslashes."""
    written, words = nodes.unescape(words, restore_backslashes=True), nodes.unescape(words)
    role = role.lower()
    for _ in range(MAX_ROLES):
        if role not in page.roles:
            break
        role = page.roles[role]
    bare = role.rpartition(":")[2]
    if element := FORMATTED.get(bare):
        text = written if element is nodes.math else words
        return [element(text, text)]
    if bare in ICONS:
        page.dropped.add("icon", words)
        return []
    kind, _, form = bare.partition(" ")
    if kind == "raw":
        return [nodes.raw(written, written, format=form or "html")]
    if bare == "ref" and not split_target(words)[1]:
        return [nodes.reference(words, " ".join(words.split()), label=nodes.fully_normalize_name(words))]
    text, is_code = text_of(bare, written if bare in VERBATIM else words)
    return [nodes.literal(words, text) if is_code else nodes.inline(words, text)]


def text_of(role: str, words: str) -> tuple[str, bool]:
    """Return the text of a role, and whether it is code."""
    text, target = split_target(words)
    if role in NUMBERED:
        return text if target else f"{NUMBERED[role]}{text}", False
    if role in PROSE or role.startswith(PROSE_PREFIXES):
        return text if target or role not in ("ref", "doc") else text.strip("/").replace("-", " "), False
    if role in ("file", "samp"):
        return _VARIABLE.sub(r"\1", " ".join(words.split())), True
    if role in VERBATIM or role == "":
        return " ".join(words.split()), True
    if target:
        return text, " " not in text
    return shorten(text) + ("()" if role in CALLABLE and not text.endswith(")") else ""), role != "inline"


def split_target(words: str) -> tuple[str, str]:
    """Return (text, target) of ``text <target>``; without a target (text, "")."""
    words = " ".join(words.split())
    if words.endswith(">") and "<" in words:
        text, _, target = words[:-1].rpartition("<")
        return text.strip() or target, target
    return words, ""


def shorten(name: str) -> str:
    """Return ``C`` for ``~a.b.C``; a leading ``!`` or ``.`` is not shown."""
    name = name.lstrip("!")
    return name[1:].rpartition(".")[2] if name.startswith("~") else name.lstrip(".")
