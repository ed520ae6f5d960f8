"""Markdown becomes plain Markdown with a title, links and anchors, in time in proportion; plain text stays as it is."""

from __future__ import annotations

import pytest

from ingestion.extraction.extract import extract
from ingestion.extraction.markdown import reader
from ingestion.extraction.slugs import github_slugger
from ingestion.types import Extracted, Page
from tests.support.growth import is_linear
from tests.support.words import lost_words

URL = "https://docs.example/guide/page.html"


def read(body: str, content_type: str = "text/markdown", url: str = URL) -> Extracted:
    return extract(Page(url=url, body=body.encode(), content_type=content_type))


def md(body: str) -> str:
    return read(body).markdown


def test_markdown_loses_its_front_matter_and_keeps_the_title_from_it() -> None:
    page = read('---\ntitle: "Tea"\ntags: [a]\n---\n\n# Leaves\n\nSteep.')
    assert (page.title, page.markdown) == ("Tea", "# Leaves\n\nSteep.")
    assert page.anchors == {"Tea › Leaves": "leaves"}


@pytest.mark.parametrize(
    "text",
    [
        "---\nSome words\n---\nmore",
        "---\n\nSome words\n\n---\n\nmore: x",
        "---\nnot closed: x",
        "---\n\nNote: some words.\n\n---\n\nmore",
        "---\nNote: some words\ngo on.\n---\nmore",
        "---\nNote: some words:\n\n- one\n- two\n---\nmore",
        "---\nsee also: some words\n\nMore of them.\n---\nmore",
    ],
)
def test_a_rule_at_the_top_is_no_front_matter(text: str) -> None:
    assert not lost_words(text, md(text))


def test_markdown_headings_get_slugs_and_underlined_ones_count() -> None:
    page = read("Top\n===\n\n## A `b` c!\n\n## A `b` c!\n\n```\n# no\n```\n")
    assert page.markdown.startswith("# Top\n")
    assert page.title == "Top"
    assert page.anchors == {"Top": "top", "Top › A b c!": "a-b-c"}
    slug = github_slugger()
    assert [slug(words) for words in ("A", "a", "a-1", "a")] == ["a", "a-1", "a-1-1", "a-2"]


def test_a_picture_is_the_heading_only_where_it_has_no_words() -> None:
    page = read("# ![Kettle](a.png)\n\n## Part ![passing](b.svg)\n\nx")
    assert page.markdown == "# Kettle\n\n## Part\n\nx"
    assert [(each.rule, each.words) for each in page.dropped] == [("pictures in headings", 1)]


def test_links_of_markdown_leave_out_code() -> None:
    text = "[a](b.md#x) <https://two.example> [c][r]\n\n```\nhttps://code.example\n```\n\n[r]: /three\n"
    assert read(text).links == (
        "https://docs.example/guide/b.md",
        "https://two.example",
        "https://docs.example/three",
    )


def test_plain_text_is_named_by_its_first_line_unless_that_is_long() -> None:
    assert read("First\n\nSecond", "text/plain").title == "First"
    assert read("x" * 500, "text/plain").title == "page.html"


def test_an_underlined_title_of_a_text_is_a_heading() -> None:
    page = read("Kettles\n=======\n\nBoil.\n\nCups\n----\n\nDrink.\n\na | b\n--+--\n\n* leaf\n------\n", "text/plain")
    assert page.title == "Kettles"
    assert page.markdown.startswith("# Kettles\n\nBoil.\n\n## Cups\n\nDrink.")
    assert page.markdown.endswith("* leaf\n------")


def test_headings_lead_where_they_say() -> None:
    text = "# A {#own .x}\n\n## B\n\n(target)=\n## C\n\n<a name='old'></a>\n\n## D\n\n"
    text += "## E {/* #mdx */}\n\n<h2 id='html'>F</h2>\n\nx"
    assert list(read(text).anchors.values()) == ["own", "b", "target", "old", "mdx", "html"]
    assert md(text).startswith("# A\n\n## B\n\n## C\n\n## D\n\n## E\n\n## F")


