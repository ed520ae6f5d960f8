"""The directives that make a table of a list and of comma-separated values; tables that are drawn docutils reads."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Any

from docutils import nodes
from docutils.parsers.rst.directives import single_char_or_unicode, single_char_or_whitespace_or_unicode
from docutils.statemachine import StringList

from ingestion.extraction.rst.directive import ShownDirective, label


class ListTable(ShownDirective):
    """A table whose rows are the items of a list, and whose cells are the items in these; rows may differ in length."""

    def run(self) -> list[Any]:
        """Return the argument as a title, if there is one, and the content with its bullet lists as tables."""
        title = [label(self.words(self.argument))] if self.argument else []
        return [*title, *(_table(child) if isinstance(child, nodes.bullet_list) else child for child in self.parsed())]


def _table(rows: Any) -> Any:
    """Return a table with a row for each item of the list ``rows``, and a cell for each item of the lists in it.

    An item without a list in it is a row of one cell.
    """
    cells = [[part for inner in row if isinstance(inner, nodes.bullet_list) for part in inner] or [row] for row in rows]
    return nodes.table("", *(nodes.row("", *(nodes.entry("", *cell) for cell in row)) for row in cells))


class CsvTable(ShownDirective):
    """A table of comma-separated values. What cannot be read as such is kept as it is written."""

    def run(self) -> list[Any]:
        """Return the argument as a title, if there is one, and the header and content as a table without empty rows.

        Short rows are filled up with empty cells. Text that is no such values becomes a block of code. A file or an
        address is not read: without content, a line names it.
        """
        title = [label(self.words(self.argument))] if self.argument else []
        file = self.options.get("file") or self.options.get("url") or ""
        if file and not self.content:
            return [*title, *self.named("table", file)]
        try:
            rows = [row for row in [*self._header(), *self._rows(self.content)] if row]
        except (csv.Error, ValueError):  # the second for characters that exclude each other, from Python 3.13 on
            text = "\n".join([self.options.get("header", ""), *self.content]).strip()
            return [*title, nodes.literal_block(text, text, language="")]
        width = max(map(len, rows), default=0)
        cells = ([*map(self._cell, row), *(nodes.entry() for _ in range(width - len(row)))] for row in rows)
        return [*title, nodes.table("", *(nodes.row("", *row) for row in cells))]

    def _header(self) -> list[list[str]]:
        """Return the rows of the header, which some write with commas whatever parts the cells below."""
        lines = self.options.get("header", "").split("\n")
        return max(self._rows(lines), list(csv.reader(lines, skipinitialspace=True)), key=lambda rows: len(rows[0]))

    def _rows(self, lines: Iterable[str]) -> list[list[str]]:
        """Return the cells of each row, read by the options ``delim``, ``quote``, ``escape`` and ``keepspace``.

        An empty line is an empty row. Raises csv.Error if the lines cannot be read.
        """
        delimiter = self._character("delim", single_char_or_whitespace_or_unicode) or ","
        escape = self._character("escape", single_char_or_unicode)
        return list(
            csv.reader(
                (f"{line}\n" for line in lines),
                delimiter=delimiter,
                quotechar=self._character("quote", single_char_or_unicode) or '"',
                escapechar=escape,
                doublequote=escape is None,
                skipinitialspace="keepspace" not in self.options,
            )
        )

    def _character(self, option: str, convert: Any) -> str | None:
        """Return the character that an option sets, or None if it is missing, empty or no single character.

        ``convert`` is docutils' function that reads it from a character, a code or a word such as ``tab``.
        """
        try:
            return str(convert(self.options[option])) if self.options.get(option) else None
        except ValueError:
            return None

    def _cell(self, text: str) -> Any:
        """Return a table cell with ``text`` read as blocks of reStructuredText."""
        entry = nodes.entry()
        self.state.nested_parse(StringList(text.strip().splitlines(), source=""), self.content_offset, entry)
        return entry
