"""Tables of reStructuredText → rows of cells, each cell the lines that stand in it; rows → a Markdown table.

Cells that span rows have no counterpart in Markdown: such a table gives no rows, and its text stays as it is.
"""

from __future__ import annotations

import csv
import re
from itertools import pairwise

from ingestion.extraction.markdown.lines import dedent, indent_of

Row = list[list[str]]

SIMPLE_BORDER = re.compile(r"={2,}(?:[ \t]+={2,})+$")
GRID_BORDER = re.compile(r"\+(?:[-=]{2,}\+)+$")
_SPANS_ROWS = re.compile(r"\+[-=]{2,}\+|^\+[-=]{2,}|[-=]{2,}\+$")
_COLUMNS = re.compile(r"=+")
_UNDERLINE = re.compile(r"-{2,}(?:[ \t]+-{2,})*$")
_BREAKS = re.compile(r"[ \t]*\n\s*")
_FENCE = re.compile(r"^(`{3,})[^\n`]*\n(.*?)\n\1$", re.DOTALL)
MAX_COLUMNS = 200  # more is no table that somebody wrote


def grid(lines: list[str]) -> list[Row]:
    """Return the rows of a table drawn with ``+--+--+``; none if cells span rows."""
    cuts = [i for i, mark in enumerate(lines[0]) if mark == "+"]
    if len(cuts) > MAX_COLUMNS or any(_SPANS_ROWS.search(line) for line in lines if not GRID_BORDER.match(line)):
        return []
    rows: list[Row] = []
    fresh = True
    for line in lines:
        if GRID_BORDER.match(line):
            fresh = True
            continue
        if fresh:
            rows.append([[] for _ in cuts[1:]])
            fresh = False
        _add_grid_line(rows[-1], line, cuts)
    return rows


def _add_grid_line(row: Row, line: str, cuts: list[int]) -> None:
    """Add a line to the cells of a row; where the bar between two columns is missing, the cell goes on."""
    start = 0
    for number, (_, right) in enumerate(pairwise(cuts)):
        if right < len(line) and line[right] != "|" and number < len(cuts) - 2:
            continue
        row[start].append(line[cuts[start] + 1 : right].rstrip())
        start = number + 1


def simple(lines: list[str]) -> list[Row]:
    """Return the rows of a table between lines of ``=== ===``; an empty first column continues the row above."""
    starts = [match.start() for match in _COLUMNS.finditer(lines[0])][:MAX_COLUMNS]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    rows: list[Row] = []
    for line in lines:
        if SIMPLE_BORDER.match(line) or _UNDERLINE.match(line):
            continue
        cells = [line[start:end].rstrip() for start, end in spans]
        if (not rows and line) or cells[0].strip():
            rows.append([[] for _ in spans])
        for held, cell in zip(rows[-1] if rows else [], cells, strict=False):
            held.append(cell)
    return rows


def end_of_simple(lines: list[str], at: int) -> int:
    """Return the line after the last border: the third one if a line follows the second directly, else the second."""
    borders = 0
    for number in range(at, len(lines)):
        if SIMPLE_BORDER.match(lines[number]):
            borders += 1
            under = lines[number + 1] if number + 1 < len(lines) else ""
            if borders > 1 and not under:
                return number + 1
    return 0


def from_list(lines: list[str]) -> list[Row]:
    """Return the rows of a ``.. list-table::``, a list of lists of cells."""
    return [_items(row) for row in _items(lines)]


def _items(lines: list[str]) -> list[list[str]]:
    lines = dedent(lines)
    items: list[list[str]] = []
    for line in lines:
        if line[:2].rstrip() in ("*", "-", "+") and indent_of(line) == 0:
            items.append([line[2:]])
        elif items:
            items[-1].append(line[2:] if not line[:2].strip() else line)
    return items


def from_csv(lines: list[str], options: dict[str, str]) -> list[Row]:
    delimiter = {"tab": "\t", "space": " "}.get(options.get("delim", ""), options.get("delim", ",")) or ","
    head = [options["header"]] if options.get("header") else []
    try:
        rows = list(csv.reader([*head, *dedent(lines)], delimiter=delimiter[:1], skipinitialspace=True))
    except csv.Error:
        return []
    return [[cell.split("\n") for cell in row] for row in rows if row]


def pipe_table(rows: list[list[str]]) -> str:
    """Return a pipe table; its first row is the head, because Markdown has no table without one."""
    width = max(map(len, rows))
    lines = ["| " + " | ".join([*row, *[""] * (width - len(row))]) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


def cell(lines: list[str]) -> list[str]:
    return dedent([line.rstrip() for line in lines])


def flat(blocks: list[str]) -> str:
    """Return a cell's blocks on one line."""
    words = " ".join(_BREAKS.sub(" ", _FENCE.sub(r"`\2`", block)) for block in blocks)
    return words.replace("|", "\\|").strip()
