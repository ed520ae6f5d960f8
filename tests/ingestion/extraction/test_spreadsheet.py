"""Workbooks become a heading and tables for each sheet, with their cells as programs show them."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction.extract import extract
from ingestion.extraction.pandoc import spreadsheet
from ingestion.media_types import FORMATS
from ingestion.types import Extracted, Page
from tests.support.processor_time import spent
from tests.support.words import lost_words

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STYLES = (
    '<numFmts><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/>'
    '<numFmt numFmtId="165" formatCode="&quot;days&quot; 0"/></numFmts>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="9"/><xf numFmtId="165"/>'
    '<xf numFmtId="22"/><xf numFmtId="20"/></cellXfs>'
)


def workbook(
    *sheets: tuple[str, str], strings: tuple[str, ...] = (), hidden: str = "", state: str = "hidden", **parts: str
) -> bytes:
    """Return a workbook; a sheet is its name and the XML of its rows."""
    names = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="r{n}" state="{state if name == hidden else "visible"}"/>'
        for n, (name, _) in enumerate(sheets)
    )
    links = "".join(f'<Relationship Id="r{n}" Target="worksheets/sheet{n}.xml"/>' for n in range(len(sheets)))
    xml = {
        "workbook": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATION}"><sheets>{names}</sheets></workbook>',
        "_rels/workbook.xml.rels": f"<Relationships>{links}</Relationships>",
        "sharedStrings": f'<sst xmlns="{MAIN}">{"".join(f"<si>{text}</si>" for text in strings)}</sst>',
        "styles": f'<styleSheet xmlns="{MAIN}">{STYLES}</styleSheet>',
        **{
            f"worksheets/sheet{n}": f'<worksheet xmlns="{MAIN}">{rows}</worksheet>'
            for n, (_, rows) in enumerate(sheets)
        },
        **parts,
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in xml.items():
            packed.writestr(f"xl/{name}{'' if name.endswith('.rels') else '.xml'}", content)
    return file.getvalue()


def row(number: int, *cells: str, start: str = "A") -> str:
    """Return a row; a cell is its text, or ``style:number``."""
    shown = ""
    for at, cell in enumerate(cells):
        reference = f'r="{chr(ord(start) + at)}{number}"'
        style, colon, value = cell.partition(":")
        if colon:
            shown += f'<c {reference} s="{style}"><v>{value}</v></c>'
        elif cell:
            shown += f'<c {reference} t="inlineStr"><is><t>{cell}</t></is></c>'
    return f'<row r="{number}">{shown}</row>'


def read(body: bytes) -> Extracted:
    return extract(Page("file:///docs/tea.xlsx", body, FORMATS[".xlsx"]))


def test_each_sheet_is_a_heading_and_tables_that_blank_rows_part() -> None:
    first = row(1, "Tea", "Minutes") + row(2, "Green", "0:2") + row(4, "Remark") + row(5, "Hot | cold")
    page = read(workbook(("Times", first), ("Empty", ""), ("Pots &amp; cups", row(3, "Pot"))))
    assert page.markdown == (
        "## Times\n\n| Tea | Minutes |\n| --- | --- |\n| Green | 2 |\n\nRemark\n\nHot | cold\n\n## Pots & cups\n\nPot"
    )
    assert page.title == "tea.xlsx"


def test_values_are_shown_as_programs_show_them() -> None:
    cells = ("0:4", "0:0.30000000000000004", "1:45292", "2:45292", "3:0.075", "4:12", "5:45292.75", "6:0.5", "0:1E+3")
    page = read(workbook(("S", row(1, *"ABCDEFGHI") + row(2, *cells))))
    assert "| 4 | 0.3 | 2024-01-01 | 2024-01-01 | 7.5% | 12 | 2024-01-01 18:00:00 | 12:00:00 | 1000 |" in page.markdown


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("0.0%", "0.125", "12.5%"),
        ("[Red]0%;[h]0%", "0.5", "12:00:00"),
        ("0.0&quot;%&quot;", "0.5", "0.5"),
        ("[Red]0%", "0.5", "50%"),
        ("[h]:mm:ss", "1.5", "36:00:00"),
        ("[mm]:ss", "-0.0625", "-1:30:00"),
        ("[Blue]h:mm", "0.25", "06:00:00"),
        ("[$-409]d\\ mmm", "45292", "2024-01-01"),
    ],
)
def test_formats_of_the_file_show_percents_and_spans_of_time(code: str, value: str, shown: str) -> None:
    formats = f'<numFmts><numFmt numFmtId="170" formatCode="{code}"/></numFmts>'
    styles = f'<styleSheet xmlns="{MAIN}">{formats}<cellXfs><xf/><xf numFmtId="170"/></cellXfs></styleSheet>'
    assert read(workbook(("S", row(1, "A", "B") + row(2, f"1:{value}", "x")), styles=styles)).markdown.endswith(
        f"| {shown} | x |"
    )


def test_a_workbook_may_count_its_days_from_1904() -> None:
    sheets = '<workbookPr date1904="1"/><sheets><sheet name="S" r:id="r0"/></sheets>'
    book = f'<workbook xmlns="{MAIN}" xmlns:r="{RELATION}">{sheets}</workbook>'
    assert read(workbook(("S", row(1, "1:43830")), workbook=book)).markdown == "## S\n\n2024-01-01"


def test_a_sheet_may_be_named_by_its_whole_path() -> None:
    relations = '<Relationships><Relationship Id="r0" Target="/xl/worksheets/sheet0.xml"/></Relationships>'
    parts: dict[str, Any] = {"_rels/workbook.xml.rels": relations}
    assert read(workbook(("S", row(1, "Tea")), **parts)).markdown == "## S\n\nTea"


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ('<row r="1"><c r="Z1"><v>1</v></c><c r="AA1"><v>2</v></c><c r="BA1"><v>3</v></c></row>', "| 1 | 2 | 3 |"),
        ("<row><c><v>1</v></c></row><row><c><v>2</v></c></row>", "1\n\n2"),
        (row(1, "Group", "own") + '<mergeCell ref="A1:B1"/>', "| Group | own |"),
    ],
    ids=["beyond Z", "no numbers of rows", "a cell with text under a merged one"],
)
def test_no_cell_takes_the_place_of_another(rows: str, shown: str) -> None:
    assert shown in read(workbook(("S", rows))).markdown


def test_texts_of_all_kinds_are_kept() -> None:
    rich = "<r><t>rich </t></r><r><t>text</t></r><rPh><t>pronounced</t></rPh>"
    cells = (
        '<c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="str"><f>A1</f><v>result</v></c>'
        '<c r="D1" t="b"><v>1</v></c><c r="E1" t="e"><v>#N/A</v></c><c r="F1" t="s"><v>99</v></c><c><v>7</v></c>'
    )
    page = read(workbook(("S", f"<row>{cells}</row>"), strings=("<t>shared</t>", rich)))
    assert page.markdown == "## S\n\n| shared | rich text | result | TRUE | #N/A | 7 |\n|" + " --- |" * 6


def test_merged_cells_are_repeated_in_the_rows_and_columns_that_they_cover() -> None:
    rows = row(1, "Group", "Name", "Since") + row(2, "Hot", "Tea", "0:1") + row(3, "", "Coffee", "0:2")
    merged = '<mergeCells><mergeCell ref="A2:A3"/><mergeCell ref="B1:XFD1"/></mergeCells>'
    assert "| Hot | Tea | 1 |\n| Hot | Coffee | 2 |" in read(workbook(("S", rows + merged))).markdown


@pytest.mark.parametrize("others", ["comments2", "threadedComments/threadedComment1"])
@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_hidden_sheets_and_comments_are_left_out_and_counted(state: str, others: str) -> None:
    comment = f'<comments xmlns="{MAIN}"><comment><text><t>Is this right?</t></text></comment></comments>'
    comments: dict[str, Any] = {"comments1": comment, others: comment}
    book = workbook(
        ("S", row(1, "Tea")),
        ("Draft", row(1, "Secret blend")),
        hidden="Draft",
        state=state,
        **comments,
    )
    page = read(book)
    assert page.markdown == "## S\n\nTea"
    assert [(each.rule, each.words) for each in page.dropped] == [("comment of a reviewer", 6), ("hidden sheet", 2)]


def test_no_word_is_lost() -> None:
    words = [f"word{n}" for n in range(200)]
    rows = "".join(row(1 + 2 * n - n % 3, word, start=chr(65 + n * n % 26)) for n, word in enumerate(words))
    assert not lost_words(" ".join(words), read(workbook(("S", rows))).markdown)


def test_formats_without_a_number_are_general_ones() -> None:
    styles = f'<styleSheet xmlns="{MAIN}"><cellXfs><xf numFmtId="x"/><xf numFmtId="-1"/><xf/></cellXfs></styleSheet>'
    page = read(workbook(("S", row(1, "Tea", "Cups") + row(2, "1:5", "2:6")), styles=styles))
    assert page.markdown.endswith("| 5 | 6 |")


def test_a_workbook_without_text_is_refused() -> None:
    with pytest.raises(UnsupportedContent, match=r"no text in .*tea\.xlsx"):
        read(workbook(("S", "")))


@pytest.mark.parametrize(
    "rows",
    [
        "".join(row(n, *["0:1"] * 20) for n in range(1, 12_000)),
        "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 1000)),
    ],
    ids=["full", "wide"],
)
def test_a_workbook_of_data_is_refused_in_time(rows: str) -> None:
    started = spent()
    with pytest.raises(UnsupportedContent, match=rf"more than {spreadsheet.MAX_CELLS} cells; keep its documentation"):
        read(workbook(("S", rows)))
    assert spent() - started < 15


def test_a_long_text_is_not_repeated() -> None:
    rows = row(1, "x" * 61, "a") + row(2, "", "b") + row(3, "y", "c") + row(4, "", "d")
    merged = '<mergeCells><mergeCell ref="A1:A2"/><mergeCell ref="A3:A4"/></mergeCells>'
    markdown = read(workbook(("S", rows + merged))).markdown
    assert (markdown.count("x" * 61), markdown.count("| y |")) == (1, 2)


def test_merging_everything_and_numbers_beyond_all_dates_cost_nothing() -> None:
    merged = "<mergeCells>" + '<mergeCell ref="A1:XFD1048576"/>' * 2000 + "</mergeCells>"
    cells = row(1, "A", "1:1e300", "2:-5", "1:nan", "0:x") + row(1_048_576, "B")
    started = spent()
    assert not lost_words("A B", read(workbook(("S", cells + merged))).markdown)
    assert spent() - started < 5


def test_references_that_lead_nowhere_are_empty() -> None:
    book = workbook(("S", '<row r="x"><c r="A1" s="y" t="s"><v>-1</v></c><c r="B1"><v>5</v></c></row>'))
    assert read(book).markdown == "## S\n\n5"
