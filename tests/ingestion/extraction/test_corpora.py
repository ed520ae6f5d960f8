"""Inputs that broke other parsers: none breaks the extractor, and none loses text that browsers show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction.extract import READERS, extract
from ingestion.types import Page
from tests.support import corpora, source_archives
from tests.support.growth import TIMES, is_linear

HTML = "text/html"
# One type for each way to read.
TYPES = sorted({reader: content_type for content_type, reader in reversed(READERS.items())}.values())
# Pandoc reads these, a process whose time is bounded but not counted here.
BY_PANDOC = {"text/asciidoc", "text/x-org"}

# Those that BeautifulSoup's fuzzer found.
CRASHES = [
    "4670634698080256", "4818336571064320", "4999465949331456", "5000587759190016", "5167584867909632",
    "5270998950477824", "5375146639360000", "5492400320282624", "5843991618256896", "5984173902397440",
    "6124268085182464", "6241471367348224", "6306874195312640", "6450958476902400", "6600557255327744",
    "crash-0d306a50c8ed8bcd0785b67000fcd5dea1d33f08",
]  # fmt: skip


def text_of(body: bytes, content_type: str = HTML, charset: str = "") -> str:
    """Return the Markdown, or nothing where the page has none; any other error is a failure."""
    try:
        return extract(Page("https://docs.example/page", body, content_type, charset)).markdown
    except UnsupportedContent:
        return ""


# --- BeautifulSoup --------------------------------------------------------------------------------------

# The same again and again, up to this size, shows time that grows with the square.
LONG = 100_000


def crashes() -> dict[str, bytes]:
    return source_archives.read_all("beautifulsoup4", "/bs4/tests/fuzz/", ".testcase")


@pytest.mark.slow
@pytest.mark.parametrize("name", CRASHES)
def test_what_crashes_other_parsers_is_read_in_time_in_proportion(name: str) -> None:
    (body,) = (body for file, body in crashes().items() if name in file)
    for content_type in TYPES:
        text_of(body, content_type)
        if content_type not in BY_PANDOC:
            assert is_linear(partial(repeated, body, content_type), LONG // TIMES), content_type


def repeated(body: bytes, content_type: str, size: int) -> str:
    return text_of(body * (size // len(body)), content_type)


def test_no_crash_is_left_out() -> None:
    assert len(crashes()) == len(CRASHES)


# --- html5lib -------------------------------------------------------------------------------------------

# What is left out on purpose, and what is not in a page's text.
LEFT_OUT = frozenset(
    {"title", "head", "script", "style", "template", "iframe", "object", "svg", "canvas", "select", "textarea"}
    | {"noscript", "noframes", "button", "dialog", "header", "footer", "nav", "aside"}
)
DIFFERENT = {
    "where one element is marked as the main one, the rest of the page is not read": {
        *("blocks.dat 2", "blocks.dat 3", "main-element.dat 0", "main-element.dat 1"),
    },
    "libxml2 lets a picture, a choice or a template that nobody closed run on, and none is read": {
        *("namespace-sensitivity.dat 0", "tables01.dat 9", "template.dat 96", "template.dat 97", "template.dat 102"),
        *("tests10.dat 13", "tests10.dat 15", "tests10.dat 18", "tests10.dat 19", "tests18.dat 14", "tests7.dat 13"),
        *("tests7.dat 14", "webkit01.dat 29", "webkit02.dat 19"),
    },
    "libxml2 ends a button with the link around it": {"adoption01.dat 2"},
    "what stands in noscript says that scripts are needed": {"noscript01.dat 16", "tests18.dat 4"},
    "libxml2 takes CDATA in a formula for a comment": {"tests21.dat 1"},
}


def trees() -> Iterator[tuple[str, dict[str, bytes]]]:
    for file, body in source_archives.read_all("html5lib", "/testdata/tree-construction/", ".dat").items():
        yield from ((f"{file} {number}", case) for number, case in enumerate(corpora.sections(body)))


def drawn() -> dict[str, tuple[bytes, Counter[str]]]:
    """Return pages and the letters that browsers show of them, where there are any; parts of pages are left out."""
    whole = {name: case for name, case in trees() if case.keys().isdisjoint({"document-fragment", "script-on"})}
    found = {name: (case["data"], corpora.shown(case["document"], LEFT_OUT)) for name, case in whole.items()}
    return {name: (page, corpora.letters(text)) for name, (page, text) in found.items() if corpora.letters(text)}


def test_it_shows_the_text_that_browsers_show() -> None:
    cases = drawn()
    different = {
        n for n, (page, letters) in cases.items() if corpora.letters(text_of(page, charset="utf-8")) != letters
    }
    assert (len(cases), different) == (562, set().union(*DIFFERENT.values()))


def test_a_part_of_a_page_is_read_too() -> None:
    parts = [case["data"] for _, case in trees() if "document-fragment" in case or "script-on" in case]
    texts = [text_of(part) for part in parts]
    assert (len(texts), any(texts)) == (188, True)


def tokens() -> Iterator[tuple[str, str | None]]:
    for body in source_archives.read_all("html5lib", "/testdata/tokenizer/", ".test").values():
        yield from corpora.token_cases(body)


def test_it_reads_the_characters_that_browsers_read() -> None:
    """References to characters by name and number, and text between broken tags."""
    texts = [(text_of(page.encode("utf-8", "surrogatepass"), charset="utf-8"), expected) for page, expected in tokens()]
    compared = [(corpora.letters(text), corpora.letters(expected)) for text, expected in texts if expected]
    assert (len(texts), sum(bool(expected) for _, expected in compared)) == (6804, 2981)
    assert [(text, expected) for text, expected in compared if expected and text != expected] == []


@pytest.mark.slow
@pytest.mark.parametrize("content_type", TYPES)
def test_a_file_of_broken_pages_is_read_in_every_format(content_type: str) -> None:
    files = source_archives.read_all("html5lib", "/testdata/")
    assert len(files) > 80
    for body in files.values():
        text_of(body[: LONG // 10 if content_type in BY_PANDOC else LONG], content_type)
