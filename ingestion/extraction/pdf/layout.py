"""The lines of a PDF, with their positions on their pages → headings and paragraphs.

Headings come from the document's outline, and where there is none each page has one; either leads to its page.
Lines become paragraphs by the gaps between them, words that are hyphenated at the end of a line become whole,
and lines at the edge of every page (running titles, page numbers) are left out.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import NamedTuple

# A gap so many times as wide as the page's usual one parts paragraphs; within them it varies by a few percent.
PARAGRAPH_GAP = 1.3
# A line at the edge of so many pages, and of this share of all, is a running title.
RUNNING_PAGES, RUNNING_SHARE = 3, 0.3
EDGE_LINES = 2
# A heading may be broken into so many lines.
HEADING_LINES = 3
MAX_HEADING_CHARS = 250

_HYPHEN = "-\u00ad\x02\ufffe"
_BULLET = re.compile(r"[•▪◦‣⁃∙●○■□➢\uf0b7\uf0a7][ \t]*|[–-][ \t]+")
_NUMBERED = re.compile(r"\(?(?:\d{1,3}|[a-z])[.)][ \t]")
_NOT_WORD = re.compile(r"\W+")
_DIGITS = re.compile(r"\d+")
_SECTION_NUMBER = re.compile(r"(?:chapter|appendix|section|part)?\s*(?:\d+|[A-Z])(?:\.\d+)*\.?\s+(?=\S)", re.IGNORECASE)
_MARKUP = re.compile(r"(?=#{1,6}[ \t]|```|~~~|\|)")
_ENDS = (".", "!", "?", ":", ";")


class Line(NamedTuple):
    """A line of text, and the heights of its edges above the bottom of the page."""

    text: str
    bottom: float
    top: float


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


Block = str | Heading


def blocks(pages: list[list[Line]], outline: list[Entry]) -> list[Block]:
    """Return headings and paragraphs in order, without running titles and page numbers."""
    edges = Counter(key for page in pages for key in {_key(page[at]) for at in range(len(page)) if _is_edge(page, at)})
    least = max(RUNNING_PAGES, RUNNING_SHARE * len(pages))
    running = {key for key, count in edges.items() if count >= least}
    by_page: dict[int, list[Entry]] = defaultdict(list)
    for entry in outline:
        by_page[entry.page].append(entry)
    found: list[Block] = []
    for number, page in enumerate(pages):
        lines = [line for at, line in enumerate(page) if not _is_edge(page, at) or _key(line) not in running]
        if not outline and lines:
            found.append(Heading(2, f"Page {number + 1}", number))
        more = list(_blocks_of_page(lines, by_page[number]))
        last, first = found[-1] if found else "", more[0] if more else ""
        # A paragraph goes on where a page ends within a sentence.
        if isinstance(last, str) and isinstance(first, str) and last[-1:] not in ("", *_ENDS) and first[:1].islower():
            found[-1] = _joined(last, first)
            more = more[1:]
        found.extend(more)
    return found


def _is_edge(page: list[Line], at: int) -> bool:
    """Return whether a line is one of the first or last of its page."""
    return at < EDGE_LINES or at >= len(page) - EDGE_LINES


def _key(line: Line) -> str:
    """Return a line's text with every number replaced, so that lines with page numbers are equal."""
    return _DIGITS.sub("#", line.text)


def _blocks_of_page(lines: list[Line], entries: list[Entry]) -> Iterator[Block]:
    """Yield the headings and paragraphs of one page; a wide gap or the start of a list item begins a paragraph."""
    headings, taken = _placed(lines, entries)
    gaps = [above.bottom - below.bottom for above, below in pairwise(lines)]
    usual = median([gap for gap in gaps if gap > 0] or [0])
    text = ""
    for at, line in enumerate(lines):
        parted = at > 0 and not 0 < gaps[at - 1] <= PARAGRAPH_GAP * usual
        begins_item = _BULLET.match(line.text) or _NUMBERED.match(line.text)
        if text and (at in headings or at in taken or parted or begins_item):
            yield text
            text = ""
        yield from headings.get(at, [])
        if at not in taken:
            text = _joined(text, line.text) if text else _plain(line.text)
    if text:
        yield text
    yield from headings.get(len(lines), [])


def _placed(lines: list[Line], entries: list[Entry]) -> tuple[dict[int, list[Block]], set[int]]:
    """Return headings by the line before which they stand, and the lines that show them."""
    headings: dict[int, list[Block]] = defaultdict(list)
    taken: set[int] = set()
    start = 0
    for entry in entries:
        at, count = _shown_at(lines, entry.title, start)
        if not count and entry.height is not None:
            height = entry.height
            at = next((number for number, line in enumerate(lines) if line.bottom <= height), len(lines))
        at = max(start, at)
        words = " ".join(entry.title.split())[:MAX_HEADING_CHARS]
        headings[at] += [Heading(entry.level, words, entry.page)] if words else []
        taken |= set(range(at, at + count))
        start = at + count
    return headings, taken


def _shown_at(lines: list[Line], title: str, start: int) -> tuple[int, int]:
    """Return the line from ``start`` on at which the title is shown, and on how many lines; (0, 0) if it is not."""
    wanted = {_word(title), _word(_SECTION_NUMBER.sub("", title, count=1))} - {""}
    for at in range(start, len(lines)):
        whole = ""
        for count, line in enumerate(lines[at : at + HEADING_LINES], 1):
            whole += line.text + " "
            if _word(whole) in wanted or _word(_SECTION_NUMBER.sub("", whole, count=1)) in wanted:
                return at, count
    return 0, 0


def _word(text: str) -> str:
    """Return the letters and digits of a text, for comparison."""
    return _NOT_WORD.sub("", text).lower()


def _plain(text: str) -> str:
    """Return the first line of a paragraph, with Markdown's bullet and without accidental markup."""
    bullet = _BULLET.match(text)
    return f"- {text[bullet.end() :]}" if bullet else _MARKUP.sub(r"\\", text, count=1) if _MARKUP.match(text) else text


def _joined(text: str, line: str) -> str:
    """Return a text and its next line joined; a word that was hyphenated at the end of the text becomes whole."""
    if text[-1] in _HYPHEN and text[-2:-1].isalpha() and line[:1].islower():
        return text[:-1] + line
    return f"{text} {line}"
