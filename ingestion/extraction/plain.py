"""Plain text → the same text with its underlined titles as headings; its first line names it if it is short."""

from __future__ import annotations

import re

from ingestion import markdown_outline
from ingestion.extraction.links import BARE_LINK, absolute, file_name
from ingestion.types import Extracted

MAX_TITLE_CHARS = 120
# Readers of markup take time for each line, however short: 10 MB of one-letter paragraphs would take minutes. A text
# with more lines than this, or with many that are so short, is kept as it is written; the chunker still sees its
# headings, fences and tables. The longest page of Python's documentation has 5 000 lines; a line of documentation has,
# blank ones included, 20 to 45 characters.
MAX_LINES = 150_000
MANY_LINES, LEAST_MEAN_CHARS = 10_000, 10

_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*(?:\n|\Z)")


def has_too_many_lines(text: str) -> bool:
    """Return whether a text has too many lines for a reader of markup, or too many for its length."""
    lines = text.count("\n")
    return lines > MAX_LINES or (lines > MANY_LINES and len(text) < LEAST_MEAN_CHARS * lines)


def read(url: str, text: str) -> Extracted:
    """Return plain text as Markdown, named by its first line if that is short, else by its file."""
    text = text.strip("\n")
    first = text.lstrip().partition("\n")[0].strip()
    title = first if 0 < len(first) <= MAX_TITLE_CHARS else file_name(url)
    return Extracted(title=title, markdown=_atx_headings(text), links=absolute(url, BARE_LINK.findall(text)))


def _atx_headings(text: str) -> str:
    """Return the text with underlined titles of one line as ``#`` and ``##``, the only ones that later stages know."""
    parts = []
    for block in markdown_outline.blocks(text):
        part = text[block.start : block.end]
        parts.append(_atx_block(part) if block.kind == markdown_outline.TEXT else part)
    return "".join(parts)


def _atx_block(paragraph: str) -> str:
    """Return a paragraph with its underlined first line as a heading: ``#`` for ``=``, ``##`` for ``-``.

    It is returned unchanged if its second line is no underline, or if its first is too long for a heading or begins
    with the mark of a list, a quotation or a table.
    """
    first, newline, rest = paragraph.partition("\n")
    match = _UNDERLINE.match(rest) if len(first) <= markdown_outline.MAX_HEADING_CHARS else None
    if not newline or not match or first.lstrip().startswith(("-", "*", ">", "|")):
        return paragraph
    marks = "#" if match.group(1).startswith("=") else "##"
    return f"{marks} {first.strip()}\n{rest[match.end() :]}"
