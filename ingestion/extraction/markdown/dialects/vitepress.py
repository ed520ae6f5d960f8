"""VitePress: files of code, marks in code, and its own components. Its containers are Docusaurus' ones.

``<<< @/file.js{2}``, ``// [!code highlight]``, ``[[toc]]``, ``![a](b =9x9)``, ``{{ $frontmatter.title }}``.
"""

from __future__ import annotations

import re
from html import escape

from ingestion.extraction.markdown.dialect import Block, BlockRule, Dialect, InlineRule
from ingestion.extraction.markdown.dialects.mkdocs import file_note

_MARK = re.compile(r"[ \t]*(?://|#|<!--|/\*|--|;|%)[ \t]*\[!code [^\]\n]{1,60}\][ \t]*(?:-->|\*/)?")


def _read_file(block: Block, match: re.Match[str]) -> int:
    """Add a line that names an included file, if that holds code; return the number of the next line."""
    block.paragraph(file_note(match.group(1)))
    return block.line + 1


DIALECT = Dialect(
    blocks=(
        BlockRule("<", re.compile(r"<<<[ \t]*(\S+)[^\n]*$"), _read_file),
        BlockRule("[", re.compile(r"\[\[toc\]\]$|\[\[_TOC_\]\]$", re.IGNORECASE), lambda block, _: block.line + 1),
    ),
    marks=(
        InlineRule(
            "!", re.compile(r"!\[([^\[\]\n]*)\]\([^()\s]+[ \t]+=[\dx%]+\)"), lambda match, _: escape(match.group(1))
        ),
    ),
    code=(lambda _, code: _MARK.sub("", code) if "[!code" in code else code,),
)
