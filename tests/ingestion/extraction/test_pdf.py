"""PDF files become Markdown with headings that lead to pages; hostile ones cost bounded time and memory."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction.extract import extract
from ingestion.extraction.pdf import reader
from ingestion.extraction.pdf.headings import Entry, Heading
from ingestion.extraction.pdf.layout import Block, Verbatim, blocks
from ingestion.extraction.pdf.lines import Cell, Line
from ingestion.types import Extracted, Page
from tests.support.processor_time import spent
from tests.support.words import lost_words

URL = "file:///docs/tea.pdf"
NAMES = (b"Helvetica", b"Courier", b"Helvetica-Bold")
FONTS = b" ".join(
    b"/F%d << /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>" % (number, name)
    for number, name in enumerate(NAMES, 1)
)
SONG = (
    b"<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UCS2-H /DescendantFonts ["
    b"<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /DW 1000 "
    b"/CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 0 >> >>] >>"
)


def pdf(
    *streams: bytes,
    outline: tuple[tuple[str, int], ...] = (),
    height: str = "null",
    title: str = "",
    trailer: bytes = b"",
) -> bytes:
    """Return a file with a page for each stream; objects 1 to 4 are catalogue, pages, font and information.

    All entries of the outline lead to ``height`` on their page.
    """
    first, after = 5, 5 + 2 * len(streams)
    kids = b" ".join(b"%d 0 R" % (first + 2 * n) for n in range(len(streams)))
    entries = [
        b"<< /Title (%s) /Parent %d 0 R /Dest [%d 0 R /XYZ null %s null] %s >>"
        % (
            words.encode(),
            after,
            first + 2 * page,
            height.encode(),
            b"/Next %d 0 R" % (after + n + 2) if n + 1 < len(outline) else b"",
        )
        for n, (words, page) in enumerate(outline)
    ]
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % (b"/Outlines %d 0 R" % after if outline else b""),
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(streams)),
        SONG,
        b"<< /Title (%s) >>" % title.encode(),
    ]
    for number, stream in enumerate(streams):
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents %d 0 R"
            b" /Resources << /Font << %s /F4 3 0 R >> >> >>" % (first + 2 * number + 1, FONTS),
            b"<< /Length %d %s >>\nstream\n%s\nendstream"
            % (len(stream), b"/Filter /FlateDecode" if stream[:1] == b"x" else b"", stream),
        ]
    if outline:
        ends = (after + 1, after + len(outline))
        objects += [b"<< /First %d 0 R /Last %d 0 R >>" % ends, *entries]
    return assembled(objects, trailer)


def assembled(objects: list[bytes], trailer: bytes) -> bytes:
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    end = b"trailer << /Size %d /Root 1 0 R /Info 4 0 R %s >>\nstartxref\n%d\n%%%%EOF"
    return out + head + table + end % (len(objects) + 1, trailer, len(out))


def text(*lines: str, gap: int = 14) -> bytes:
    """Return a page's stream; an empty line is a gap between paragraphs."""
    shown = b"".join(b"(%s) Tj 0 -%d Td " % (line.encode("latin-1"), gap) for line in lines)
    return b"BT /F1 12 Tf 50 700 Td %s ET" % shown


def drawn(*words: tuple[float, float, str], font: int = 1, size: float = 11) -> bytes:
    """Return what draws (x, y, text) one after the other."""
    shown = (
        b"1 0 0 1 %.2f %.2f Tm <%s> Tj " % (x, y, text.encode("utf-16-be" if font == 4 else "cp1252").hex().encode())
        for x, y, text in words
    )
    return b"BT /F%d %.2f Tf %s ET " % (font, size, b"".join(shown))


def read(body: bytes) -> Extracted:
    return extract(Page(URL, body, "application/pdf"))


def test_the_outline_gives_headings_that_lead_to_their_pages() -> None:
    pages = [
        text("Kettles", "Boil the wa-", "ter slowly.", "", "Then pour https://t.example."),
        text("1.2 Cups", "Drink."),
    ]
    page = read(pdf(*pages, outline=(("Kettles", 0), ("Cups", 1), ("Spoons", 1)), title="The Tea Book"))
    assert page.title == "The Tea Book"
    assert page.markdown == (
        "# Kettles\n\nBoil the water slowly.\n\nThen pour https://t.example.\n\n# 1.2 Cups\n\n# Spoons\n\nDrink."
    )
    assert page.anchors == {
        "The Tea Book › Kettles": "page=1",
        "The Tea Book › 1.2 Cups": "page=2",
        "The Tea Book › Spoons": "page=2",
    }
    assert page.links == ("https://t.example",)