@pytest.mark.parametrize(
    "front",
    [
        '---\ntitle: "Tea"\n---',
        "+++\ntitle = 'Tea'\n+++",
        "---\n# c\ntitle: >-\n  Tea\na: b\n---",
        "---\n'title': x\ntitle: Tea\n---",
        "---\nexternal help file: x.xml\nModule Name: Lib\ntitle: Tea # named so\n---",
        "---\n  menu:\n    title: x\n  title: Tea\n---",
        "---\nTitle: Tea\n---",
        "---\ntitle: Tea\ndescription: words\nthat go on\n\n# remark\ntags:\n- a\n---",
        "\ufeff---\ntitle: 'Tea'\n---",
        "\n---\nTitle: Tea\nmenu:\n  title: x\n...",
    ],
)
def test_front_matter_names_the_page(front: str) -> None:
    page = read(f"{front}\n\nText.")
    assert (page.title, page.markdown) == ("Tea", "Text.")


def test_links_in_html_are_found() -> None:
    assert read('<a href="a.html">a</a> <Link to="/b">b</Link>').links == (
        "https://docs.example/guide/a.html",
        "https://docs.example/b",
    )


def test_notes_nested_deeper_than_anybody_writes_keep_their_text() -> None:
    assert "word" in md("\n".join("    " * i + "!!! note" for i in range(200)) + "\n" + "    " * 200 + "word")
    assert "word" in md("> " * 300 + "word")


HOSTILE = [
    "[", "](", "`", "``", " ", "\t", "\n", "\\", "http://", "=\n", "- a\n", "<", "<a ", '<a "', "<!--", "<!-- -->",
    "<pre\n", "<table>\n", "{/*", "{%", "{{<", "!!! a\n    ", '=== "x"\n    ', "```{note}\n", ":::a\n", "> ",
    "> [!note]\n", "import {\n", "[a]: b\n", "[a][a]", "![](", "[a](b", "++a", "(a)=\n", "{a}`", "&#", "--8<-- ",
    "{!  ", "<tr>", "![", "*a", "|a", "<a", "> > >", "- - -", ":::", "<Tabs>", "<Tabs>\n", "{{< x >}}", "[^a]: x\n",
    "$a", "```{note}\n", ":::{note}\n", "/// a\n", "<A x={", "<select>", "a\n: b\n", "|a|b|\n|-|-|\n", "^[a", "==a",
    "{++a", "1. ", "{.a ", "*{: a=b ", "{% raw %}", "<code>{{",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("pattern", HOSTILE)
def test_repeated_markup_takes_time_in_proportion(pattern: str) -> None:
    assert is_linear(lambda size: reader.read(URL, pattern * (size // len(pattern))).title, 25_000)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [*HOSTILE, "```{note}\n", ":::{tip}\n", "> - ", "[^a]: ", "- > ", "!!! a\n    "])
def test_a_hundred_thousand_levels_keep_their_words(pattern: str) -> None:
    assert "word" in reader.read(URL, pattern * 100_000 + "\n\nword").markdown


def test_a_paragraph_of_more_marks_than_anybody_writes_keeps_its_words() -> None:
    words = " ".join(f"*w{number}* [" for number in range(5_000))
    assert not lost_words(words, md(f"# Title\n\n{words}"))
    assert md(f"# Title\n\n{words}").startswith("# Title\n\n")


def test_a_page_of_more_marks_than_anybody_writes_is_kept_as_it_is_written() -> None:
    page = "*a* `b`\n\n" * 60_000
    assert reader.read(URL, page).markdown == page.strip("\n")


def test_brackets_that_are_never_closed_are_looked_for_a_few_times() -> None:
    assert is_linear(lambda size: reader.read(URL, "import {\n\n" * size), 1000)
    assert reader.read(URL, "import {\n\n" * 2_000).markdown.count("import") == 2_000
