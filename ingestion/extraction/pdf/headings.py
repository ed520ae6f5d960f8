"""Which lines of a PDF are headings: those that its outline names, and those in larger or in bold letters.

Where neither gives a heading for every fourth page, each page has one of its own.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from ingestion.extraction.pdf.lines import Line
from ingestion.extraction.pdf.paragraphs import joined

# A heading may be broken into so many lines.
HEADING_LINES = 3
MAX_HEADING_CHARS = 250
# Letters so many times as high as the text's are those of a heading. Bold letters are if the line stands apart by so
# many usual gaps and is no sentence.
LARGER, APART = 1.15, 1.2
MAX_LARGE_CHARS, MAX_BOLD_CHARS = 200, 100
HEADINGS_PER_PAGE = 0.25
MAX_NUMBER_CHARS = 20
DEEPEST = 6

_NOT_WORD = re.compile(r"\W+")
_SECTION_NUMBER = re.compile(r"(?:chapter|appendix|section|part)?\s*(?:\d+|[A-Z])(?:\.\d+)*\.?\s+(?=\S)", re.IGNORECASE)
_NUMBER = re.compile(r"(?:chapter|appendix|section|part)?\s*(?:\d+|[A-Z])(?:\.\d+)*[.:]?", re.IGNORECASE)
_BULLET = re.compile(r"[•▪◦‣⁃∙●○■□➢–-]")


class Entry(NamedTuple):
    """An entry of the outline: ``page`` counts from 0, ``height`` is the position on it, if the outline tells it."""

    level: int
    title: str
    page: int
    height: float | None


class Heading(NamedTuple):
    """A heading of the Markdown; ``page`` counts from 0."""

    level: int
    words: str
    page: int


class OfPage(NamedTuple):
    """The headings of a page by the line before which they stand, and the lines that show them."""

    placed: dict[int, list[Heading]]
    taken: set[int]


class _Body(NamedTuple):
    """How most of the text is set."""

    size: float
    bold: bool
    gap: float


class _Found(NamedTuple):
    """A heading and how many ``lines`` from ``start`` on show it; ``rank`` compares headings by letters."""

    start: int
    lines: int
    words: str
    level: int = 0
    rank: tuple[float, bool] | None = None


def find(pages: Sequence[Sequence[Line]], outline: Sequence[Entry]) -> list[OfPage]:
    """Return the headings of each page."""
    body = _body(pages)
    entries: dict[int, list[Entry]] = defaultdict(list)
    for entry in outline:
        entries[entry.page].append(entry)
    lettered = [list(_lettered(page, body)) for page in pages]
    ranks = sorted({found.rank for page in lettered for found in page if found.rank}, reverse=True)
    is_sparse = not outline and sum(map(len, lettered)) < HEADINGS_PER_PAGE * len(pages)
    last_level = 1  # of the outline's entries
    shown = []
    for number, lines in enumerate(pages):
        outlined = list(_outlined(lines, entries[number]))
        taken = {at for found in outlined for at in range(found.start, found.start + found.lines)}
        free = [found for found in lettered[number] if taken.isdisjoint(range(found.start, found.start + found.lines))]
        placed: dict[int, list[Heading]] = defaultdict(list)
        if is_sparse and lines:
            placed[0].append(Heading(2, f"Page {number + 1}", number))
        for found in sorted([*outlined, *free], key=lambda found: found.start):
            if found.rank is None:
                level = last_level = found.level
            else:
                level = last_level + 1 if outline else ranks.index(found.rank) + (3 if is_sparse else 1)
            placed[found.start].append(Heading(min(level, DEEPEST), found.words, number))
            taken |= set(range(found.start, found.start + found.lines))
        shown.append(OfPage(placed, taken))
    return shown


# --- By the outline -----------------------------------------------------------------------------------


def _outlined(lines: Sequence[Line], entries: list[Entry]) -> Iterator[_Found]:
    """Yield the outline's headings of a page in order."""
    letters = [_letters(line.text) for line in lines]
    start = 0
    for entry in entries:
        at, count = _shown_at(lines, letters, entry.title, start)
        if not count and entry.height is not None:
            height = entry.height
            at = next((number for number, line in enumerate(lines) if line.bottom <= height), len(lines))
        at = max(start, at)
        shown = joined([line.text for line in lines[at : at + count]])  # with the number of the section
        if words := " ".join((shown or entry.title).split()):
            count = count if len(words) <= MAX_HEADING_CHARS else 0  # the lines of a longer one stay in the text
            yield _Found(at, count, words[:MAX_HEADING_CHARS], entry.level)
        start = at + count