@pytest.mark.parametrize(
    ("height", "shown"),
    [("690", "Kettles boil.\n\n# Steam\n\nCups cool."), ("20", "Kettles boil.\n\nCups cool.\n\n# Steam")],
)
def test_a_title_that_no_line_shows_stands_where_the_outline_leads_to(height: str, shown: str) -> None:
    page = text("Kettles boil.", "", "", "Cups cool.")
    assert read(pdf(page, outline=(("Steam", 0),), height=height)).markdown == shown


def test_a_file_with_too_many_pages_says_how_many_were_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = reader.CHILD.read_text()
    limited = tmp_path / "limited.py"
    limited.write_text(program.replace("MAX_OUTLINE = 3000, ", "MAX_OUTLINE = 2, "))
    assert limited.read_text() != program
    monkeypatch.setattr(reader, "CHILD", limited)
    found = read(pdf(text("Kettles boil."), text("Cups cool."), text("Spoons stir."))).markdown
    assert found.endswith("Cups cool.\n\n(Only the first 2 of 3 pages were read.)")


def test_without_an_outline_each_page_is_a_heading() -> None:
    page = read(pdf(text("Kettles boil."), text(""), text("Cups cool."), title="Microsoft Word - tea.doc"))
    assert page.title == "tea.pdf"
    assert page.markdown == "## Page 1\n\nKettles boil.\n\n## Page 3\n\nCups cool."
    assert page.anchors == {"tea.pdf › Page 1": "page=1", "tea.pdf › Page 3": "page=3"}


@pytest.mark.parametrize("outlined", [False, True])
def test_words_in_large_letters_that_are_too_many_for_a_heading_are_kept(outlined: bool) -> None:
    rest = "of the tea that one drinks early in the morning before the kettle has cooled down, and "
    quoted = [f"{word} {rest}" for word in ("Most", "Some", "Hardly any")]
    words = [(50.0, 700.0 - 24 * at, line.strip()) for at, line in enumerate(quoted)]
    below = [(50.0, 600.0 - 14 * at, f"Line {at} of the page tells of cups.") for at in range(20)]
    title = " ".join("".join(quoted).split())
    page = read(pdf(drawn(*words, size=16) + drawn(*below), outline=((title, 0),) if outlined else ()))
    assert title in " ".join(page.markdown.split())


def test_number_signs_at_the_edges_of_pages_are_no_numbers() -> None:
    pages = [text(edge, "", *(f"Line {n} of it." for n in range(5))) for edge in ("##", "#1", "##", "1#")]
    assert read(pdf(*pages)).markdown.count("Line 4") == 4


def test_a_file_with_a_password_is_refused_with_what_to_do() -> None:
    secret = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O (%s) /U (%s) >> /ID [<00> <00>]" % (
        b"o" * 32,
        b"u" * 32,
    )
    with pytest.raises(UnsupportedContent, match=r"tea\.pdf is protected by a password; save it without"):
        read(pdf(text("Secret."), trailer=secret))


def test_pages_without_text_are_refused_with_what_to_do() -> None:
    with pytest.raises(UnsupportedContent, match=r"tea\.pdf has no text layer.*OCR"):
        read(pdf(b"0 0 100 100 re f", text("1"), text("2")))


@pytest.mark.parametrize("body", [b"%PDF-1.4\n", b"no PDF at all", pdf(text("x"))[:40], b""])
def test_a_damaged_file_is_refused_with_what_to_do(body: bytes) -> None:
    with pytest.raises(UnsupportedContent, match=r"tea\.pdf is damaged"):
        read(body)


