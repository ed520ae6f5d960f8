"""Pages become Markdown: encodings, HTML, Markdown, reStructuredText, text, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ingestion.exceptions import UnsupportedContent
from ingestion.extractor import decode, extract
from ingestion.types import Extracted, Page

URL = "https://docs.example/guide/page.html"


def read(body: str | bytes, content_type: str = "text/html", url: str = URL, charset: str = "") -> Extracted:
    raw = body.encode() if isinstance(body, str) else body
    return extract(Page(url=url, body=raw, content_type=content_type, charset=charset))


def rst(body: str) -> str:
    return read(body, "text/x-rst", "file:///docs/page.txt").markdown


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
    assert read("<p>a\x00b&#1;c&#xFFFE;d\r\ne</p>").markdown == "abcd\ne"
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
    with pytest.raises(UnsupportedContent, match="no text|binary"):
        read(body, content_type)


# --- HTML ----------------------------------------------------------------------------------------------

PAGE = """<!doctype html><html><head><title>Kettles — The Manual</title><style>p{}</style></head><body>
<header><h1>Site name</h1></header>
<nav><ul><li><a href="/start.html#top">Start</a></li></ul></nav>
<div role="main">
 <nav class="breadcrumbs">You are here</nav>
 <section id="kettles"><h1>Kettles<a class="headerlink" href="#kettles">¶</a></h1>
  <p>Boil <em>water</em> in <a href="cups.html">a cup</a>, see <a href="https://elsewhere.example/tea#x">tea</a>.</p>
  <section id="with-code"><h2>With <code>code</code></h2>
   <div class="highlight-python notranslate"><div class="highlight"><pre><span></span><span class="k">def</span> f():
    <span class="k">return</span> "```"
</pre></div></div>
   <ol><li>one</li><li>two<ul><li>inner</li></ul></li></ol>
   <table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1|2</td><td>3</td></tr></tbody></table>
   <dl><dt class="sig">fill(<em>cup</em>)</dt><dd><p>Fills it.</p></dd></dl>
   <div class="admonition note"><p class="admonition-title">Note</p><p>Hot.</p></div>
   <form><input name="q">Search</form><script>track()</script>
  </section>
 </section>
