"""A table of a page → a pipe table; a table that only lays out a page is none.

A short cell that spans others is repeated in each of them, so that every row can be read by itself; a longer one, and
one that spans the whole table, leaves them empty. Content between cells comes before the table, as in browsers.
"""

from __future__ import annotations

from collections.abc import Callable

from ingestion.extraction.html import code
from ingestion.extraction.html.parser import Node

# Elements that no cell of a pipe table can hold.
UNFIT_FOR_CELLS = frozenset({"table", "pre", "h1", "h2", "h3", "h4", "h5", "h6"})
CELLS = ("td", "th")
KNOWN = frozenset({"caption", "colgroup", "col", *CELLS})
# Longer spans are mistakes or attacks; the widest table of Django's documentation has 12 columns.
MAX_SPAN = 50
# A longer cell would say more than those beside it, again and again.
MAX_REPEATED_CHARS = 60
# Beyond these no cells are added to keep columns straight, so that a table grows by a constant factor only.
MAX_COLUMNS = 100


def is_layout(table: Node) -> bool:
    """Return whether a table only lays out a page: it says so, or has one column, or holds what a cell cannot."""
    if table.get("role") in ("presentation", "none"):
        return True
    found = rows(table)
    if not found or max(map(len, found)) < 2:
        return True
    inner = (node for node in table.walk() if node is not table)
    return any(node.tag in UNFIT_FOR_CELLS or not code.BOXES.isdisjoint(node.classes) for node in inner)


def rows(table: Node) -> list[list[Node]]:
    """Return the cells of each row that has any."""
    cells = [[cell for cell in row.elements() if cell.tag in CELLS] for row in _row_elements(table)]
    return [row for row in cells if row]


def of_javadoc(grid: Node) -> Node:
    """Return the table that Javadoc draws with boxes: the names of the columns, then the cells of all rows."""
    cells = [Node("td", {}, None) for _ in grid.elements()]
    for cell, box in zip(cells, grid.elements(), strict=True):
        cell.children, cell.holds_blocks = box.children, True
    width = max(1, sum("table-header" in box.classes for box in grid.elements()))
    table = Node("table", {}, grid.parent)
    for start in range(0, len(cells), width):
        row = Node("tr", {}, table)
        row.children = list(cells[start : start + width])
        table.children.append(row)
    return table


def strays(table: Node) -> list[Node | str]:
    """Return the content of the table that stands in no cell of it."""
    groups = [child for child in table.elements() if child.tag != "tr" and any(n.tag == "tr" for n in child.elements())]
    inner = dict.fromkeys([*groups, *_row_elements(table)])
    between = (child for part in (table, *inner) for child in (*part.children, " ") if child not in inner)
    return [child for child in between if isinstance(child, str) or child.tag not in KNOWN]


def _row_elements(table: Node) -> list[Node]:
    """Return the ``tr`` elements right inside a table or a part such as ``tbody``, not those of tables in cells."""
    groups = [[child] if child.tag == "tr" else child.elements() for child in table.elements()]
    return [row for group in groups for row in group if row.tag == "tr"]


def pipe_table(table: Node, words_of: Callable[[Node], str], has_room: Callable[[int], bool]) -> str:
    """Return the table in Markdown, empty if it has no words.

    ``words_of`` returns a cell's words, ``has_room`` tells whether so many characters may be added to the page. The
    first row is the head: Markdown has no other tables. A short row stays short.
    """
    found = rows(table)
    width = max((len(row) for row in found), default=0)
    covered: dict[int, tuple[int, str]] = {}  # column → rows that a cell above still covers, and its words
    lines: list[list[str]] = []
    section = None
    for row in found:
        line: list[str] = []
        if row[0].parent and row[0].parent.parent is not section:  # no cell reaches beyond its part of the table
            section = row[0].parent.parent
            covered.clear()
        for cell in row:
            _add_covered(line, covered)
            words = words_of(cell)
            across = max(1, min(_span(cell, "colspan"), MAX_COLUMNS - len(line)))
            down = min(len(found), MAX_SPAN) if cell.get("rowspan") == "0" else _span(cell, "rowspan")
            is_repeated = len(words) <= MAX_REPEATED_CHARS and has_room(len(words) * (across * down - 1))
            copy = words if is_repeated else ""
            if down > 1:
                covered.update({len(line) + column: (down - 1, copy) for column in range(across)})
            line += [words, *[copy if across < width else ""] * (across - 1)]
        _add_covered(line, covered)
        if any(line):
            lines.append(line)
    if not lines:
        return ""
    head, *body = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|" + " --- |" * len(lines[0]), *body])


def _add_covered(line: list[str], covered: dict[int, tuple[int, str]]) -> None:
    """Append to ``line`` the next cells that a cell of an earlier row covers, and count them down in ``covered``.

    ``covered`` maps a column to the number of rows that are still covered there, and the words to repeat in them.
    """
    while len(line) < MAX_COLUMNS and (cell := covered.get(len(line))) and cell[0]:
        covered[len(line)] = (cell[0] - 1, cell[1])
        line.append(cell[1])


def _span(cell: Node, name: str) -> int:
    """Return how many columns or rows a cell covers by its attribute ``name``: from 1 to ``MAX_SPAN``.

    It is 1 too if the attribute is missing, no plain number, or longer than five digits.
    """
    value = cell.get(name)
    return min(max(int(value), 1), MAX_SPAN) if value.isascii() and value.isdigit() and len(value) < 6 else 1