@pytest.mark.slow
def test_a_bomb_is_stopped_by_the_limit_on_memory() -> None:
    """Blocks that end in a full flush do not refer to one another: one may be repeated."""
    packer = zlib.compressobj(9)
    start = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b"(aaaaaaaaaaaaaaaaaaaaaaaa) Tj\n" * 300_000) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = start + block * 100 + packer.flush()
    assert len(bomb) < 10**7
    with pytest.raises(UnsupportedContent, match=r"tea\.pdf needs more time or memory"):
        read(pdf(bomb))


def test_the_reader_stays_out_of_this_process() -> None:
    import sys

    read(pdf(text("Kettles boil.")))
    assert "pypdfium2" not in sys.modules


def test_a_title_is_that_of_the_file_else_the_first_heading_of_the_first_page() -> None:
    page = drawn((60, 780, "Retention"), font=3, size=18) + drawn((60, 750, "Dumps are kept for thirty days."))
    assert read(pdf(page)).title == "Retention"
    assert read(pdf(page, title="Operations")).title == "Operations"


# --- Columns, tables, running titles ----------------------------------------------------------------------

LEFT = (
    "The valve opens by itself once",
    "the boiler has reached ninety",
    "degrees. Turn it back at night",
    "and wait for the click.",
)
RIGHT = (
    "Clean the filter every month.",
    "a dirty one lets the pump run",
    "hot, which shortens its life by",
    "years. Use clear water only.",
)
COLUMNS = " ".join(LEFT)


def side(x: float, words: Sequence[str]) -> list[tuple[float, float, str]]:
    return [(x, 700 - 14 * n, text) for n, text in enumerate(words)]


@pytest.mark.parametrize("order", ["by column", "by row"])
def test_columns_are_read_one_after_the_other_however_they_are_drawn(order: str) -> None:
    words = side(60, LEFT) + side(300, RIGHT)
    if order == "by row":
        words.sort(key=lambda word: (-word[1], word[0]))
    title = drawn((60, 740, "A line above both columns that is as wide as the page, as titles of papers are"))
    found = read(pdf(title + drawn(*words))).markdown
    assert COLUMNS in found
    assert found.index("wait for the click") < found.index("Clean the filter every month. a dirty one lets")


def test_three_columns_are_read_one_after_the_other() -> None:
    found = read(pdf(drawn(*side(40, LEFT), *side(220, RIGHT), *side(400, LEFT)))).markdown
    assert found.count(COLUMNS) == 2
    assert found.index("Clean the filter") < found.rindex("The valve")


def test_a_table_keeps_its_rows_and_the_order_of_its_cells() -> None:
    rows = (("Option", "Default", "Meaning"), ("depth", "3", "levels to enter"), ("width", "120", "letters in a line"))
    by_row = [(60 + 150 * at, 700 - 16 * n, cell) for n, row in enumerate(rows) for at, cell in enumerate(row)]
    by_column = sorted(by_row, key=lambda cell: cell[0])
    head = "| Option | Default | Meaning |\n| --- | --- | --- |\n"
    table = head + "| depth | 3 | levels to enter |\n| width | 120 | letters in a line |"
    for cells in (by_row, by_column):
        assert table in read(pdf(drawn(*cells))).markdown


def test_the_head_of_a_table_in_bold_letters_is_no_heading() -> None:
    head = drawn((60, 700, "Option"), (210, 700, "Meaning"), font=3)
    rows = drawn((60, 684, "depth"), (210, 684, "levels to enter"), (60, 668, "width"), (210, 668, "letters in a line"))
    found = read(pdf(drawn((60, 740, "These options can be set:")) + head + rows)).markdown
    assert "| Option | Meaning |\n| --- | --- |\n| depth | levels to enter |" in found


def test_lines_that_go_on_in_one_cell_belong_to_their_row_and_empty_cells_stay_empty() -> None:
    cells = [
        (60, 700, "Key"),
        (160, 700, "Meaning"),
        (400, 700, "Since"),
        (60, 680, "ttl"),
        (160, 680, "how long an entry"),
    ]
    cells += [(160, 667, "lives at most"), (400, 680, "1.2"), (60, 640, "cap"), (400, 640, "2.0")]
    assert "| ttl | how long an entry lives at most | 1.2 |\n| cap |  | 2.0 |" in read(pdf(drawn(*cells))).markdown


