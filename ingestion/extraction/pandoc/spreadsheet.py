"""A workbook (.xlsx) → Markdown: a heading for each sheet, and tables of its cells as they are shown.

Read by hand: pandoc 3.9 turns 4 into 4.0 and a date into a number, loses texts that stand in their cells, and needs 30
s for 400 000 cells. A merged cell is repeated wherever it covers others, so that each row can be read alone; blank
rows part tables. Formulas are left out, their results are kept; hidden sheets and comments are left out and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from zipfile import ZipFile

from lxml import etree

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.links import file_name
from ingestion.extraction.pandoc import archive as archives
from ingestion.extraction.pipe_table import pipe_table
from ingestion.extraction.sanitize import clean
from ingestion.types import Extracted

# Cells of all sheets, with empty ones between others: larger ones hold data, not documentation.
MAX_CELLS = 200_000
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
# Formats of numbers that are dates, by their ids; those from 164 on are defined in the file.
DATE_FORMATS = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}
PERCENT_FORMATS, ELAPSED_FORMAT = {9, 10}, 46
EPOCH, EPOCH_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)
MAX_MERGED = 100_000  # cells that merged ones cover
MAX_REPEATED_CHARS = 60  # of the text that stands in each of these
MAX_DAYS = 2_958_465  # the end of the year 9999

_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_LITERAL, _IN_BRACKETS = re.compile(r'"[^"]*"|\\.|_.'), re.compile(r"\[[^\]]*\]")
_ELAPSED_CODE = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_DATE_CODE = re.compile(r"[ymdhs]", re.IGNORECASE)
_COMMENTS = re.compile(r"xl/(?:threadedComments/threadedComment|comments)\d*\.xml")

Rows = dict[int, dict[int, str]]  # row → column → text


def read(url: str, body: bytes) -> Extracted:
    """Return a workbook as Markdown. Raises UnsupportedContent if it is damaged, protected, too large or empty."""
    dropped = DroppedWords()
    with archives.opened(url, body) as archive:
        blocks = list(_Workbook(url, archive).blocks(dropped))
        for name in filter(_COMMENTS.fullmatch, archive.namelist()):
            for element in archives.elements(url, archive, name, "comment", "threadedComment"):
                dropped.add("comment of a reviewer", " ".join(element.itertext()))
    if not blocks:
        raise UnsupportedContent(f"no text in {url}")
    return Extracted(file_name(url), clean("\n\n".join(blocks)), dropped=dropped.totals())


class _Workbook:
    """The sheets of a workbook, and what their cells refer to."""

    def __init__(self, url: str, archive: ZipFile) -> None:
        self._url, self._archive = url, archive
        self._left, self._merged_left = MAX_CELLS, MAX_MERGED
        self._strings = [_text(item) for item in self._elements("xl/sharedStrings.xml", "si")]
        codes = {_format_of(f): f.get("formatCode", "") for f in self._elements("xl/styles.xml", "numFmt")}
        formats = [_format_of(x) for xfs in self._elements("xl/styles.xml", "cellXfs") for x in xfs]
        self._kinds = [_kind_of(number, codes.get(number)) for number in formats]
        properties = [p.get("date1904") for p in self._elements("xl/workbook.xml", "workbookPr")]
        self._epoch = EPOCH_1904 if properties and properties[0] in ("1", "true") else EPOCH

    def blocks(self, dropped: DroppedWords) -> Iterator[str]:
        """Yield a heading and tables for each sheet that has text."""
        paths = {r.get("Id"): r.get("Target", "") for r in self._elements("xl/_rels/workbook.xml.rels", "Relationship")}
        for sheet in self._elements("xl/workbook.xml", "sheet"):
            target = paths.get(sheet.get(RELATION), "")
            rows = self._rows(target.lstrip("/") if target.startswith("/") else f"xl/{target}")
            if sheet.get("state", "visible") != "visible":
                dropped.add("hidden sheet", " ".join(text for row in rows.values() for text in row.values()))
            elif rows:
                yield f"## {' '.join(sheet.get('name', '').split())}"
                yield from _tables(rows)

    def _rows(self, name: str) -> Rows:
        """Return the texts of the cells of a sheet by row and column; a merged text is in all cells that it covers.

        ``name`` is the sheet's part in the archive. Raise UnsupportedContent if the workbook has too many cells.
        """
        rows: Rows = {}
        at = 0
        for element in self._elements(name, "row", "mergeCell"):
            if etree.QName(element).localname == "mergeCell":
                self._repeat(rows, element.get("ref", ""))
                continue
            number = element.get("r", "")
            at = int(number) if number.isdecimal() and len(number) < 8 else at + 1
            cells = {column: text for column, cell in enumerate_cells(element) if (text := self._cell_text(cell))}
            self._left -= max(cells, default=0)
            if self._left < 0:
                raise UnsupportedContent(
                    f"{self._url} has more than {MAX_CELLS} cells; keep its documentation in a file of its own"
                )
            if cells:
                rows[at] = cells
        return rows

    def _repeat(self, rows: Rows, reference: str) -> None:
        """Put the text of a merged cell, unless it is long, wherever it covers others in rows and columns with text."""
        ends = [_REFERENCE.fullmatch(end) for end in reference.split(":")]
        if len(ends) != 2 or not ends[0] or not ends[1]:
            return
        top, bottom = int(ends[0].group(2)), int(ends[1].group(2))
        left, right = _column(ends[0].group(1)), _column(ends[1].group(1))
        text = rows.get(top, {}).get(left)
        for number in range(top, min(bottom, max(rows, default=0)) + 1):
            row = rows.get(number, {})
            columns = range(left, max(left, min(right, max(row, default=0))) + 1)
            self._merged_left -= len(columns)
            if not text or len(text) > MAX_REPEATED_CHARS or self._merged_left < 0:
                return
            if row:
                row.update({column: text for column in columns if column not in row})

    def _cell_text(self, cell: etree._Element) -> str:
        """Return what a cell shows."""
        kind, value = cell.get("t", "n"), next((part.text or "" for part in cell if part.tag[-2:] == "}v"), "")
        if kind == "inlineStr":
            return " ".join(_text(part) for part in cell.iterfind("{*}is"))
        if kind == "s":
            return self._strings[int(value)] if value.isdecimal() and int(value) < len(self._strings) else ""
        if kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(value, value)
        style = cell.get("s", "0")
        return self._number(value, int(style) if style.isdecimal() else 0) if kind == "n" else value

    def _number(self, value: str, style: int) -> str:
        """Return a number as it is shown: a date, a span of time, percents, or with the digits that a program shows."""
        try:
            number = float(value)
        except ValueError:
            return value
        kind = self._kinds[style] if style < len(self._kinds) else ""
        if kind == "elapsed" and abs(number) < MAX_DAYS:
            seconds = round(abs(number) * 86_400)
            return f"{'-' if number < 0 else ''}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        if kind == "date" and 0 <= number < MAX_DAYS:
            when = (self._epoch + timedelta(days=number) + timedelta(microseconds=500)).replace(microsecond=0)
            shown = when.isoformat(" ") if number % 1 else when.date().isoformat()
            return shown.partition(" ")[2] if number < 1 else shown
        return f"{number * 100:.15g}%" if kind == "percent" else f"{number:.15g}"

    def _elements(self, name: str, *tags: str) -> Iterator[etree._Element]:
        """Yield the elements with the local names ``tags`` in the workbook's part ``name``, each emptied afterwards.

        Yield nothing if there is no such part. Raises UnsupportedContent when it is damaged.
        """
        return archives.elements(self._url, self._archive, name, *tags)


def enumerate_cells(row: etree._Element) -> Iterator[tuple[int, etree._Element]]:
    """Yield the column, from 1, and the element of each cell in a row."""
    column = 0
    for cell in row:
        reference = _REFERENCE.fullmatch(cell.get("r", ""))
        column = _column(reference.group(1)) if reference else column + 1
        yield column, cell


def _text(element: etree._Element) -> str:
    """Return the text of an element, whose letters may be set in several ways, without the phonetic guide to it."""
    return " ".join(
        "".join(t.text or "" for t in element.iterfind(".//{*}t") if t.getparent().tag[-3:] != "rPh").split()
    )


def _format_of(element: etree._Element) -> int:
    """Return the number of the format of numbers that an element names; 0, the general one, where it names none."""
    number = element.get("numFmtId", "")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0


def _kind_of(number: int, code: str | None) -> str:
    """Return what a format of numbers shows: ``elapsed`` (time), ``date`` (or time), ``percent``, or an empty string.

    ``code`` is its definition, None for one that every program knows by its number.
    """
    if code is None:
        known = "date" if number in DATE_FORMATS else "percent" if number in PERCENT_FORMATS else ""
        return "elapsed" if number == ELAPSED_FORMAT else known
    code = _LITERAL.sub("", code)
    if _ELAPSED_CODE.search(code):
        return "elapsed"
    code = _IN_BRACKETS.sub("", code)
    return "date" if _DATE_CODE.search(code) else "percent" if "%" in code else ""


def _column(letters: str) -> int:
    """Return the number of a column from its capital letters: 1 for ``A``, 27 for ``AA``."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _tables(rows: Rows) -> Iterator[str]:
    """Yield the tables of a sheet, parted by blank rows; rows of one cell are lines of text."""
    numbers = sorted(rows)
    group: list[dict[int, str]] = []
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        group.append(rows[number])
        if following != number + 1:
            yield _table(group)
            group = []


def _table(rows: list[dict[int, str]]) -> str:
    """Return rows as a pipe table without the columns that are blank in all of them, the first row as its head.

    If only one column has text, return its texts as paragraphs.
    """
    columns = sorted({column for row in rows for column in row})
    if len(columns) == 1:
        return "\n\n".join(text for row in rows for text in row.values())
    lines = [[row.get(column, "") for column in columns if column <= max(row)] for row in rows]
    lines[0] += [""] * (len(columns) - len(lines[0]))
    return pipe_table(lines)
