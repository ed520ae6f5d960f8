"""AsciiDoc, Org, RTF, Office files and books become Markdown through pandoc, and hostile ones cost bounded time."""

from __future__ import annotations

import io
import os
import subprocess
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ingestion.exceptions import ToolMissing, TransientError, UnsupportedContent
from ingestion.extraction import child_process
from ingestion.extraction.extract import extract
from ingestion.extraction.pandoc import asciidoc, reader
from ingestion.media_types import FORMATS
from ingestion.types import Extracted, Page
from tests.support.processor_time import spent
from tests.support.words import lost_words

DOCX = ".docx"
CONTENT_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)
RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Id="r1" Type="{RELATION}/officeDocument" Target="word/document.xml"/></Relationships>'
)
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
CHART = "http://schemas.openxmlformats.org/drawingml/2006/chart"


def read(body: bytes | str, suffix: str) -> Extracted:
    body = body.encode() if isinstance(body, str) else body
    return extract(Page(f"file:///docs/tea{suffix}", body, FORMATS[suffix]))


def written(markdown: str, markup: str) -> bytes:
    """Return what pandoc writes of a Markdown text."""
    command = [reader.pandoc_path(), "-f", "markdown", "-t", markup, "-s", "-o", "-"]
    return subprocess.run(command, input=markdown.encode(), capture_output=True, check=True).stdout


def archive(parts: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return file.getvalue()


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def docx(*content: str, prolog: str = "", **parts: str) -> bytes:
    """Return a document of Word; ``parts`` are other parts of its folder."""
    body = f'{prolog}<w:document xmlns:w="{WORD}"><w:body>{"".join(content)}</w:body></w:document>'
    others = {f"word/{name.replace('__', '/')}.xml": part for name, part in parts.items()}
    return archive(
        {"[Content_Types].xml": CONTENT_TYPES, "_rels/.rels": RELATIONS, "word/document.xml": body, **others}
    )


# --- All formats ------------------------------------------------------------------------------------------

GUIDE = """---
title: The kettle guide
---

# First use

Fill the *kettle* with **fresh** water, see [the shop](https://tea.example/shop).

## Boiling

| Tea   | Minutes |
|-------|---------|
| Green | 2       |
| Black | 4       |

1. Wait.
2. Pour.

- Cups
- Pots

# Care

> Never dry.

Use vinegar[^1] once a month.

[^1]: Or lemon juice.
"""
WORDS = "The kettle guide First use Fill fresh water shop Boiling Green 2 Black 4 Wait Pour Cups Pots Care dry lemon"


@pytest.mark.parametrize("markup", ["asciidoc", "org", "rtf", "docx", "odt", "epub"])
def test_every_format_keeps_words_headings_tables_and_links(markup: str) -> None:
    page = read(written(GUIDE, markup), ".adoc" if markup == "asciidoc" else f".{markup}")
    assert not lost_words(WORDS, page.markdown)
    assert page.title in ("The kettle guide", "tea.rtf", "First use")
    assert "| Green | 2 |\n| Black | 4 |" in page.markdown
    headings = [line.lstrip("# ") for line in page.markdown.split("\n") if line.startswith("#")]
    assert [name for name in headings if name in ("First use", "Boiling", "Care")] == ["First use", "Boiling", "Care"]
    assert "https://tea.example/shop" in page.links


def test_slides_keep_titles_bullets_and_the_notes_of_the_speaker() -> None:
    slides = "# Kettles\n\n- Boil\n- Pour\n\n::: notes\nMention the lid.\n:::\n\n# Cups\n\n- Drink\n"
    page = read(written(slides, "pptx"), ".pptx")
    assert not lost_words("Kettles Boil Pour Cups Drink Mention the lid", page.markdown)
    assert page.markdown.index("Kettles") < page.markdown.index("Boil") < page.markdown.index("Drink")


def test_formulas_are_kept_as_tex() -> None:
    assert "$x^2$" in read("stem:[x^2] is a square.", ".adoc").markdown
    assert "x^{2}$" in read(written("The $x^2$ of it.", "docx"), DOCX).markdown


@pytest.mark.parametrize("suffix", [".adoc", ".org"])
def test_a_document_without_text_is_refused(suffix: str) -> None:
    with pytest.raises(UnsupportedContent, match=r"no text in .*tea"):
        read("\n\n", suffix)


def test_headings_of_text_files_lead_to_their_anchors_and_those_of_office_files_to_none() -> None:
    assert read("= Tea\n\n== First use\n\nFill it.", ".adoc").anchors == {"Tea › First use": "_first_use"}
    assert read(written(GUIDE, "docx"), DOCX).anchors == {}


# --- AsciiDoc ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (":where: the shelf\n\nIt stands on {where}.", "It stands on the shelf."),
        ("NOTE: It is hot.", "**Note**\n\nIt is hot."),
        ("[WARNING]\n====\nTwo\n\nlines\n====", "**Warning**\n\nTwo\n\nlines"),
        ("[TIP]\n.Save water\n====\nFill half.\n====", "**Save water**\n\nFill half."),
        ("[source,ruby]\n.The loop\n----\nloop { }\n----", "**The loop**\n\n```ruby\nloop { }\n```"),
        ("----\nfoo <1>\n----\n<1> Explains foo.", "1. Explains foo."),
        ("|===\n|Key |Use\n\n|ttl\n|how long\n|===", "| Key | Use |\n| --- | --- |\n| ttl | how long |"),
        ("See <<a,the part>>, xref:b.adoc#c[that page].", "See the part, that page."),
        ("kettle:: boils\npot:: brews", "**kettle**\n\nboils\n\n**pot**\n\nbrews"),
        ("Tea{empty}footnote:[Or coffee.]", "[1]\n\n1. Or coffee."),
        ("[%collapsible]\n.More\n====\nhidden at first\n====", "**More**\n\nhidden at first"),
        ("[tabs]\n====\nLinux::\n+\n--\napt\n--\nMac::\n+\n--\nbrew\n--\n====", "**Linux**\n\napt\n\n**Mac**\n\nbrew"),
        ("****\naside\n****", "aside"),
        ("image::cup.png[A cup of tea]", "A cup of tea"),
        ("press kbd:[F5] then btn:[Go] in menu:File[New]", "press `F5` then **[Go]** in **File › New**"),
        (
            "before\n\ninclude::shared/terms.adoc[leveloffset=+1]\n\nafter",
            "before\n\nIncluded: shared/terms.adoc\n\nafter",
        ),
        ("----\ninclude::code.rb[]\n----", "```\nIncluded: code.rb\n```"),
        ("ifdef::beta[]\nbeta words\nendif::[]\nifndef::x[other words]", "beta words other words"),
        ("one\n\n////\nsecret ----\n////\n\n// secret\ntwo", "one\n\ntwo"),
        ("----\n// no comment\n////\n----", "```\n// no comment\n////\n```"),
        ("////\nnever closed", "never closed"),
    ],
)
def test_asciidoc_keeps_what_readers_see(source: str, shown: str) -> None:
    markdown = read(source, ".adoc").markdown
    assert shown in markdown
    assert "secret" not in markdown


