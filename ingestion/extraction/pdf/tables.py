"""Rows with cells below one another → a pipe table.

Lines that stand in one column only, close below a row, go on with the cells above them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from ingestion.extraction.pdf.lines import Cell, Line
from ingestion.extraction.pipe_table import pipe_table

# In letters' heights: how far cells of one column may begin or end apart, and rows stand apart.
ALIGNED, MOST_GAP, CLOSE = 0.7, 4.0, 1.6
LEAST_ROWS = 2
# Lines in a row that only go on with cells above.
MOST_CONTINUED = 12


def rows_from(lines: Sequence[Line], start: int) -> int:
    """Return how many lines from ``start`` on are a table; 0 if none begins there."""
    if len(lines[start].cells) < 2:
        return 0
    full, end = [lines[start]], start + 1
    while end < len(lines) and 0 < lines[end - 1].bottom - lines[end].bottom < MOST_GAP * lines[end].size:
        line = lines[end]
        if len(line.cells) > 1 and _is_aligned(full[-1], line):
            full.append(line)
        elif not _continues(full[-1], line, lines[end - 1]) or end - start > MOST_CONTINUED * len(full):
            break
        end += 1
    return end - start if len(full) >= LEAST_ROWS else 0


def markdown(lines: Sequence[Line]) -> str:
    """Return rows as a pipe table, the first as its head."""
    columns = _columns(lines)
    rows = [_by_column(line, columns) for line in lines]
    gaps = [above.bottom - below.bottom for above, below in pairwise(lines)]
    least = min(gaps, default=0.0)
    whole = [rows[0]]
    for row, gap, line in zip(rows[1:], gaps, lines[1:], strict=True):
        if (not row[0] or len(line.cells) == 1) and gap <= max(CLOSE * line.size, 1.1 * least):
            whole[-1] = [f"{above} {cell}".strip() for above, cell in zip(whole[-1], row, strict=True)]
        else:
            whole.append(row)
    return pipe_table(whole)


def _is_aligned(above: Line, below: Line) -> bool:
    """Return whether a cell after the first begins, ends or has its middle where one above does."""
    near = ALIGNED * below.size
    return any(
        abs(one.left - other.left) < near
        or abs(one.right - other.right) < near
        or abs(one.left + one.right - other.left - other.right) < near
        for one in above.cells[1:]
        for other in below.cells[1:]
    )


def _continues(row: Line, line: Line, before: Line) -> bool:
    """Return whether a line of one cell goes on with a cell of the row above it and stays within its column."""
    if len(line.cells) > 1 or before.bottom - line.bottom > CLOSE * line.size:
        return False
    for at, cell in enumerate(row.cells):
        end = row.cells[at + 1].left if at + 1 < len(row.cells) else line.right
        if abs(cell.left - line.left) < ALIGNED * line.size:
            return line.right <= end
    return False


def _columns(lines: Sequence[Line]) -> list[Cell]:
    """Return where the columns are: by the rows with the most usual number of cells, joined where they overlap."""
    usual = Counter(len(line.cells) for line in lines if len(line.cells) > 1).most_common(1)[0][0]
    cells = sorted((cell for line in lines if len(line.cells) == usual for cell in line.cells), key=lambda c: c.left)
    columns = [cells[0]]
    for cell in cells[1:]:
        last = columns[-1]
        if cell.left < last.right:
            columns[-1] = Cell("", last.left, max(last.right, cell.right))
        else:
            columns.append(cell)
    return columns


def _by_column(line: Line, columns: list[Cell]) -> list[str]:
    """Return the words of a line by columns; a cell stands in the one that it overlaps most, or that is nearest."""
    row = [""] * len(columns)
    for cell in line.cells:
        overlaps = [min(cell.right, column.right) - max(cell.left, column.left) for column in columns]
        at = overlaps.index(max(overlaps))
        row[at] = f"{row[at]} {cell.text}".strip()
    return row
