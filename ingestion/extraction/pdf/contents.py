"""Lines of dots that lead to a number: those of a table of contents are left out and counted, others become rows."""

from __future__ import annotations

import re
from itertools import pairwise
from statistics import median

from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.pdf.lines import Cell, Line

RULE = "table of contents"
# So many such lines on a page, their numbers in order and none beyond the last page, are a table of contents.
LEAST_LINES = 3
# Pages may be counted from a later one than the first, and a part of a book may name pages of another.
MORE_PAGES = 50

_LEADER = re.compile(r"(?:[.·][ ]?){4,}|(?:…[ ]?){2,}|(?:_[ ]?){6,}")
_ENDS_WITH_NUMBER = re.compile(r"(?:^|\s)\d{1,4}$")
_PAGE_NUMBER = re.compile(r"\d{1,4}|[ivxlc]{1,8}", re.IGNORECASE)


def without(pages: list[list[Line]], dropped: DroppedWords) -> list[list[Line]]:
    """Return the lines of each page without tables of contents; other lines with a row of dots become two cells."""
    return [_of_page(page, len(pages), dropped) for page in pages]


def _of_page(page: list[Line], count: int, dropped: DroppedWords) -> list[Line]:
    """Return the lines of a page without those of a table of contents, whose words are added to ``dropped``.

    Such lines end with dots and a page number: at least LEAST_LINES of them, in order, none more than MORE_PAGES beyond
    ``count``, the number of pages. Lines that end with a number at the same edge go with them. Any other line with dots
    becomes two cells.
    """
    led = {at: cells for at, line in enumerate(page) if (cells := _cells(line))}
    numbered = {at: None for at, cells in led.items() if _PAGE_NUMBER.fullmatch(cells[-1].text)}
    numbers = [int(led[at][-1].text) for at in numbered if led[at][-1].text.isdecimal()]
    is_in_order = (
        all(one <= other for one, other in pairwise(numbers)) and max(numbers, default=0) <= count + MORE_PAGES
    )
    if len(numbered) < LEAST_LINES or not is_in_order:
        return [line._replace(cells=led.get(at, line.cells)) for at, line in enumerate(page)]
    # Chapters often have no dots, but their numbers end where the others do.
    edge = median(page[at].right for at in numbered)
    kept = []
    for at, line in enumerate(page):
        if at in numbered or (abs(line.right - edge) < line.size and _ENDS_WITH_NUMBER.search(line.text)):
            dropped.add(RULE, " ".join(cell.text for cell in led.get(at, line.cells)))
        else:
            kept.append(line._replace(cells=led.get(at, line.cells)))
    return kept


def _cells(line: Line) -> tuple[Cell, ...]:
    """Return what stands before and after the dots of a line, if both do."""
    text = line.text
    leader = _LEADER.search(text)
    if line.mono or not leader:
        return ()
    before, after = text[: leader.start()].strip(), _LEADER.sub(" ", text[leader.end() :]).strip(" .")
    width = (line.right - line.left) / len(text)
    ends = (
        Cell(before, line.left, line.left + width * len(before)),
        Cell(after, line.right - width * len(after), line.right),
    )
    return ends if before and after else ()