@pytest.mark.slow
@pytest.mark.parametrize("line", ["////", "----", "ifdef::x[", "include::", "//", "[[[[", "|===", "= ", "* "])
def test_preparing_asciidoc_takes_linear_time(line: str) -> None:
    started = spent()
    asciidoc.prepared((line + "x\n") * 500_000)
    asciidoc.prepared((line + "\n") * 500_001)
    assert spent() - started < 10


# --- Office files -----------------------------------------------------------------------------------------


def test_what_pandoc_leaves_out_of_a_document_is_added() -> None:
    table = (
        "<w:tbl><w:tr>" + "".join(f"<w:tc>{paragraph(word)}</w:tc>" for word in ("cup", "saucer")) + "</w:tr></w:tbl>"
    )
    diagram = f'<d xmlns:a="{DRAWING}"><a:p><a:r><a:t>Kettle feeds pot</a:t></a:r></a:p></d>'
    chart = f'<c xmlns:c="{CHART}"><c:strCache><c:pt><c:v>Sales of tea</c:v></c:pt></c:strCache></c>'
    page = read(
        docx(paragraph("Before"), table, paragraph("After"), diagrams__data1=diagram, charts__chart1=chart), DOCX
    )
    assert not lost_words("Before cup saucer After Kettle feeds pot Sales of tea", page.markdown)
    assert "## Diagrams and charts\n\nKettle feeds pot\n\nSales of tea" in page.markdown


