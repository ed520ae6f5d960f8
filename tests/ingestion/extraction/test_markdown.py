"""Markdown of every dialect becomes plain Markdown; plain text stays what it is."""

from __future__ import annotations

import pytest

from ingestion.extraction.extract import extract
from ingestion.extraction.markdown import reader
from ingestion.types import Extracted, Page
from tests.support.growth import is_linear

URL = "https://docs.example/guide/page.html"


def read(body: str, content_type: str = "text/markdown", url: str = URL) -> Extracted:
    return extract(Page(url=url, body=body.encode(), content_type=content_type))


def md(body: str) -> str:
    return read(body).markdown


def test_markdown_loses_its_front_matter_and_keeps_the_title_from_it() -> None:
    page = read('---\ntitle: "Tea"\ntags: [a]\n---\n\n# Leaves\n\nSteep.')
    assert (page.title, page.markdown) == ("Tea", "# Leaves\n\nSteep.")
    assert page.anchors == {"Tea › Leaves": "leaves"}


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    assert read("---\nSome words\n---\nmore").markdown.startswith("---\n")


def test_markdown_headings_get_slugs_and_underlined_ones_count() -> None:
    page = read("Top\n===\n\n## A `b` c!\n\n## A `b` c!\n\n```\n# no\n```\n")
    assert page.markdown.startswith("# Top\n")
    assert page.title == "Top"
    assert page.anchors == {"Top": "top", "Top › A b c!": "a-b-c"}


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
    page = read("Kettles\n=======\n\nBoil.\n\nCups\n----\n\nDrink.\n\na | b\n--+--\n", "text/plain")
    assert page.title == "Kettles"
    assert page.markdown.startswith("# Kettles\n\nBoil.\n\n## Cups\n\nDrink.")


# --- Dialects ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '!!! note "Mind the gap"\n    A *b*.\n\n    ```py\n    x\n    ```\n\nC.',
            "**Note: Mind the gap**\n\nA *b*.\n\n```py\nx\n```\n\nC.",
        ),
        ('!!! note "Note"\n    A.', "**Note**\n\nA."),
        ("??? tip\n\n\tTabbed.\n", "**Tip**\n\nTabbed."),
        ('!!! note ""\n    Bare.', "Bare."),
        ("> [!WARNING]\n> Hot\n> ```sh\n> ls <x>\n> ```", "**Warning**\n\nHot\n```sh\nls <x>\n```"),
        (":::tip[Be quick]\n\nHurry.\n\n:::\n\nx", "**Tip: Be quick**\n\nHurry.\n\nx"),
        ("::: details Click me\nInside.\n:::", "**Click me**\n\nInside."),
        ("```{note} Direct\nwords.\n```", "**Note**\n\nDirect\nwords."),
        ("````{tip}\n:class: x\n\n```{warning}\nHot.\n```\n````", "**Tip**\n\n**Warning**\n\nHot."),
        ("```{admonition} Why\nSo.\n```", "**Why**\n\nSo."),
        ('{% hint style="danger" %}\nHot.\n{% endhint %}', "**Danger**\n\nHot."),
        ('<Callout type="warning">Hot.</Callout>', "**Warning**\n\nHot."),
        ("- a\n\n    !!! note\n        In.\n\n- b", "- a\n\n    **Note**\n\n    In.\n\n- b"),
    ],
)
def test_notes_of_every_dialect_begin_with_their_name(text: str, expected: str) -> None:
    assert md(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '=== "Python"\n\n    ```py\n    a\n    ```\n\n=== "Rust"\n\n    Words.',
            "**Python**\n\n```py\na\n```\n\n**Rust**\n\nWords.",
        ),
        (
            '<Tabs>\n  <TabItem value="a" label="Apple" default>\n\n    An apple.\n\n    ```js\n    let a;\n    ```'
            "\n\n  </TabItem>\n</Tabs>",
            "**Apple**\n\nAn apple.\n\n```js\nlet a;\n```",
        ),
        ("import X from '@theme/X';\nimport {\n  A,\n} from './a';\n\nText.\n\n<X a={<b/>} on={() => 1} />", "Text."),
        ("<Card>\n\nText.\n\n</Card>\n\nexport const a = {\n\n  b: 1};\n\nEnd.", "Text.\n\nEnd."),
        ("Say {/* not\nthis */}that.{' '}Now. {/* x */}", "Say\nthat. Now."),
    ],
)
def test_tabs_and_components_leave_their_labels_and_their_text(text: str, expected: str) -> None:
    assert md(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('--8<-- "includes/words.md"\n\nx', "x"),
        ('--8<-- "code/pot.py:2:4"', "The code of `code/pot.py`."),
        ("{* ../../docs_src/pot.py hl[3] *}", "The code of `docs_src/pot.py`."),
        ("{!../../src/pot.py!}", "The code of `src/pot.py`."),
        ("<<< @/pots/pot.js{2}", "The code of `@/pots/pot.js`."),
        ("```{literalinclude} pot.py\n```", "The code of `pot.py`."),
        ("::: kitchen.pots.Pot\n    options:\n      show: true\n\nx", "`kitchen.pots.Pot`\n\nx"),
        ("{% include x %}\n\nA {% if b %}c{% endif %} `{% d %}` {{< e >}}", "A c `{% d %}`"),
        ("{% highlight ruby %}\nputs <1>\n{% endhighlight %}", "```ruby\nputs <1>\n```"),
        ("[TOC]\n\nx", "x"),
    ],
)
def test_macros_never_stay_in_the_text(text: str, expected: str) -> None:
    assert md(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a <b>bold</b> <br/>word &amp; `<b>&amp;` x &lt;i&gt;", "a bold  word & `<b>&amp;` x <i>"),
        ("call <name> or `List<T>`", "call <name> or `List<T>`"),
        ("<details><summary>More <b>here</b></summary>\n\nHidden.\n\n</details>", "**More here**\n\nHidden."),
        ("a <!-- gone --> b `<!-- kept -->`", "a  b `<!-- kept -->`"),
        ("a\n\n<!-- gone\n\n```\n\n-->\nb", "a\n\nb"),
        ("<!-- never closed", "<!-- never closed"),
        ("<script setup>\nimport a\n\nb()\n</script>\n\nx", "x"),
        ("<pre>\na &lt; <b>b</b>\n</pre>", "```\na < b\n```"),
        (
            "<table>\n<tr><th>A</th><th>B</th></tr>\n<tr><td>1 <br> 2</td><td><code>x|y</code></td></tr>\n</table>",
            "| A | B |\n| --- | --- |\n| 1 2 | `x\\|y` |",
        ),
        ("See <https://t.example/a> or <img src='x' alt='a pot'>", "See https://t.example/a or a pot"),
        (
            "[here](../a.md 't') [`f()`](b.md) [there](https://t.example/x_(y)) ![pic](p.png){ width=3 }",
            "here `f()` [there](https://t.example/x_(y)) pic",
        ),
        (
            "[a][one] and [two], [`P`][pots.Pot] [x]\n\n[one]: b.md\n[two]: https://t.example 'T'",
            "a and [two](https://t.example), `P` [x]",
        ),
        (
            "{ref}`the pots <pots>` {py:class}`~a.Pot` {doc}`b` `#!python x = 1` ++ctrl+c++ :material-pot: y",
            "the pots `Pot` b `x = 1` ctrl+c y",
        ),
        ("text\n{: .lead }\n\n`a`{.py} [b](https://t.example){:target=_blank}", "text\n\n`a` [b](https://t.example)"),
    ],
)
def test_markup_in_prose_leaves_its_words_and_code_stays(text: str, expected: str) -> None:
    assert md(text) == expected