</div>
<footer>Copyright</footer></body></html>"""


def test_html_becomes_markdown_of_its_main_content() -> None:
    markdown = read(PAGE).markdown
    assert markdown.startswith("# Kettles\n\nBoil *water* in a cup, see [tea](https://elsewhere.example/tea#x).")
    assert '````python\ndef f():\n    return "```"\n````' in markdown
    assert "1. one\n2. two\n   - inner" in markdown
    assert "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |" in markdown
    assert "`fill(cup)`\n\nFills it." in markdown
    assert "**Note**\n\nHot." in markdown


@pytest.mark.parametrize("clutter", ["Site name", "Start", "You are here", "¶", "Search", "track", "Copyright", "p{}"])
def test_html_loses_what_is_not_content(clutter: str) -> None:
    assert clutter not in read(PAGE).markdown


def test_links_are_absolute_without_fragments_and_of_the_whole_page() -> None:
    assert read(PAGE).links == (
        "https://docs.example/start.html",
        "https://docs.example/guide/page.html",
        "https://docs.example/guide/cups.html",
        "https://elsewhere.example/tea",
    )


def test_links_follow_the_base_element_and_leave_out_other_schemes() -> None:
    page = '<base href="/v2/"><a href="a">a</a><a href="mailto:x@y.z">m</a><a href="http://[bad">b</a>text'
    assert read(page).links == ("https://docs.example/v2/a",)


def test_anchors_lead_from_heading_paths_to_fragments() -> None:
    assert read(PAGE).anchors == {"Kettles": "kettles", "Kettles › With code": "with-code"}


def test_the_title_is_the_heading_or_else_the_title_element_or_else_the_file() -> None:
    assert read(PAGE).title == "Kettles"
    assert read("<title> Only\n this </title><p>x</p>").title == "Only this"
    assert read("<p>x</p>").title == "page.html"


def test_a_page_that_marks_no_content_is_read_without_its_navigation() -> None:
    page = "<body><nav>menu</nav><div class=sidebar>side</div><h1>T</h1><p>text</p><footer>f</footer></body>"
    assert read(page).markdown == "# T\n\ntext"


def test_a_code_table_with_line_numbers_is_code() -> None:
    page = "<table><tr><td class=linenos><pre>1\n2</pre></td><td class=code><pre>a = 1\nb = 2</pre></td></tr></table>"
    assert read(page).markdown == "```\na = 1\nb = 2\n```"


def test_text_that_looks_like_markup_stays_text() -> None:
    assert read("<p># not a heading</p><p>```</p>").markdown == "\\# not a heading\n\n\\```"


# --- Markdown and text -----------------------------------------------------------------------------------


def test_markdown_loses_its_front_matter_and_keeps_the_title_from_it() -> None:
    page = read('---\ntitle: "Tea"\ntags: [a]\n---\n\n# Leaves\n\nSteep.', "text/markdown")
    assert (page.title, page.markdown) == ("Tea", "# Leaves\n\nSteep.")
    assert page.anchors == {"Tea › Leaves": "leaves"}


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    assert read("---\nSome words\n---\nmore", "text/markdown").markdown.startswith("---\n")


def test_markdown_headings_get_slugs_and_underlined_ones_count() -> None:
    page = read("Top\n===\n\n## A `b` c!\n\n## A `b` c!\n\n```\n# no\n```\n", "text/markdown")
    assert page.markdown.startswith("# Top\n")
    assert page.title == "Top"
    assert page.anchors == {"Top": "top", "Top › A b c!": "a-b-c"}


def test_links_of_markdown_leave_out_code() -> None:
    text = "[a](b.md#x) <https://two.example> [c][r]\n\n```\nhttps://code.example\n```\n\n[r]: /three\n"
    assert read(text, "text/markdown").links == (
        "https://docs.example/guide/b.md",
        "https://two.example",
        "https://docs.example/three",
    )


def test_plain_text_is_named_by_its_first_line_unless_that_is_long() -> None:
    assert read("First\n\nSecond", "text/plain").title == "First"
    assert read("x" * 500, "text/plain").title == "page.html"


# --- reStructuredText ------------------------------------------------------------------------------------


def test_rst_titles_rank_by_order_of_appearance() -> None:
    text = (
        "====\nPots\n====\n\nIntro.\n\nLids\n----\n\n"
        "Knobs of ``iron``\n~~~~~~~~~~~~~~~~~\n\nRound.\n\nBase\n----\nFlat.\n"
    )
    assert rst(text) == "# Pots\n\nIntro.\n\n## Lids\n\n### Knobs of `iron`\n\nRound.\n\n## Base\n\nFlat."


def test_rst_anchors_are_the_ids_of_docutils() -> None:
    page = read("Pots\n====\n\n1. The ``lid``'s rim\n-------------------\n\nx\n", "text/x-rst")
    assert page.anchors == {"Pots": "pots", "Pots › 1. The lid's rim": "the-lid-s-rim"}


def test_rst_code_becomes_fences_with_a_language() -> None:
    text = (
        "Like this::\n\n    a = 1\n\n        b\n\n"
        ".. code-block:: python\n    :caption: ``f.py``\n\n    def f(): ...\n\n"
        ">>> 1 + 1\n2\n\nEnd."
    )
    assert rst(text) == (
        "Like this:\n\n```\na = 1\n\n    b\n```\n\n`f.py`\n\n"
        "```python\ndef f(): ...\n```\n\n```pycon\n>>> 1 + 1\n2\n```\n\nEnd."
    )


def test_rst_notes_and_versions_begin_with_their_name() -> None:
    text = (
        ".. note:: Mind\n    the gap.\n\n.. admonition:: Why so?\n\n    Because.\n\n"
        ".. versionadded:: 5.2\n\n    New lid.\n\n"
        ".. warning::\n    Look::\n\n        code\n"
    )
    assert rst(text) == (
        "**Note:** Mind\nthe gap.\n\n**Why so?**\n\nBecause.\n\n**New in version 5.2:** New lid.\n\n"
        "**Warning:** Look:\n\n```\ncode\n```"
    )


def test_rst_objects_show_their_signature_and_their_text() -> None:
    text = (
        ".. class:: Pot(size, *lids)\n\n    Holds.\n\n"
        "    .. method:: pour(a)\n                pour(a, b)\n\n        Pours.\n\n"
        ".. setting:: POT\n\n``POT``\n-------\n\nDefault.\n"
    )
    assert rst(text) == (
        "`class Pot(size, *lids)`\n\nHolds.\n\n`pour(a)`\n`pour(a, b)`\n\nPours.\n\n# `POT`\n\nDefault."
    )


def test_rst_targets_with_a_text_keep_it() -> None:
    assert rst(".. setting:: POT\n\n    How big.\n") == "`POT`\n\nHow big."


def test_rst_literal_blocks_in_items_are_code() -> None:
    assert rst("- Text::\n\n      code\n\n      more\n") == "- Text:\n\n  ```\n  code\n\n  more\n  ```"


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        (":ref:`the pots <pot-label>`", "the pots"),
        (":class:`~kitchen.pots.Pot`", "`Pot`"),
        (":meth:`!Pot.pour`", "`Pot.pour()`"),
        (":doc:`/topics/tea-time`", "topics/tea time"),
        (":pep:`8` and :rfc:`2324`", "PEP 8 and RFC 2324"),
        ("``a`` and ``b`c``", "`a` and `` b`c ``"),
        ("``:role:`x```", "`` :role:`x` ``"),
        ("`tea <https://t.example/a>`_", "[tea](https://t.example/a)"),
        (
            "`tea`_ and tea_\n\n.. _tea: https://t.example/b",
            "[tea](https://t.example/b) and [tea](https://t.example/b)",
        ),
        ("a snake_case_ name_", "a snake_case_ name_"),
        ("|v| it\n\n.. |v| replace:: five", "five it"),
        ("# no heading", "\\# no heading"),
        ("``a``\\ s", "`a`s"),
        (":class:`QuerySet`\\s", "`QuerySet`s"),
        (":func:`spread over\n<x>` lines", "spread over lines"),
    ],
)
def test_rst_inline_markup_becomes_markdown(markup: str, expected: str) -> None:
    assert rst(markup) == expected


def test_rst_drops_comments_labels_and_lists_of_pages() -> None:
    text = ".. _label:\n\n.. a comment\n   of two lines\n\n"
    text += ".. toctree::\n   :maxdepth: 1\n\n   a\n\n.. index:: pots\n\nText."
    assert rst(text) == "Text."


def test_rst_lists_keep_what_belongs_to_an_item() -> None:
    text = "* one\n  more\n\n  .. code-block:: sh\n\n      ls\n\n"
    text += "* two\n\n#. first\n#. second\n\nterm\n    What it means.\n"
    assert rst(text) == (
        "- one\n  more\n\n  ```sh\n  ls\n  ```\n\n- two\n\n1. first\n2. second\n\n**term**\n\nWhat it means."
    )


def test_rst_tables_stay_as_they_are() -> None:
    table = "===== =====\nA     B\n===== =====\n``1`` 2\n\n3     4\n===== ====="
    assert rst(f"Before.\n\n{table}\n\nAfter.") == f"Before.\n\n{table}\n\nAfter."


# --- Hostile input -----------------------------------------------------------------------------------------

DEEP: dict[str, Callable[[], tuple[str, str]]] = {
    "divs": lambda: ("text/html", "<div>" * 20_000 + "word" + "</div>" * 20_000),
    "lists": lambda: ("text/html", "<ul><li>" * 5_000 + "word"),
    "tables": lambda: ("text/html", "<table><tr><td>" * 3_000 + "word"),
    "headers": lambda: ("text/html", "<p>word</p>" + "<header>" * 5_000),
    "indentation": lambda: ("text/x-rst", "\n\n".join(" " * i + "word" for i in range(500))),
    "definitions": lambda: ("text/x-rst", "\n".join(" " * i + "word" for i in range(500))),
    "library names": lambda: ("text/html", "<soup>word</soup><h99999999>w</h99999999><td colspan='²'>c"),
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


@pytest.mark.timeout(60)
@pytest.mark.parametrize("content_type", ["text/markdown", "text/x-rst", "text/html"])
@pytest.mark.parametrize("pattern", HOSTILE)
def test_repeated_markup_ends_where_quadratic_time_would_not(pattern: str, content_type: str) -> None:
    body = pattern * (200_000 // len(pattern))
    try:
        assert read(body, content_type).markdown
    except UnsupportedContent as refusal:
        assert "no text" in str(refusal)
