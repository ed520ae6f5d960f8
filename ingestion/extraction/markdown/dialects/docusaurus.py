"""Containers between lines of colons, as Docusaurus, VitePress, Starlight, Nuxt and GitLab write them.

``:::note[Title]{.class}``, ``::: details Title``, ``:::``, ``::alert{title="x"}``, ``:badge[words]{.class}``; the text
between is read as usual. What stands in a fence ``mdx-code-block`` is MDX.
"""

from __future__ import annotations

import re
from html import escape

from ingestion.extraction.admonitions import KNOWN, UNNAMED
from ingestion.extraction.markdown.components import properties
from ingestion.extraction.markdown.dialect import Block, BlockRule, Dialect, InlineRule, Page


def _read_container(block: Block, match: re.Match[str]) -> int:
    """Add the name of a note or box that a line of colons begins; return the number of the next line.

    The title is the text in brackets, else the property ``title`` or ``label``, else the words after the kind. A line
    that ends a box adds nothing.
    """
    kind, bracketed, rest = match.group(1), match.group(2), match.group(3) or ""
    given = dict(properties(rest[1:-1])) if rest.startswith("{") and rest.endswith("}") else {}
    named = given.get("title", given.get("label", re.sub(r"\{[^{}]*\}", "", rest).strip(" :")))
    title = bracketed if bracketed is not None else named
    kind = (kind or "container").lower()
    block.title(kind if kind in KNOWN or kind in UNNAMED else "container", title)
    return block.line + 1


def _words(match: re.Match[str], _: Page) -> str:
    """Return the words in the brackets of a mark such as ``:badge[words]{…}`` as HTML; empty without brackets."""
    return escape(match.group(1) or "", quote=False)


def _read_mdx(block: Block, info: str, content: str) -> bool:
    """Add the content of an ``mdx-code-block`` fence as Markdown; return False, and add nothing, for another fence."""
    if info.strip() != "mdx-code-block":
        return False
    block.markdown(content)
    return True


DIALECT = Dialect(
    blocks=(
        BlockRule(
            ":",
            re.compile(r":{3,}[ \t]*([A-Za-z][\w./-]{0,60})?[ \t]*(?:\[([^\]\n]*)\])?([^\n]*)$"),
            _read_container,
        ),
        BlockRule(":", re.compile(r"::(?!:)([A-Za-z][\w-]{0,60})?(?:\[([^\]\n]*)\])?(\{[^\n]*\})?$"), _read_container),
    ),
    marks=(InlineRule(":", re.compile(r"(?<![\w:]):[a-z][\w-]{0,40}(?:\[([^\[\]\n]*)\])?\{[^{}\n]*\}"), _words),),
    fences=(_read_mdx,),
)
