"""Where a text may be split, and how closely its two sides belong together there.

In: Markdown and a span of it that is too long for a chunk. Out: ``SplitPoint``s in order; the text is to be split
first at those of the least cohesion. Nothing is split here and nothing is counted. Time is linear in the span.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

from ingestion import markdown_outline


class Cohesion(IntEnum):
    """How closely the two sides of a split point belong together, the loosest first."""

    SECTION = 0
    BLOCK = 1
    TAIL = 2  # before the last item or sentence of a block that introduces the next one
    NESTED = 3  # a list item and the code or paragraphs that belong to it
    LED = 4  # "For example:", a heading or an admonition's name, and what follows
    PART = 5  # items of a list, stretches of code between blank lines
    ITEM = 6  # items inside items, statements
    SENTENCE = 7
    LINE = 8
    EDGE = 9  # a fence's first and last line, a table's head


class SplitPoint(NamedTuple):
    """An offset in the text, and the cohesion there."""

    offset: int
    cohesion: Cohesion


_LINE = re.compile(r"\n")
# What closes a quotation or a bracket stays with the sentence that it ends.
_CLOSING = r"[\"')\]}»›”’」』）】〉》〕｣］｝〗〛]*"
# Marks that end a sentence without a space behind them: of Chinese and Japanese, Devanagari,
# Arabic and Urdu, Armenian, Ethiopic, Khmer, Burmese, Tibetan, Mongolian.
_STOPS = "。！？｡︒﹒﹖﹗।॥؟۔։፧።፨។៕။།༎᠃᠉"
# "e.g. this" does not end a sentence, "１．５" is a number.
_SENTENCE = re.compile(
    rf"(?<!\.[a-zA-Z])[.!?]{_CLOSING}\s+|(?:[{_STOPS}]|．(?![0-9０-９])){_CLOSING}(?![{_STOPS}])\s*"
    rf"|[!?]{_CLOSING}(?=[\u3040-\u30ff\u3400-\u9fff])"
)
_ITEM = re.compile(r"^([ \t]*)(?:[-*+•]|\d{1,9}[.)])[ \t]", re.MULTILINE)
# A table of reStructuredText begins with a drawn line.
_DRAWN = re.compile(r"[ \t]*[+=][-+= ]{4,}$", re.MULTILINE)
# A sentence that begins like this would be taken for something else if it began a line.
_NEW_BLOCK = ("```", "~~~", "#", "|")
# A line of code that begins like this goes on with what stands above.
_INSIDE = (" ", "\t", "\n", ")", "]", "}")
_LEADS = (":", "：", "**")
_LABEL = re.compile(r"\*\*[^\n]{1,200}\*\*\Z")


def between_blocks(markdown: str, start: int, end: int) -> list[SplitPoint]:
    """Return the split points between the blocks of ``markdown[start:end]``."""
    text = markdown[start:end]
    found: list[SplitPoint] = []
    blocks = (block for block in zip(*markdown_outline.scan(text), strict=True) if block[0] != markdown_outline.BLANK)
    for (kind_before, first, last), (kind, at, _) in pairwise(blocks):
        before = text[first:last]
        cohesion = _cohesion(kind_before, before, kind, is_indented=text[at] in " \t")
        if cohesion in (Cohesion.NESTED, Cohesion.LED) and kind_before == markdown_outline.TEXT:
            loosest = Cohesion.SENTENCE if cohesion == Cohesion.LED else Cohesion.PART
            tails = [first + offset for offset, inner in _prose(before) if inner <= loosest]
            if tails and not text.startswith(_NEW_BLOCK, tails[-1]):
                found.append(SplitPoint(start + tails[-1], Cohesion.TAIL))
        found.append(SplitPoint(start + at, cohesion))
    return found


def _cohesion(kind_before: str, before: str, kind: str, *, is_indented: bool) -> Cohesion:
    """Return the cohesion of two neighbouring blocks, by kind and text of the first, kind and margin of the second."""
    if kind_before == markdown_outline.HEADING:
        return Cohesion.LED
    if kind == markdown_outline.HEADING:
        return Cohesion.SECTION
    before = before.rstrip()
    leads_on = before.endswith(_LEADS) and (before[-1] != "*" or _LABEL.match(before.lstrip()))
    if kind_before == markdown_outline.TEXT and leads_on:
        return Cohesion.LED
    return Cohesion.NESTED if is_indented else Cohesion.BLOCK


def inside_block(markdown: str, start: int, end: int) -> list[SplitPoint]:
    """Return the split points inside the one block ``markdown[start:end]``, by its kind."""
    text = markdown[start:end]
    kind = markdown_outline.TABLE if _DRAWN.match(text) else markdown_outline.kind_at_start(text)
    points = {markdown_outline.FENCE: _code, markdown_outline.TABLE: _rows}.get(kind, _prose)
    return [SplitPoint(start + offset, cohesion) for offset, cohesion in points(text)]


def _code(text: str) -> Iterator[tuple[int, Cohesion]]:
    """Yield the offset at which each line of code but the first begins, with the cohesion there.

    EDGE is behind the first line and before the last, PART behind a blank line, ITEM before a line at the margin of the
    first, LINE before one that is indented or begins with a closing bracket.
    """
    starts = [match.end() for match in _LINE.finditer(text)]
    margin = len(text) - len(text.lstrip(" \t"))
    last = text.rstrip().rfind("\n") + 1
    for before, at in pairwise([0, *starts]):
        if before == 0 or at == last:
            yield at, Cohesion.EDGE
        elif text[before:at].isspace():
            yield at, Cohesion.PART
        else:
            yield at, Cohesion.LINE if text.startswith(_INSIDE, at + margin) else Cohesion.ITEM


def _rows(text: str) -> Iterator[tuple[int, Cohesion]]:
    """Yield the offset at which each row of a table but the first begins, with the cohesion there.

    It is EDGE for the first two of these, and then LINE.
    """
    for number, match in enumerate(_LINE.finditer(text)):
        yield match.end(), Cohesion.EDGE if number < 2 else Cohesion.LINE


def _prose(text: str) -> Iterator[tuple[int, Cohesion]]:
    """Return, in order, the offsets at which lines, sentences and items of lists begin, with the cohesion there.

    The beginning of the text is not among them, its length may be. Where several begin, an item decides, or else a
    sentence.
    """
    found = dict.fromkeys((match.end() for match in _LINE.finditer(text)), Cohesion.LINE)
    found |= {match.end(): Cohesion.SENTENCE for match in _SENTENCE.finditer(text)}
    for item in _ITEM.finditer(text, 1):
        found[item.start()] = Cohesion.ITEM if item.group(1) else Cohesion.PART
    return ((at, found[at]) for at in sorted(found))
