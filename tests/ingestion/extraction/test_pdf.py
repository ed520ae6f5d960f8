"""PDF files become Markdown with headings that lead to pages; hostile ones cost bounded time and memory."""

from __future__ import annotations

import zlib

import pytest

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction.extract import extract
from ingestion.extraction.pdf.layout import Entry, Heading, Line, blocks
from ingestion.types import Extracted, Page

URL = "file:///docs/tea.pdf"
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def pdf(*streams: bytes, outline: tuple[tuple[str, int], ...] = (), title: str = "", trailer: bytes = b"") -> bytes:
    """Return a file with a page for each stream; objects 1 to 4 are catalogue, pages, font and information."""
    first, after = 5, 5 + 2 * len(streams)
    kids = b" ".join(b"%d 0 R" % (first + 2 * n) for n in range(len(streams)))
    entries = [
        b"<< /Title (%s) /Parent %d 0 R /Dest [%d 0 R /XYZ null null null] %s >>"
        % (words.encode(), after, first + 2 * page, b"/Next %d 0 R" % (after + n + 2) if n + 1 < len(outline) else b"")
        for n, (words, page) in enumerate(outline)
    ]
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % (b"/Outlines %d 0 R" % after if outline else b""),
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(streams)),
        FONT,
        b"<< /Title (%s) >>" % title.encode(),
    ]
    for number, stream in enumerate(streams):
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % (first + 2 * number + 1),
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
        "# Kettles\n\nBoil the water slowly.\n\nThen pour https://t.example.\n\n# Cups\n\n# Spoons\n\nDrink."
    )
    assert page.anchors == {
        "The Tea Book › Kettles": "page=1",
        "The Tea Book › Cups": "page=2",
        "The Tea Book › Spoons": "page=2",
    }
    assert page.links == ("https://t.example",)


def test_without_an_outline_each_page_is_a_heading() -> None:
    page = read(pdf(text("Kettles boil."), text(""), text("Cups cool."), title="Microsoft Word - tea.doc"))
    assert page.title == "tea.pdf"
    assert page.markdown == "## Page 1\n\nKettles boil.\n\n## Page 3\n\nCups cool."
    assert page.anchors == {"tea.pdf › Page 1": "page=1", "tea.pdf › Page 3": "page=3"}


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


@pytest.mark.processes
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


# --- Layout -----------------------------------------------------------------------------------------------


def lines(*words: str) -> list[Line]:
    """Return lines at a distance of 14; each empty one is a gap."""
    return [Line(word, 700.0 - 14 * n, 712.0 - 14 * n) for n, word in enumerate(words) if word]


def layout(*pages: list[Line], outline: tuple[Entry, ...] = (Entry(1, "T", 0, None),)) -> list[object]:
    return [block for block in blocks(list(pages), list(outline)) if block != Heading(1, "T", 0)]


def test_gaps_part_paragraphs_and_bullets_part_items() -> None:
    found = layout(lines("One", "two.", "", "Three", "• four", "five", "2. six"))
    assert found == ["One two.", "Three", "- four five", "2. six"]


def test_parted_words_become_whole_and_compounds_stay() -> None:
    assert layout(lines("a ket-", "tle, 3-", "fold, X-", "Ray")) == ["a kettle, 3- fold, X- Ray"]


def test_what_stands_at_the_edge_of_every_page_goes() -> None:
    pages = [lines("Tea Book", f"Text {chr(97 + n)}.", f"Page {n + 1}") for n in range(4)]
    assert layout(*pages) == ["Text a.", "Text b.", "Text c.", "Text d."]


def test_a_sentence_goes_on_over_the_page() -> None:
    assert layout(lines("It goes"), lines("on."), lines("End")) == ["It goes on.", "End"]


def test_a_heading_replaces_the_lines_that_show_it_or_stands_where_the_outline_says() -> None:
    page = lines("Before.", "", "2.1 All the", "pots", "After.", "", "Below.")
    outline = (Entry(2, "All the pots", 0, None), Entry(3, "Hidden", 0, 620.0))
    assert layout(page, outline=outline) == [
        "Before.",
        Heading(2, "All the pots", 0),
        "After.",
        Heading(3, "Hidden", 0),
        "Below.",
    ]


def test_text_that_looks_like_markup_stays_text() -> None:
    assert layout(lines("# no heading"), lines("```"), lines("| a")) == ["\\# no heading", "\\```", "\\| a"]
