"""Containers between lines of colons, as Docusaurus, VitePress, Starlight and markdown-it-container write them.

``:::note[Title]{.class}``, ``::: details Title``, ``:::``; the text between is read as usual.
"""

from __future__ import annotations

import re

from ingestion.extraction.admonitions import KNOWN, UNNAMED
from ingestion.extraction.markdown.dialect import Block, BlockRule, Dialect


def _read_container(block: Block, match: re.Match[str]) -> int:
    kind, bracketed, rest = match.groups()
    title = bracketed if bracketed is not None else re.sub(r"\{[^{}]*\}", "", rest).strip(" :")
    kind = (kind or "container").lower()
    block.title(kind if kind in KNOWN or kind in UNNAMED else "container", title)
    return block.line + 1


DIALECT = Dialect(
    blocks=(
        BlockRule(
            ":",
            re.compile(r":{3,}[ \t]*([A-Za-z][\w./-]{0,60})?[ \t]*(?:\[([^\]\n]*)\])?([^\n]*)$"),
            _read_container,
        ),
    ),
)