def test_rows_of_numbers_at_the_edges_of_pages_are_no_running_titles() -> None:
    rows = [f"DN{n} {n + 3} mm {n * 2}.5 kg" for n in range(1, 161)]
    pages = [drawn(*((60, 780 - 18 * n, row) for n, row in enumerate(rows[at : at + 40]))) for at in range(0, 160, 40)]
    found = read(pdf(*pages)).markdown
    assert not lost_words("\n".join(rows), found)
    assert "DN4 7 mm 8.5 kg\nDN5 8 mm 10.5 kg" in found


def test_the_head_of_a_table_that_every_page_repeats_is_kept() -> None:
    pages = [
        drawn((60, 780, "Bolt"), (200, 780, "Torque"))
        + drawn(*((x, 762 - 18 * n, f"{w}{40 * page + n}") for n in range(20) for x, w in ((60, "M"), (200, "Nm "))))
        for page in range(4)
    ]
    assert read(pdf(*pages)).markdown.count("Torque") == 4


def numbered_pages(title: str, foot: str) -> list[bytes]:
    text_of_page = "Boil the water before the leaves go into the pot and wait some minutes"
    return [
        drawn((60, 780, title.format(n=n + 1)), size=9)
        + drawn(*((60, 720 - 14 * line, f"{text_of_page} {'abcdef'[n]}{'xyz'[line]}") for line in range(3)))
        + drawn((300, 40, foot.format(n=n + 1, roman=("i", "ii", "iii", "iv", "v", "vi")[n])), size=9)
        for n in range(6)
    ]


@pytest.mark.parametrize(
    ("title", "foot"), [("The Tea Book", "{n}"), ("{n} The Tea Book", "{roman}"), ("Tea, 2nd edition", "Page {n} of 6")]
)
def test_titles_and_numbers_of_pages_go_and_are_counted(title: str, foot: str) -> None:
    page = read(pdf(*numbered_pages(title, foot)))
    assert "Tea" not in page.markdown and "Page 1 of" not in page.markdown and "iii" not in page.markdown
    assert page.markdown.count("Boil the water") == 18
    (dropped,) = page.dropped
    assert dropped.rule == "running title" and dropped.words == 6 * len(f"{title} {foot}".split())


def test_a_line_that_stands_on_every_page_in_the_text_stays() -> None:
    page = read(pdf(*numbered_pages("Chapter {n}", "{n}")))
    assert page.markdown.count("Boil the water before") == 18


def test_dots_that_lead_to_page_numbers_are_a_table_of_contents() -> None:
    contents = [
        (60, 700 - 14 * n, f"{word} {'. ' * (40 - len(word))}{n + 1}") for n, word in enumerate(("Pots", "Cups", "Tea"))
    ]
    page = read(pdf(drawn(*contents), text("Pots hold tea."), text("Cups hold less.")))
    assert "Pots hold tea" in page.markdown and ". ." not in page.markdown
    assert [(each.rule, each.words) for each in page.dropped] == [("table of contents", 6)]


def test_other_dots_become_a_table_without_dots() -> None:
    prices = [
        (60, 700 - 14 * n, f"{word} {'.' * 30} {price}")
        for n, (word, price) in enumerate((("Green", "3.50"), ("Black", "2.90")))
    ]
    page = read(pdf(drawn(*prices)))
    assert "| Green | 3.50 |" in page.markdown and "| Black | 2.90 |" in page.markdown and not page.dropped


@pytest.mark.parametrize(
    ("numbers", "font"), [(("12", "7", "30"), 1), (("100", "200", "9000"), 1), (("1", "2", "3"), 2)]
)
def test_dots_before_numbers_that_are_no_pages_and_dots_in_code_are_kept(numbers: Sequence[str], font: int) -> None:
    words = [f"{name} {'.' * 20} {number}" for name, number in zip(("Green", "Black", "White"), numbers, strict=True)]
    page = read(pdf(drawn((60, 760, "Leaves of the year:")) + drawn(*side(60, words), font=font)))
    assert not lost_words(f"Green Black White {' '.join(numbers)}", page.markdown) and not page.dropped