@pytest.mark.parametrize(
    ("runs", "shown"),
    [
        ("<w:t>one</w:t><w:br/><w:t>two</w:t>", "one\ntwo"),
        ("<w:t>Name</w:t><w:tab/><w:t>Value</w:t>", "Name Value"),
        ("<w:t>kettle</w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>ful</w:t>", "kettle**ful**"),
        ('<w:t>x</w:t></w:r><w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:t>2</w:t>', "x^2"),
        ("<w:t>Ver\u00adsicherung</w:t>", "Versicherung"),
        ("<w:t>e</w:t><w:noBreakHyphen/><w:t>mail</w:t>", "e\u2011mail"),
    ],
    ids=["line break", "tab", "bold part", "raised", "soft hyphen", "fixed hyphen"],
)
def test_words_that_pandoc_shows_in_parts_are_not_added_once_more(runs: str, shown: str) -> None:
    assert read(docx(f"<w:p><w:r>{runs}</w:r></w:p>"), DOCX).markdown == shown


def test_words_with_notes_links_and_formulas_in_them_are_not_added_once_more() -> None:
    source = "The $\\frac{a}{b}=\\alpha$ of it, [wo](https://tea.example)rd and w^[a note]ord."
    assert "Further text" not in read(written(source, "docx"), DOCX).markdown


def test_formulas_of_slides_are_added() -> None:
    assert "ab=α" in read(written("# Tea\n\n$\\frac{a}{b}=\\alpha$", "pptx"), ".pptx").markdown


def test_what_stands_on_every_page_and_what_reviewers_wrote_is_left_out_and_counted() -> None:
    part = '<x xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">{}</x>'
    others = {"header1": "Tea company", "footer2": "Page", "comments": "Is this right?"}
    page = read(docx(paragraph("Text"), **{name: part.format(paragraph(text)) for name, text in others.items()}), DOCX)
    assert page.markdown == "Text"
    assert {(each.rule, each.words) for each in page.dropped} == {
        ("page header or footer", 3),
        ("comment of a reviewer", 3),
    }


def test_text_boxes_and_inserted_words_are_kept_and_deleted_ones_are_not() -> None:
    box = f"<w:p><w:r><w:pict><w:txbxContent>{paragraph('in a box')}</w:txbxContent></w:pict></w:r></w:p>"
    inserted = "<w:ins><w:r><w:t>inserted</w:t></w:r></w:ins>"
    deleted = "<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
    found = read(docx(paragraph("Text"), box, f"<w:p>{inserted}{deleted}</w:p>"), DOCX).markdown
    assert "in a box" in found and "inserted" in found and "deleted" not in found


# --- Refused ----------------------------------------------------------------------------------------------

LAUGHS = "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 1000, "has a password or an old Office format; save it without"),
        (b"PK\x03\x04" + b"x" * 100, "is damaged"),
        (b"", "is damaged"),
        (b"<html>Not found</html>", "is damaged"),
        (docx(paragraph("x"))[:-40], "is damaged"),
        (archive({"a.txt": "x"}), "cannot be read as docx"),
        (docx(paragraph("tea " * 20_000_000)), "when unpacked; split it"),
        (docx(paragraph("tea " * 2_000_000)), "more than 200 times its size"),
        (archive({f"{n}.xml": "x" for n in range(10_001)}), "holds 10001 parts"),
        (archive({"word/document.xml": "x"}, zipfile.ZIP_LZMA), "compressed in an unusual way"),
        (
            docx(paragraph("&x;"), prolog='<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
            "cannot be read as docx",
        ),
        (docx(paragraph("&i;"), prolog=f'<!DOCTYPE d [<!ENTITY a "lol">{LAUGHS}]>'), "cannot be read as docx"),
    ],
    ids=["password", "broken", "empty", "page", "cut", "other", "huge", "bomb", "parts", "lzma", "entity", "laughs"],
)
def test_a_bad_office_file_is_refused_with_what_to_do(body: bytes, reason: str) -> None:
    with pytest.raises(UnsupportedContent, match=rf"tea\.docx {reason}|tea\.docx .*{reason}"):
        read(body, DOCX)


