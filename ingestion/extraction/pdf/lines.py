"""The runs of text on a page of a PDF → its lines in the order in which people read them.

In: what ``pdfium_program`` writes of a page. Out: ``Line``s: columns one after the other, each from top to bottom, with
the cells of a row from left to right. Does not know what a line is: a heading, code, part of a table.

Columns of a page are told from columns of a table by the order in which a program drew them, and by their text, which
fills the column and goes on within sentences.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from statistics import median
from typing import NamedTuple

BOLD, MONOSPACED = 1, 2
# A gap so many times as wide as the letters are high parts cells; a space is a quarter of that wide.
CELL_GAP = 1.0
# Lines whose baselines differ by less than this share of the letters' height are one row.
SAME_ROW = 0.35
# A line is bold or monospaced if this share of its letters is.
STYLE_SHARE = 0.9
# Columns of a page: so many lines in each, with so many letters in the usual one.
COLUMN_LINES, COLUMN_CHARS, PROSE_CHARS = 3, 8, 15
# Lines of prose fill their column to this share; so many of them begin within a sentence.
PROSE_FILL, PROSE_CONTINUES = 0.7, 0.25
# Lines drawn column after column change sides once, those drawn row after row at each line.
SIDE_CHANGES = 0.2
# The gap between columns is looked for among so many positions, not at the margins, and is at least so wide.
POSITIONS, MARGIN, LEAST_GUTTER = 240, 0.15, 6.0
MAX_COLUMNS_DEPTH = 3


class Cell(NamedTuple):
    """A part of a line with a wide gap on either side."""

    text: str
    left: float
    right: float


class Line(NamedTuple):
    """A line of text; ``column`` counts the columns of its page from 0, ``order`` the lines as they were drawn."""

    cells: tuple[Cell, ...]
    bottom: float
    size: float
    bold: bool = False
    mono: bool = False
    column: int = 0
    order: int = 0

    @property
    def text(self) -> str:
        """Return the words of all cells."""
        return " ".join(cell.text for cell in self.cells)

    @property
    def left(self) -> float:
        """Return the position of the left edge of the first cell."""
        return self.cells[0].left

    @property
    def right(self) -> float:
        """Return the position of the right edge of the last cell."""
        return self.cells[-1].right


class Run(NamedTuple):
    """Text of one font without a wide gap in it."""

    text: str
    left: float
    right: float
    bottom: float
    size: float
    style: int


def segments(page: Iterable[tuple[int, Sequence[Sequence[object]]]]) -> list[list[Line]]:
    """Return the lines of a page, cut at each wide gap, as one list for each way in which they are turned."""
    turned: dict[int, list[Line]] = defaultdict(list)
    for quarters, drawn in page:
        runs = [Run(*run) for run in drawn]  # type: ignore[arg-type]
        part = [runs[0]]
        for before, run in pairwise(runs):
            is_code = before.style & run.style & MONOSPACED
            if not is_code and not -run.size < run.left - before.right < CELL_GAP * run.size:
                turned[quarters].append(_segment(part, len(turned[quarters])))
                part = []
            part.append(run)
        turned[quarters].append(_segment(part, len(turned[quarters])))
    return sorted(turned.values(), key=len, reverse=True)


def _segment(runs: list[Run], order: int) -> Line:
    """Return runs without a wide gap between them as a line of one cell, on the baseline of its longest run."""
    text = runs[0].text.lstrip()
    for before, run in pairwise(runs):
        width = (run.right - run.left) / max(1, len(run.text.strip()))
        gap = round((run.left - before.right) / width) if width > 0 and before.style & run.style & MONOSPACED else 0
        text += " " * min(gap, 200) + run.text.lstrip() if gap > 1 else run.text
    longest = max(runs, key=lambda run: len(run.text))
    chars = Counter[int]()
    for run in runs:
        for style in (BOLD, MONOSPACED, 0):
            chars[style] += len(run.text.strip()) * (run.style & style == style)
    return Line(
        cells=(Cell(text, runs[0].left, max(run.right for run in runs)),),
        bottom=longest.bottom,
        size=longest.size,
        bold=chars[BOLD] > STYLE_SHARE * chars[0],
        mono=chars[MONOSPACED] > STYLE_SHARE * chars[0],
        order=order,
    )


def in_reading_order(page: list[Line]) -> list[Line]:
    """Return the rows of a page, column by column; ``page`` holds lines that are cut at each wide gap."""
    found = []
    for number, column in enumerate(_columns(page, MAX_COLUMNS_DEPTH)):
        found += [row._replace(column=number) for row in rows(column)]
    return found


def rows(lines: list[Line]) -> list[Line]:
    """Return lines from top to bottom, those on one baseline as one line with their cells from left to right."""
    lines = sorted(lines, key=lambda line: -line.bottom)
    starts = [0]
    for at, line in enumerate(lines):
        first = lines[starts[-1]]
        if not is_same_row(first, line):
            starts.append(at)
    return [_row(lines[start:end]) for start, end in pairwise([*starts, len(lines)]) if end > start]


def is_same_row(one: Line, other: Line) -> bool:
    """Return whether two lines stand on one baseline."""
    return abs(one.bottom - other.bottom) <= SAME_ROW * min(one.size, other.size)


def _row(lines: list[Line]) -> Line:
    """Return lines on one baseline as one, with their cells from left to right, joined where no wide gap parts them.

    Each line has one cell; several are sorted in place. The longest gives position and size; the row is bold or
    monospaced if all of them are.
    """
    if len(lines) == 1:
        return lines[0]
    lines.sort(key=lambda line: line.left)
    cells = [lines[0].cells[0]]
    for line in lines[1:]:
        last, cell = cells[-1], line.cells[0]
        if cell.left - last.right < CELL_GAP * line.size:
            cells[-1] = Cell(f"{last.text} {cell.text}", last.left, max(last.right, cell.right))
        else:
            cells.append(cell)
    longest = max(lines, key=lambda line: len(line.text))
    return longest._replace(
        cells=tuple(cells), bold=all(line.bold for line in lines), mono=all(line.mono for line in lines)
    )


# --- Columns ------------------------------------------------------------------------------------------


def _columns(lines: list[Line], depth: int) -> list[list[Line]]:
    """Return the lines of a page as columns and what stands above, between and below them, in the order of reading.

    ``depth``: how often columns may be divided into columns again.
    """
    gutter = _gutter(lines) if depth and len(lines) >= 2 * COLUMN_LINES else None
    if gutter is None:
        return [lines]
    ordered = sorted(lines, key=lambda line: -line.bottom)
    found: list[list[Line]] = [[]]
    for crosses, group in groupby(ordered, key=lambda line: line.left < gutter < line.right):
        band = list(group)
        left, right = [line for line in band if line.right <= gutter], [line for line in band if line.left >= gutter]
        if crosses or not _are_columns(left, right):
            found[-1] += band
        else:
            found += [*_columns(left, depth - 1), *_columns(right, depth - 1), []]
    return [part for part in found if part]


def _gutter(lines: list[Line]) -> float | None:
    """Return the middle of the widest gap between the margins that the fewest lines cross."""
    start, end = min(line.left for line in lines), max(line.right for line in lines)
    step = (end - start) / POSITIONS
    if step <= 0:
        return None
    changes = [0] * (POSITIONS + 2)
    for line in lines:
        changes[int((line.left - start) / step)] += 1
        changes[int((line.right - start) / step) + 1] -= 1
    crossing, counts = 0, []
    for change in changes:
        crossing += change
        counts.append(crossing)
    inner = range(int(MARGIN * POSITIONS), int((1 - MARGIN) * POSITIONS))
    least = min(counts[at] for at in inner)
    gaps = [list(group) for is_least, group in groupby(inner, key=lambda at: counts[at] == least) if is_least]
    widest = max(gaps, key=len)
    if 2 * least > len(lines) or len(widest) * step < LEAST_GUTTER:
        return None
    return start + (widest[0] + len(widest) / 2) * step


def _are_columns(left: list[Line], right: list[Line]) -> bool:
    """Return whether lines on both sides of a gap are columns of the page rather than of a table."""
    if min(len(left), len(right)) < COLUMN_LINES:
        return False
    if min(median(len(line.text) for line in side) for side in (left, right)) < COLUMN_CHARS:
        return False
    drawn = sorted([(line.order, 0) for line in left] + [(line.order, 1) for line in right])
    changes = sum(before[1] != after[1] for before, after in pairwise(drawn))
    return changes <= max(1, SIDE_CHANGES * min(len(left), len(right))) or (_is_prose(left) and _is_prose(right))


def _is_prose(lines: list[Line]) -> bool:
    """Return whether lines fill their column, and some begin within a sentence where letters have two cases."""
    width = max(line.right for line in lines) - min(line.left for line in lines)
    starts = [line.text[:1] for line in lines]
    cased = [start for start in starts if start.islower() or start.isupper()]
    goes_on = not cased or sum(map(str.islower, cased)) >= PROSE_CONTINUES * len(cased)
    is_long = median(len(line.text) for line in lines) >= PROSE_CHARS or not cased
    return is_long and goes_on and median(line.right - line.left for line in lines) >= PROSE_FILL * width