def _shown_at(lines: Sequence[Line], letters: list[str], title: str, start: int) -> tuple[int, int]:
    """Return the line from ``start`` on at which the title is shown, and on how many lines; (0, 0) if it is not."""
    wanted = {_letters(title), _letters(_SECTION_NUMBER.sub("", title, count=1))} - {""}
    longest = max(map(len, wanted), default=0) + MAX_NUMBER_CHARS
    for at in range(start, len(lines)):
        whole = ""
        for count in range(1, min(HEADING_LINES, len(lines) - at) + 1):
            whole += letters[at + count - 1]
            if len(whole) > longest:
                break
            shown = " ".join(line.text for line in lines[at : at + count])
            if whole in wanted or _letters(_SECTION_NUMBER.sub("", shown, count=1)) in wanted:
                return at, count
    return 0, 0


def _letters(text: str) -> str:
    """Return the letters and digits of a text, for comparison."""
    return _NOT_WORD.sub("", text).lower()


# --- By the letters -----------------------------------------------------------------------------------


def _body(pages: Sequence[Sequence[Line]]) -> _Body:
    """Return how most of the text is set: size and weight by letters, the gap between lines of that size."""
    styles, gaps = Counter[tuple[float, bool]](), []
    for page in pages:
        for line in page:
            styles[line.size, line.bold] += len(line.text) * (1 if line.mono else 4)
        gaps += [
            above.bottom - below.bottom
            for above, below in pairwise(page)
            if above.column == below.column and above.bottom > below.bottom
        ]
    size, bold = styles.most_common(1)[0][0] if styles else (0.0, False)
    return _Body(size, bold, median(gaps) if gaps else 0.0)


def _lettered(lines: Sequence[Line], body: _Body) -> Iterator[_Found]:
    """Yield the headings of a page that larger or bold letters show, with their ranks."""
    at = 0
    while at < len(lines):
        rank = _rank(lines, at, body)
        end = at + 1
        while rank and end < len(lines) and _is_same_heading(lines[end - 1], lines[end]):
            end += 1
        words = joined([line.text for line in lines[at:end]]) if rank and end - at <= HEADING_LINES else ""
        if words and len(words) <= MAX_HEADING_CHARS:
            yield _Found(at, end - at, words, rank=rank)
        at = end


def _rank(lines: Sequence[Line], at: int, body: _Body) -> tuple[float, bool] | None:
    """Return the size and weight of a line that may be a heading, else None."""
    line = lines[at]
    text = line.text
    is_row = len(line.cells) > 2 or (len(line.cells) == 2 and not _NUMBER.fullmatch(line.cells[0].text))
    if line.mono or is_row or sum(map(str.isalpha, text[:MAX_LARGE_CHARS])) < 2 or _BULLET.match(text):
        return None
    if line.size >= LARGER * body.size and len(text) <= MAX_LARGE_CHARS:
        return line.size, line.bold
    before = lines[at - 1] if at else None
    is_apart = before is None or not 0 < before.bottom - line.bottom <= APART * body.gap or before.size > line.size
    is_sentence = text.endswith((".", ",", ";", ":", "…"))
    if line.bold and not body.bold and is_apart and not is_sentence and line.size >= 0.95 * body.size:
        return (line.size, True) if len(text) <= MAX_BOLD_CHARS else None
    return None


def _is_same_heading(line: Line, below: Line) -> bool:
    """Return whether a heading goes on with the line below it."""
    is_close = 0 < line.bottom - below.bottom <= 1.6 * line.size
    return is_close and line.column == below.column and (line.size, line.bold) == (below.size, below.bold)
