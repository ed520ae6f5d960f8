"""Titles and numbers at the edges of pages, which repeat from page to page → left out and counted.

A running title stands apart from the text, or in smaller letters, at the same edge of at least three pages that are
close to one another; the numbers in it stay, or one of them counts the pages. A row of a table that begins every page
counts otherwise, and the head of such a table stands close to its rows: both are kept.
"""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.pdf.lines import Line, is_same_row, rows

RULE = "running title"
EDGE_ROWS = 2
LEAST_PAGES, LEAST_SHARE = 3, 0.3
# The share of neighbours in which a number must count the pages: chapters may begin anew.
COUNTING_SHARE = 0.6
# A gap so many times as wide as the usual one parts a title from the text; as in ``layout``.
APART = 1.3
SMALLER = 0.92

_NUMBER = re.compile(r"\d{1,9}")
_ROMAN = re.compile(r"[ivxlc]{1,8}", re.IGNORECASE)


class _Edge(NamedTuple):
    """A row at an edge of a page that may be a running title."""

    page: int
    row: Line
    numbers: tuple[int, ...]


def without(pages: list[list[Line]], dropped: DroppedWords) -> list[list[Line]]:
    """Return the lines of each page without those of running titles."""
    shown = [rows(page) for page in pages]
    gaps = [above.bottom - below.bottom for page in shown for above, below in pairwise(page)]
    usual = median(gaps) if gaps else 0.0
    sizes = [line.size for page in shown for line in page]
    body = median(sizes) if sizes else 0.0
    seen: dict[tuple[str, bool], list[_Edge]] = defaultdict(list)
    for number, page in enumerate(shown):
        for is_top, side in ((True, page), (False, page[::-1])):
            for row in _apart(side, usual, body):
                seen[_key(row.text), is_top].append(_Edge(number, row, tuple(map(int, _NUMBER.findall(row.text)))))
    gone: dict[int, list[Line]] = defaultdict(list)
    for edges in filter(_repeats, seen.values()):
        for edge in edges:
            gone[edge.page].append(edge.row)
            dropped.add(RULE, edge.row.text)
    return [
        [line for line in page if not any(is_same_row(line, row) for row in gone[number])]
        for number, page in enumerate(pages)
    ]


def _apart(side: list[Line], usual: float, body: float) -> list[Line]:
    """Return the first rows, from the edge inwards, up to the last that stands apart from what follows it."""
    found = 0
    for at in range(min(EDGE_ROWS, len(side))):
        row = side[at]
        is_last = at + 1 == len(side)
        gap = 0.0 if is_last else abs(row.bottom - side[at + 1].bottom)
        if row.size <= body * 1.05 and (is_last or gap > APART * usual or row.size < SMALLER * body):
            found = at + 1
    return side[:found]


def _key(text: str) -> str:
    """Return a text with every number replaced, so that lines with page numbers are equal."""
    return "(roman)" if _ROMAN.fullmatch(text) else _NUMBER.sub("\0", text)


def _repeats(edges: list[_Edge]) -> bool:
    """Return whether rows of the same words stand on enough pages, and their numbers stay or count the pages."""
    pages = {edge.page for edge in edges}
    if len(pages) < max(LEAST_PAGES, LEAST_SHARE * (max(pages) - min(pages) + 1)):
        return False
    pairs = list(pairwise(edges))
    steps = [[b - a for a, b in zip(one.numbers, other.numbers, strict=True)] for one, other in pairs]
    counts = sum(
        not any(step) or other.page - one.page in step for step, (one, other) in zip(steps, pairs, strict=True)
    )
    return counts >= COUNTING_SHARE * len(pairs)
