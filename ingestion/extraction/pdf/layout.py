"""The lines of a PDF in reading order → headings, paragraphs, code and tables in Markdown.

Lines become paragraphs by the gaps between them, and words that are hyphenated at the end of a line become whole; lines
in equally wide letters are code, and rows with cells below one another are a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from ingestion.extraction.code_fence import fence
from ingestion.extraction.pdf import headings, tables
from ingestion.extraction.pdf.headings import Entry, Heading, OfPage
from ingestion.extraction.pdf.lines import Line
from ingestion.extraction.pdf.paragraphs import begins_paragraph, goes_on, is_row_like, joined, plain

# Of a document that has more code than this, all is set in equally wide letters.
MOST_CODE = 0.8
# Blank lines in code that are kept; a wider gap ends it.
MOST_BLANK_LINES = 2
MAX_INDENT = 120


class Verbatim(NamedTuple):
    """Code or a table, which no paragraph goes on with."""

    markdown: str


Block = str | Heading | Verbatim


def blocks(pages: list[list[Line]], outline: Sequence[Entry] = ()) -> list[Block]:
    """Return headings, paragraphs, code and tables in order."""
    chars = [(len(line.text), line.mono) for page in pages for line in page]
    if sum(count for count, mono in chars if mono) > MOST_CODE * sum(count for count, _ in chars):
        pages = [[line._replace(mono=False) for line in page] for page in pages]
    found: list[Block] = []
    for page, marks in zip(pages, headings.find(pages, outline), strict=True):
        gaps = [a.bottom - b.bottom for a, b in pairwise(page) if a.column == b.column and a.bottom > b.bottom]
        usual = median(gaps) if gaps else 0.0
        for stretch in _stretches(page, marks):
            if isinstance(stretch, Heading):
                found.append(stretch)
                continue
            for at, block in enumerate(_blocks(stretch, usual)):
                last = found[-1] if found else None
                # A paragraph goes on where a page or column ends within a sentence.
                if at == 0 and isinstance(last, str) and isinstance(block, str) and goes_on(last, block):
                    found[-1] = joined([last, block])
                else:
                    found.append(block)
    return found


def _stretches(page: list[Line], marks: OfPage) -> Iterator[Heading | list[Line]]:
    """Yield the headings of a page, and the lines of one column between them."""
    stretch: list[Line] = []
    for at, line in enumerate(page):
        if stretch and (at in marks.placed or at in marks.taken or stretch[-1].column != line.column):
            yield stretch
            stretch = []
        yield from marks.placed.get(at, [])
        if at not in marks.taken:
            stretch.append(line)
    if stretch:
        yield stretch
    yield from marks.placed.get(len(page), [])


def _blocks(lines: list[Line], usual_gap: float) -> Iterator[str | Verbatim]:
    """Yield the paragraphs, code and tables in lines without a heading between them."""
    paragraph: list[Line] = []
    at = 0
    while at < len(lines):
        rows = 0 if lines[at].mono else tables.rows_from(lines, at)
        count = rows or _code_from(lines, at)
        if paragraph and (count or begins_paragraph(paragraph[-1], lines[at], usual_gap)):
            yield _paragraph(paragraph)
            paragraph = []
        if count:
            part = lines[at : at + count]
            yield Verbatim(tables.markdown(part) if rows else _code(part))
        else:
            paragraph.append(lines[at])
        at += count or 1
    if paragraph:
        yield _paragraph(paragraph)


def _paragraph(lines: list[Line]) -> str:
    """Return the lines of a paragraph joined, those that are alike but for their numbers each on its own."""
    groups: list[list[str]] = [[plain(lines[0].text)]]
    for before, line in pairwise(lines):
        if is_row_like(before, line):
            groups.append([line.text])
        else:
            groups[-1].append(line.text)
    return "\n".join(map(joined, groups))


def _code_from(lines: list[Line], start: int) -> int:
    """Return how many lines from ``start`` on are code."""
    end = start
    while end < len(lines) and lines[end].mono:
        gap = lines[end - 1].bottom - lines[end].bottom if end > start else 0.0
        if not 0 <= gap < (MOST_BLANK_LINES + 1.5) * 1.3 * lines[end].size:
            break
        end += 1
    return end - start


def _code(lines: list[Line]) -> str:
    """Return lines of code as a fence, with the indentation and the blank lines that their positions show."""
    first = min(line.left for line in lines)
    longest = max(lines, key=lambda line: len(line.text))
    width = max((longest.right - longest.left) / len(longest.text), 0.1)
    gaps = sorted(above.bottom - below.bottom for above, below in pairwise(lines))
    step = max(gaps[len(gaps) // 4] if gaps else 0.0, 0.5 * longest.size)
    shown: list[str] = []
    for at, line in enumerate(lines):
        if at:
            blank = round((lines[at - 1].bottom - line.bottom) / step) - 1
            shown += [""] * min(max(blank, 0), MOST_BLANK_LINES)
        text = " ".join(cell.text for cell in line.cells)
        shown.append(" " * min(round((line.left - first) / width), MAX_INDENT) + text)
    return fence("\n".join(shown).replace("\ufffe", "-"))