@pytest.mark.parametrize(
    "places",
    [
        ("0 1 -1 0 400 200", "0 1 -1 0 414 200"),
        ("-1 0 0 -1 500 400", "-1 0 0 -1 500 414"),
        ("0 -1 1 0 414 700", "0 -1 1 0 400 700"),
    ],
)
def test_turned_lines_are_read_in_their_order(places: Sequence[str]) -> None:
    words = ("The stamp says first", "and then says last.")
    shown = " ".join(f"{place} Tm ({part}) Tj" for place, part in reversed([*zip(places, words, strict=True)]))
    found = read(pdf(b"BT /F1 11 Tf %s ET" % shown.encode())).markdown
    assert "The stamp says first and then says last." in found


def test_turned_pages_and_turned_words_are_read_whole() -> None:
    sideways = b"BT /F1 11 Tf 0 1 -1 0 40 200 Tm (Stamped in the margin) Tj ET "
    page = read(pdf(sideways + drawn(*side(100, LEFT))))
    assert COLUMNS in page.markdown and page.markdown.endswith("Stamped in the margin")


# --- Letters ----------------------------------------------------------------------------------------------


def test_code_keeps_lines_indentation_spaces_and_blank_lines() -> None:
    code = ["while tries:", "    if ping():", "        return  tries", "", "    tries -= 1"]
    shown = [
        (60 + 6 * (len(line) - len(line.lstrip())), 700 - 12 * n, line.lstrip()) for n, line in enumerate(code) if line
    ]
    page = drawn((60, 725, "Ask until it answers:")) + drawn(*shown, font=2, size=10) + drawn((60, 620, "It ends."))
    joined_code = "\n".join(code)
    assert read(pdf(page)).markdown.endswith(f"Ask until it answers:\n\n```\n{joined_code}\n```\n\nIt ends.")


def test_a_document_in_equally_wide_letters_is_text() -> None:
    page = read(
        pdf(
            drawn(
                (60, 700, "A request for comments is set"), (60, 688, "in one font from end to end."), font=2, size=10
            )
        )
    )
    assert page.markdown.endswith("A request for comments is set in one font from end to end.")


def test_code_within_a_line_stays_in_its_sentence() -> None:
    page = drawn((60, 700, "Call ")) + drawn((86, 700, "ping()"), font=2) + drawn((128, 700, " twice."))
    assert read(pdf(page)).markdown.endswith("Call ping() twice.")


@pytest.mark.parametrize(("font", "size"), [(1, 17), (3, 17), (3, 11)])
def test_larger_or_bold_letters_make_a_heading(font: int, size: float) -> None:
    page = b"".join(
        drawn((60, 780 - 90 * n, words), font=font, size=size)
        + drawn((60, 750 - 90 * n, "The job writes a dump"), (60, 736 - 90 * n, "to the vault at night."))
        for n, words in enumerate(("Backup and restore", "Restoring one table"))
    )
    found = read(pdf(page))
    assert found.markdown == (
        "# Backup and restore\n\nThe job writes a dump to the vault at night.\n\n"
        "# Restoring one table\n\nThe job writes a dump to the vault at night."
    )
    assert set(found.anchors.values()) == {"page=1"}


def test_sizes_give_the_levels_of_headings_and_bold_sentences_are_none() -> None:
    page = drawn((60, 780, "Guide"), font=3, size=20) + drawn(
        (60, 745, "Setup of"), (60, 729, "the pump"), font=3, size=14
    )
    page += drawn((60, 700, "Fill it with water.")) + drawn((60, 670, "Never run it dry."), font=3)
    assert read(pdf(page)).markdown == "# Guide\n\n## Setup of the pump\n\nFill it with water.\n\nNever run it dry."


def test_letters_within_an_outlined_document_make_headings_below_its_own() -> None:
    page = drawn((60, 780, "Pots")) + drawn((60, 750, "Iron pots"), font=3, size=14) + drawn((60, 730, "They last."))
    assert read(pdf(page, outline=(("Pots", 0),))).markdown == "# Pots\n\n## Iron pots\n\nThey last."


def test_chinese_lines_are_joined_without_spaces() -> None:
    words = [(60, 700, "系统启动之后请先检"), (60, 682, "查网络设置，再打开日"), (60, 664, "志。")]
    assert "系统启动之后请先检查网络设置，再打开日志。" in read(pdf(drawn(*words, font=4, size=12))).markdown