def test_an_encrypted_archive_is_refused() -> None:
    body = bytearray(docx(paragraph("x")))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = body.find(mark)
        while at >= 0:
            body[at + offset] |= 1
            at = body.find(mark, at + 4)
    with pytest.raises(UnsupportedContent, match=r"tea\.docx is encrypted; save it without a password"):
        read(bytes(body), DOCX)


@pytest.mark.parametrize(
    "include", ["include::/etc/hostname[]", "image::file:///etc/hostname[x]", "#+INCLUDE: /etc/hostname"]
)
def test_no_file_is_opened(include: str) -> None:
    with open("/etc/hostname") as file:  # noqa: PTH123
        name = file.read().strip()
    for suffix in (".adoc", ".org"):
        assert name not in read(f"Text\n\n{include}\n", suffix).markdown.replace("/etc/hostname", "")


def test_a_missing_pandoc_is_a_fault_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    reader.pandoc_path.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match="install pypandoc_binary"):
        read("= Tea", ".adoc")


# --- The child process ------------------------------------------------------------------------------------


def run(*command: str, body: bytes = b"", seconds: int = 60) -> bytes:
    return child_process.run(list(command), body, cpu_seconds=seconds)


def test_a_child_reads_its_input_and_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hidden")
    assert run("/bin/cat", body=b"x" * 5_000_000) == b"x" * 5_000_000
    assert set(run("/usr/bin/env").split()) <= {b"LANG=C.UTF-8", b"PWD=" + os.fsencode(Path.cwd()), b"_=/usr/bin/env"}


def test_a_child_that_waits_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "TIMEOUT_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(TransientError, match=r"more than 0\.2 s on the clock"):  # which is no fault of the document
        run("/bin/sleep", "60")
    assert time.monotonic() - started < 60


def test_a_child_that_computes_too_long_is_ended() -> None:
    with pytest.raises(child_process.ChildFailed, match="it takes more than 1 s of processor time"):
        run("/bin/sh", "-c", "while :; do :; done", seconds=1)


def test_a_child_that_writes_too_much_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "MAX_OUTPUT_BYTES", 1000)
    with pytest.raises(child_process.ChildFailed, match="more than 1000 bytes of text"):
        run("/usr/bin/yes")


def test_a_child_that_fails_says_why() -> None:
    with pytest.raises(child_process.ChildFailed, match="No such file"):
        run("/bin/ls", "/nowhere")


def test_a_text_that_is_too_much_for_pandoc_is_kept_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MEMORY", "-M1m")
    text = "= Tea" + "\n\nBoil *water*." * 2000
    assert read(text, ".adoc").markdown == text


def test_an_office_file_that_is_too_much_for_pandoc_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MEMORY", "-M1m")
    with pytest.raises(UnsupportedContent, match=r"tea\.docx cannot be read as docx \(it needs more memory"):
        read(docx(*(paragraph(f"Text {n}") for n in range(10_000))), DOCX)


@pytest.mark.parametrize(("body", "suffix"), [("= Tea\n\nBoil *water*.", ".adoc"), (docx(paragraph("Text")), DOCX)])
def test_a_document_is_tried_again_where_a_busy_machine_gave_pandoc_no_time(
    body: str | bytes, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "TIMEOUT_SECONDS", 0.001)
    with pytest.raises(TransientError, match="on the clock"):
        read(body, suffix)


# --- Hostile ----------------------------------------------------------------------------------------------

CONSTRUCTS: dict[str, Callable[[int], str]] = {
    "nested lists": lambda n: "".join("*" * (1 + k % 5) + " x\n" for k in range(n)),
    "sections": lambda n: "== x\n\ntext of it\n\n" * n,
    "tables": lambda n: "|===\n" + "|cell of a table\n" * n + "|===\n",
    "open blocks": lambda n: "====\nsome text\n" * n,
    "marks": lambda n: "*_`#" * n,
    "brackets": lambda n: "[" * n,
    "attributes": lambda n: ":a: b\n" * n + "{a}" * n,
    "one line": lambda n: "word " * n,
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".adoc", ".org"])
@pytest.mark.parametrize("name", CONSTRUCTS)
def test_hostile_text_is_read_in_time_and_kept(name: str, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "TEXT_SECONDS", 2)
    text = CONSTRUCTS[name](100_000)
    started = spent()
    found = read(text, suffix).markdown
    assert spent() - started < 10
    assert found.count("word") == text.count("word") and found.count("cell") == text.count("cell")