def test_fences_and_indented_code_are_never_changed_inside() -> None:
    code = "{% a %} <b>&amp;</b> [x](y.md) --8<-- <!-- c -->\n\n\n\n!!! note\n\timport a from 'b'"
    for marks in ("```", "~~~~"):
        assert (
            md(f"x\n\n{marks}md title='{{a}}'\n{code}\n{marks}\n\ny")
            == f"x\n\n{marks}md title='{{a}}'\n{code}\n{marks}\n\ny"
        )
    assert md("x\n\n    <b> {% a %}\n\n    [x](y)\n\ny") == "x\n\n```\n<b> {% a %}\n\n[x](y)\n```\n\ny"
    assert md("- x\n\n    a [b](c.md)") == "- x\n\n    a b"


def test_directives_of_myst_become_what_they_show() -> None:
    text = "```{code-block} python\n:linenos:\n\nx\n```\n\n```{toctree}\na\n```\n\n"
    text += "```{eval-rst}\n.. note:: :class:`Pot`\n```\n\n"
    text += "```{list-table} Cups\n* - A\n  - B\n* - 1\n  - `2`\n```\n\n```{versionadded} 5.2\nLids.\n```"
    assert md(text) == (
        "```python\nx\n```\n\n**Note**\n\n`Pot`\n\n**Cups**\n\n| A | B |\n| --- | --- |\n| 1 | `2` |\n\n"
        "**New in version 5.2**\n\nLids."
    )


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
    "{!  ", "<tr>", "![",
]  # fmt: skip


@pytest.mark.parametrize("pattern", HOSTILE)
def test_repeated_markup_takes_time_in_proportion(pattern: str) -> None:
    assert is_linear(lambda size: reader.read(URL, pattern * (size // len(pattern))).title, 25_000)


def test_headings_of_the_same_words_take_time_in_proportion() -> None:
    """Each takes the first of the fragments that are left: in a list all others would move up."""

    def ask(size: int) -> None:
        page = blocks.Reader("", jsx=False)
        page._anchors["a"].extend(["x"] * size)
        assert [page.anchor_of("a") for _ in range(size + 1)] == ["x"] * size + [""]

    assert is_linear(ask, 50_000)


def test_brackets_that_are_never_closed_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.extraction.markdown.marks.MAX_MODULE_LINES", 10**9)
    assert is_linear(lambda size: reader.read(URL, "import {\n\n" * size), 1000)
    assert reader.read(URL, "import {\n\n" * 2_000).markdown.count("import") == 1_999