def test_soft_hyphens_at_line_ends_go_and_others_stay_what_they_are() -> None:
    words = [
        (60, 700, "Die Ver\u00adsicherung zahlt lang\u00ad"),
        (60, 686, "fristig, die E-"),
        (60, 672, "Mail kommt."),
    ]
    found = read(pdf(drawn(*words))).markdown
    assert "langfristig, die E- Mail" in found and "\u00ad" not in found


def test_accents_drawn_over_letters_are_composed_and_apostrophes_are_not() -> None:
    over = drawn((60, 700, "caf"), (76, 700, "´"), (76, 700, "e and na"), (119.5, 700, "¨"), (119, 700, "i")) + drawn(
        (122.5, 700, "ve")
    )
    found = read(pdf(over + drawn((60, 680, "it´s")))).markdown
    assert "café and naïve" in found and "it´s" in found


# --- Hostile ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream",
    [
        b"".join(drawn((random.Random(n).random() * 500, random.Random(-n).random() * 700, "ab")) for n in range(6000)),
        drawn(*((60 + 40 * (n % 10), 700 - 0.01 * n, "x") for n in range(6000))),
        drawn(*((60, 700 - 0.1 * n, "a" * 40 if n % 2 else "b") for n in range(4000)), font=2),
        drawn(*((60, 700 - 10 * n, "." * 1000) for n in range(60))),
        b"BT /F1 11 Tf " + b"1 0 0 1 50 50 Tm (\xb4) Tj " * 20_000 + b"ET",
    ],
    ids=["scattered", "rows", "code", "dots", "accents"],
)
def test_a_page_of_one_construct_costs_little_time(stream: bytes) -> None:
    started = spent()
    read(pdf(*[drawn(*side(60, LEFT)) + stream] * 3))
    assert spent() - started < 5


# --- Layout -----------------------------------------------------------------------------------------------


def lines(*words: str) -> list[Line]:
    """Return lines at a distance of 14; each empty one is a gap."""
    return [
        Line((Cell(word, 50.0, 50.0 + 6 * len(word)),), 700.0 - 14 * n, 12.0) for n, word in enumerate(words) if word
    ]


def layout(*pages: list[Line], outline: tuple[Entry, ...] = (Entry(1, "T", 0, None),)) -> list[Block]:
    return [block for block in blocks(list(pages), list(outline)) if block != Heading(1, "T", 0)]


def test_gaps_part_paragraphs_and_bullets_part_items() -> None:
    found = layout(lines("One", "two.", "", "Three", "• four", "five", "2. six"))
    assert found == ["One two.", "Three", "- four five", "2. six"]


def test_parted_words_become_whole_and_compounds_stay() -> None:
    assert layout(lines("a ket-", "tle, 3-", "fold, X-", "Ray")) == ["a kettle, 3- fold, X- Ray"]


def test_an_address_that_is_broken_after_a_slash_becomes_whole() -> None:
    assert layout(lines("see https://tea.example/", "pots and/", "or")) == ["see https://tea.example/pots and/ or"]


def test_a_sentence_goes_on_over_the_page() -> None:
    assert layout(lines("It goes"), lines("on."), lines("End")) == ["It goes on.", "End"]


def test_code_does_not_go_on_over_the_page() -> None:
    code = [line._replace(mono=True) for line in lines("x = 1 \ufffe")]  # as a hyphen at the end of a line is read
    found = layout([*lines("Much text about", "it, and more."), *code], lines("lower case begins this page."))
    assert found == ["Much text about it, and more.", Verbatim("```\nx = 1 -\n```"), "lower case begins this page."]


def test_a_heading_replaces_the_lines_that_show_it_or_stands_where_the_outline_says() -> None:
    page = lines("Before.", "", "2.1 All the", "pots", "After.", "", "Below.")
    outline = (Entry(2, "All the pots", 0, None), Entry(3, "Hidden", 0, 620.0))
    assert layout(page, outline=outline) == [
        "Before.",
        Heading(2, "2.1 All the pots", 0),
        "After.",
        Heading(3, "Hidden", 0),
        "Below.",
    ]


def test_text_that_looks_like_markup_stays_text() -> None:
    assert layout(lines("# no heading"), lines("```"), lines("| a")) == ["\\# no heading", "\\```", "\\| a"]
