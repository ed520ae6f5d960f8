"""Articles of unknown make lose the boxes that trafilatura leaves out; documentation loses nothing by it."""

from __future__ import annotations

import pytest

from ingestion.extraction.extract import extract
from ingestion.extraction.html import article
from ingestion.types import Extracted, Page

SENTENCE = "The kettle number {} stands on the stove until the water in it sings, and then somebody pours it over tea. "
PROSE = "".join(f"<p>{SENTENCE.format(number) * 2}</p>" for number in range(6))
BOX = (
    "<div class=nocomments><p>Jane says that nobody may write below, because some of those who did were not kind.</p>"
    "</div>"
)


def read(inner: str) -> Extracted:
    body = f"<html><head><title>Tea</title></head><body><div><h1>Tea</h1>{inner}</div></body></html>"
    return extract(Page("https://news.example/tea", body.encode(), "text/html"))


def test_a_box_beside_an_article_is_left_out_and_counted() -> None:
    page = read(PROSE + BOX)
    assert "Jane" not in page.markdown
    assert page.markdown.count("The kettle number") == 12
    assert [(each.rule, each.words) for each in page.dropped] == [("boxes beside the article", 16)]


def test_the_heading_of_such_a_box_goes_with_it() -> None:
    page = read(PROSE + BOX.replace("<p>", "<h2>About her</h2><p>"))
    assert page.markdown.count("The kettle number") == 12
    assert "About her" not in page.markdown


@pytest.mark.parametrize(
    "sign",
    [
        "<pre>boil()</pre>",
        "<p>Call <code>boil()</code> first.</p>",
        "<table><tr><th>Tea<th>Minutes<tr><td>green<td>2</table>",
    ],
)
def test_a_page_with_code_or_tables_is_not_judged(sign: str) -> None:
    page = read(PROSE + sign + BOX)
    assert "Jane" in page.markdown
    assert page.dropped == ()


def test_a_short_page_is_not_judged() -> None:
    assert "Jane" in read(f"<p>{SENTENCE}</p>{BOX}").markdown


def test_a_page_too_large_to_judge_is_kept() -> None:
    page = read(PROSE + "<p>and <b>so</b> on</p>" * article.MAX_ELEMENTS + BOX)
    assert "Jane" in page.markdown


def test_what_trafilatura_cannot_read_reaches_it_mended() -> None:
    """Names of elements and characters that lxml refuses, and attributes beyond all measure."""
    odd = "<x:y>odd</x:y><h2 {}>Part</h2><p>one&#1; two</p>".format(" ".join(f"a{n}=1" for n in range(1000)))
    page = read(f"{odd}{PROSE}{BOX}")
    assert "Jane" not in page.markdown
    assert "odd\n\n## Part\n\none two\n\nThe kettle" in page.markdown


def test_it_reads_nothing_but_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert read(f"<base href='https://other.example/'><img src=a.png>{PROSE}{BOX}").markdown
