"""A table of a page → a pipe table; a table that only lays out a page is none.

Spanned cells keep their columns straight: the words stand in the first cell, the others stay empty. What stands
between cells comes before the table, as in browsers.
"""

from __future__ import annotations

from collections.abc import Callable

from ingestion.extraction.html.parser import Node

# What no cell of a pipe table can hold.
TOO_MUCH = frozenset({"table", "pre", "h1", "h2", "h3", "h4", "h5", "h6"})
CELLS = ("td", "th")
KNOWN = frozenset({"caption", "colgroup", "col", *CELLS})
# Longer spans are mistakes or attacks; the widest table of Django's documentation has 12 columns.
MAX_SPAN = 50
# Beyond these no cells are added to keep columns straight, so that a table grows by a constant factor only.
MAX_COLUMNS = 100


def is_layout(table: Node) -> bool:
    if table.get("role") in ("presentation", "none"):
        return True
    found = rows(table)
    return (
        not found or max(map(len, found)) < 2 or any(node.tag in TOO_MUCH for node in table.walk() if node is not table)
    )


def rows(table: Node) -> list[list[Node]]:
    cells = [[cell for cell in row.elements() if cell.tag in CELLS] for row in _lines(table)]
    return [row for row in cells if row]


def strays(table: Node) -> list[Node | str]:
    """What stands in the table and in no cell of it."""
    groups = [child for child in table.elements() if child.tag != "tr" and any(n.tag == "tr" for n in child.elements())]
    inner = dict.fromkeys([*groups, *_lines(table)])
    between = (child for part in (table, *inner) for child in (*part.children, " ") if child not in inner)
    return [child for child in between if isinstance(child, str) or child.tag not in KNOWN]


def _lines(table: Node) -> list[Node]:
    groups = [[child] if child.tag == "tr" else child.elements() for child in table.elements()]
    return [row for group in groups for row in group if row.tag == "tr"]


def pipe_table(table: Node, words_of: Callable[[Node], str]) -> str:
    """The first row is the head: Markdown has no other tables. A short row stays short."""
    lines: list[list[str]] = []
    hanging: dict[int, int] = {}  # column → rows that a cell above still covers
    for row in rows(table):
        lines.append(_line(row, words_of, hanging))
    lines = [line for line in lines if any(line)]
    if not lines:
        return ""
    head, *body = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|" + " --- |" * len(lines[0]), *body])


def _line(row: list[Node], words_of: Callable[[Node], str], hanging: dict[int, int]) -> list[str]:
    line: list[str] = []
    for cell in row:
        _skip_covered(line, hanging)
        across = max(1, min(_span(cell, "colspan"), MAX_COLUMNS - len(line)))
        down = _span(cell, "rowspan")
        if down > 1:
            hanging.update({len(line) + column: down - 1 for column in range(across)})
        line += [words_of(cell), *[""] * (across - 1)]
    _skip_covered(line, hanging)
    return line


def _skip_covered(line: list[str], hanging: dict[int, int]) -> None:
    while hanging.get(len(line)) and len(line) < MAX_COLUMNS:
        hanging[len(line)] -= 1
        line.append("")


def _span(cell: Node, name: str) -> int:
    value = cell.get(name)
    return min(max(int(value), 1), MAX_SPAN) if value.isascii() and value.isdigit() and len(value) < 6 else 1
