"""Pages become Markdown: encodings, HTML, Markdown, reStructuredText, text, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction import plain
from ingestion.extraction.encoding import decode
from ingestion.extraction.extract import extract
from ingestion.types import Extracted, Page
from tests.support.growth import calls, is_linear

URL = "https://docs.example/guide/page.html"

ROOT = Path(__file__).resolve().parents[3]


def read(body: str | bytes, content_type: str = "text/html", url: str = URL, charset: str = "") -> Extracted:
    raw = body.encode() if isinstance(body, str) else body
    return extract(Page(url=url, body=raw, content_type=content_type, charset=charset))


# --- Bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "charset", "expected"),
    [
        ("\ufeffé".encode("utf-16"), "utf-8", "é"),
        (b"\xef\xbb\xbf\xc3\xa9", "iso-8859-2", "é"),
        ("ő".encode("iso-8859-2"), "iso-8859-2", "ő"),
        ("é".encode(), "iso-8859-1", "é"),
        (b"caf\xe9 \x93q\x94", "iso-8859-1", "café “q”"),
        ("é".encode(), "", "é"),
        ("é".encode(), "no-such-codec", "é"),
        ("é".encode(), "base64", "é"),
        (b"ok \xff ok", "utf-8", "ok \ufffd ok"),
    ],
)
def test_bytes_are_decoded_by_mark_then_charset_then_detection(body: bytes, charset: str, expected: str) -> None:
    assert decode(body, charset).lstrip("\ufeff") == expected


def test_a_page_may_declare_its_own_encoding() -> None:
    page = '<html><head><meta charset="windows-1251"></head><body><p>Привет мир</p></body></html>'
    assert read(page.encode("windows-1251")).markdown == "Привет мир"


def test_the_transport_outranks_the_page() -> None:
    page = '<html><head><meta charset="windows-1251"></head><body><p>Привет</p></body></html>'
    assert read(page.encode("koi8-r"), charset="koi8-r").markdown == "Привет"


def test_controls_and_halves_of_pairs_are_dropped_even_as_entities() -> None:
    assert read("<p>a\x00b&#1;c&#xFFFE;d\r\ne</p>").markdown == "abcd e"
    assert read("a\x00b\x1b\r\nc\rd", "text/plain").markdown == "ab\nc\nd"


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "text/markdown"])
def test_a_binary_with_the_type_of_a_text_is_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedContent, match="binary"):
        read(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, content_type)


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedContent, match=r"image/png .*page\.html"):
        read(b"x", "image/png")


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "text/markdown", "text/x-rst"])
@pytest.mark.parametrize("body", [b"", b"\n \t\n", b"\x00"])
def test_an_empty_page_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(UnsupportedContent, match=r"no text|binary"):
        read(body, content_type)


# --- Hostile input -----------------------------------------------------------------------------------------

DEEP: dict[str, Callable[[], tuple[str, str]]] = {
    "divs": lambda: ("text/html", "<div>" * 20_000 + "word" + "</div>" * 20_000),
    "lists": lambda: ("text/html", "<ul><li>" * 5_000 + "word"),
    "tables": lambda: ("text/html", "<table><tr><td>" * 3_000 + "word"),
    "headers": lambda: ("text/html", "<p>word</p>" + "<header>" * 5_000),
    "indentation": lambda: ("text/x-rst", "\n\n".join(" " * i + "word" for i in range(500))),
    "definitions": lambda: ("text/x-rst", "\n".join(" " * i + "word" for i in range(500))),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_nesting_keeps_the_text(name: str) -> None:
    content_type, body = DEEP[name]()
    markdown = read(body, content_type).markdown
    assert "word" in markdown
    assert len(markdown) <= len(body)


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "text/markdown", "text/x-rst"])
def test_a_line_of_five_megabytes_is_read(content_type: str) -> None:
    line = "lorem ipsum dolor " * 280_000
    assert read(line, content_type).markdown.strip() == line.strip()


HOSTILE = ["[", "](", "`", "``a`", ":a:`", ":a:a", "|a", "{#", " ", "\n", "\\", "http://", "a_ ", "=\n", "- a\n", "<"]


@pytest.mark.slow
@pytest.mark.parametrize("content_type", ["text/markdown", "text/x-rst", "text/html"])
@pytest.mark.parametrize("pattern", HOSTILE)
def test_repeated_markup_takes_time_in_proportion(pattern: str, content_type: str) -> None:
    def attempt(size: int) -> None:
        try:
            text = read(pattern * (size // len(pattern)), content_type).markdown
        except UnsupportedContent as refusal:
            text = str(refusal).partition("no text")[1]
        assert text

    assert is_linear(attempt, 50_000)


@pytest.mark.parametrize("content_type", ["text/markdown", "text/x-rst", "application/x-ipynb+json"])
def test_a_text_of_more_lines_than_markup_has_is_kept_as_it_is_written(
    content_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "MAX_LINES", 5)
    written = "# Tea\n\n<b>Pour</b>\n\n:::note\n{{< tip >}}\n"
    body = json.dumps({"cells": [{"cell_type": "markdown", "source": written}]}) if "ipynb" in content_type else written
    found = read(body, content_type)
    assert (found.title, found.markdown) == ("# Tea", written.strip())


@pytest.mark.parametrize("content_type", ["text/markdown", "text/x-rst"])
@pytest.mark.parametrize("line", ["a\n\n", "# a\n", "a\n"])
def test_many_lines_of_a_letter_cost_few_calls_each(line: str, content_type: str) -> None:
    """A reader of markup makes 60 to 150 calls for each."""
    page = Page("https://a.example/tea", (line * 12_000).encode(), content_type)
    assert calls(lambda: extract(page)) < 25 * 12_000


def test_many_lines_of_ordinary_length_are_read_as_markup() -> None:
    page = Page("https://a.example/tea", b"A [cup](cup.md) of **tea**.\n\n" * 6_000, "text/markdown")
    assert "](" not in extract(page).markdown


def test_words_without_marks_are_not_searched_for_each_kind_of_them() -> None:
    page = Page("https://a.example/tea", b"A cup of tea, and a pot.\n\n" * 1_000, "text/markdown")
    assert calls(lambda: extract(page), of="sub") < 1_000


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Python 3.11.2, that of Debian 12, then finds less than is there, without an error (3.11.7 does not)."""
    modules = [path for folder in ("ingestion", "search", "ragproject") for path in (ROOT / folder).rglob("*.py")]
    found = [str(path) for path in modules if re.search(r"(?<!\\)\)[*+?]\+(?!,)", path.read_text())]
    assert found == []
