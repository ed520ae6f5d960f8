"""Where a text may be cut, and how firmly it holds together there.

In: Markdown and a stretch of it that is too long for a chunk. Out: ``SplitPoint``s in order; those with the least grip
are to be opened first. Nothing is cut here and nothing is counted. Time is linear in the stretch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

from ingestion import markdown_outline


class Cohesion(IntEnum):
    SECTION = 0
    BLOCK = 1
    TAIL = 2  # before the last item or sentence of what leads on to the next block
    NESTED = 3  # a list item and the code or paragraphs that belong to it
    LED = 4  # "For example:", a heading or an admonition's name, and what follows
    PART = 5  # items of a list, stretches of code between blank lines
    ITEM = 6  # items inside items, statements
    SENTENCE = 7
    LINE = 8
    EDGE = 9  # a fence's first and last line, a table's head


LEADING = (Cohesion.NESTED, Cohesion.LED)


class SplitPoint(NamedTuple):
    at: int
    grip: Cohesion


_LINE = re.compile(r"\n")
# "e.g. this" does not end a sentence.
_SENTENCE = re.compile(r"(?<!\.[a-zA-Z])[.!?][\"')\]]*\s+|[。！？]")
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
    text = markdown[start:end]
    found: list[SplitPoint] = []
    before = ""  # the kind of the last block that is not blank, and where it lies
    first = last = 0
    for kind, at, stop in zip(*markdown_outline.scan(text), strict=True):
        if kind == markdown_outline.BLANK:
            continue
        if before:
            grip = _grip(before, kind, text, first, last, at)
            if grip in LEADING and before == markdown_outline.TEXT:
                found += _tail(text, first, last, grip, start)
            found.append(SplitPoint(start + at, grip))
        before, first, last = kind, at, stop
    return found


def _tail(text: str, first: int, last: int, grip: Cohesion, start: int) -> list[SplitPoint]:
    loosest = Cohesion.SENTENCE if grip == Cohesion.LED else Cohesion.PART
    tails = [first + at for at, found in _prose(text[first:last]) if found <= loosest]
    return [SplitPoint(start + at, Cohesion.TAIL) for at in tails[-1:] if not text.startswith(_NEW_BLOCK, at)]


def _grip(before: str, kind: str, text: str, first: int, last: int, at: int) -> Cohesion:
    """Of the seam at the start of a block, behind one from ``first`` to ``last``."""
    if before == markdown_outline.HEADING:
        return Cohesion.LED
    if kind == markdown_outline.HEADING:
        return Cohesion.SECTION
    if before == markdown_outline.TEXT and _leads(text[first:last]):
        return Cohesion.LED
    return Cohesion.NESTED if text[at] in " \t" else Cohesion.BLOCK


def _leads(paragraph: str) -> bool:
    paragraph = paragraph.rstrip()
    return paragraph.endswith(_LEADS) and (paragraph[-1] != "*" or bool(_LABEL.match(paragraph.lstrip())))


def inside_block(markdown: str, start: int, end: int) -> list[SplitPoint]:
    text = markdown[start:end]
    kind = markdown_outline.TABLE if _DRAWN.match(text) else markdown_outline.kind_at_start(text)
    seams = {markdown_outline.FENCE: _code, markdown_outline.TABLE: _rows}.get(kind, _prose)
    return [SplitPoint(start + at, grip) for at, grip in seams(text)]


def _code(text: str) -> Iterator[tuple[int, Cohesion]]:
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
    for number, match in enumerate(_LINE.finditer(text)):
        yield match.end(), Cohesion.EDGE if number < 2 else Cohesion.LINE


def _prose(text: str) -> Iterator[tuple[int, Cohesion]]:
    grips = dict.fromkeys((match.end() for match in _LINE.finditer(text)), Cohesion.LINE)
    grips |= {match.end(): Cohesion.SENTENCE for match in _SENTENCE.finditer(text)}
    for item in _ITEM.finditer(text, 1):
        grips[item.start()] = Cohesion.ITEM if item.group(1) else Cohesion.PART
    return ((at, grips[at]) for at in sorted(grips))
