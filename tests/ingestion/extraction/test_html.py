"""HTML becomes Markdown: what is kept, what goes, where the text is in pages of each make, and hostile pages."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction.extract import extract
from ingestion.extraction.html import parser
from ingestion.types import Extracted, Page
from tests.benchmarks import extraction
from tests.support.growth import calls

URL = "https://docs.example/guide/page.html"
DATA = Path(__file__).resolve().parents[2] / "data"
MAKES = sorted((DATA / "generators").glob("*.html"))
ARTICLES = sorted((DATA / "articles").glob("*.html"))


def read(body: str, url: str = URL) -> Extracted:
    return extract(Page(url=url, body=body.encode("utf-8", "surrogatepass"), content_type="text/html"))


def converted(inner: str) -> str:
    return read(f"<main><h1>T</h1>{inner}</main>").markdown.removeprefix("# T").strip()


# --- A whole page ----------------------------------------------------------------------------------------

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
    page = '<base href="/v2/"><base href="/v3/"><a href="a">a</a><a href="mailto:x@y.z">m</a><a href="http://[bad">b</a>text'
    assert read(page).links == ("https://docs.example/v2/a",)


def test_anchors_lead_from_heading_paths_to_fragments() -> None:
    assert read(PAGE).anchors == {"Kettles": "kettles", "Kettles › With code": "with-code"}


def test_the_title_is_the_heading_or_else_the_title_element_or_else_the_file() -> None:
    assert read(PAGE).title == "Kettles"
    assert read("<title> Only\n this </title><p>x</p>").title == "Only this"
    assert read("<p>x</p>").title == "page.html"
    assert read("<title>First</title><p>x</p><title>Second</title>").title == "First"
    assert read(f"<title>{'a' * 1000}</title><p>x</p>").title == "a" * 300


def test_a_page_that_marks_no_content_is_read_without_its_navigation() -> None:
    page = "<body><nav>menu</nav><div class=sidebar>side</div><h1>T</h1><p>text</p><footer>f</footer></body>"
    assert read(page).markdown == "# T\n\ntext"


def test_a_code_table_with_line_numbers_is_code() -> None:
    page = "<table><tr><td class=linenos><pre>1\n2</pre></td><td class=code><pre>a = 1\nb = 2</pre></td></tr></table>"
    assert read(page).markdown == "```\na = 1\nb = 2\n```"


def test_text_that_looks_like_markup_stays_text() -> None:
    assert read("<p># not a heading</p><p>```</p>").markdown == "\\# not a heading\n\n\\```"


@pytest.mark.parametrize(
    "body",
    [
        "<body><div>menu</div><main hidden><h1>T</h1><p>text</p></main></body>",
        "<body><div>menu</div><article aria-hidden=true><h1>T</h1><p>text</p></article></body>",
        "<body><main> </main><div><h1>T</h1><p>text</p></div></body>",
        "<body><div class=md-content__inner></div><div><h1>T</h1><p>text</p></div></body>",
    ],
)
def test_a_page_that_scripts_show_or_fill_is_read_from_where_its_text_is(body: str) -> None:
    assert read(body).markdown == "# T\n\ntext"


PROSE = "".join(f"<p>{'The kettle sings until somebody pours the water over the tea. ' * 2}</p>" for _ in range(6))


@pytest.mark.parametrize(
    "box",
    [
        "<div class=widget><pre>Mind the gap.</pre></div>",
        "<aside class=note><p>Mind the gap.</p></aside>",
        "<section id=comments><h2>Comments</h2><p>Mind the gap.</p></section>",
        f"<div class=comments>{PROSE}<p>Mind the gap.</p></div>",
        "<ul><li><a href=a>Mind the gap.</a><li><a href=b>Mind the step.</a><li><a href=c>Mind the door.</a></ul>",
    ],
)
def test_what_only_looks_like_a_side_box_stays_among_prose(box: str) -> None:
    page = read(f"<body><div><h1>T</h1>{PROSE}{box}<p>Call <code>boil()</code>.</p></div></body>")
    assert "Mind the gap." in page.markdown
    assert page.dropped == ()


def test_a_side_box_among_prose_goes() -> None:
    box = "<div class=widget><p>Latest posts</p></div>"
    page = read(f"<body><div><h1>T</h1>{PROSE}{box}<p>Call <code>boil()</code>.</p></div></body>")
    assert [(each.rule, each.words) for each in page.dropped] == [("side boxes", 2)]


def test_a_side_box_goes_but_a_note_stays() -> None:
    page = (
        "<body><h1>T</h1><aside>Latest posts</aside><aside class='note'><p>Mind the gap.</p></aside><p>text</p></body>"
    )
    assert read(page).markdown == "# T\n\nMind the gap.\n\ntext"


# --- Blocks and lines --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>a <b>bold </b>word, <i>an</i><em></em> other</p>", "a **bold** word, *an* other"),
        ("<p>one<br>two<br><br>three</p>", "one\ntwo\n\nthree"),
        ("loose <p>para</p> tail", "loose\n\npara\n\ntail"),
        ("<p><code>a  b</code> <kbd>Ctrl</kbd> <code>x`y</code></p>", "`a b` `Ctrl` `` x`y ``"),
        ("<p>10<sup>6</sup>, 4<sup>th</sup>, H<sub>2</sub>O</p>", "10^6, 4th, H2O"),
        ("<p>2<sup>n+1</sup>, (a+b)<sup>2</sup>, 10<sup>−3</sup> m</p>", "2^(n+1), (a+b)^2, 10^−3 m"),
        ("<p><b>R</b><sup>2</sup>, <code>x</code><sup>2</sup>, 2<sup>(k)</sup></p>", "**R**^2, `x`^2, 2^(k)"),
        ("<p>Brand<sup>®</sup>, Name<sup>TM</sup>, 1<sup>er</sup>, fact<sup>*</sup></p>", "Brand®, NameTM, 1er, fact*"),
        (
            "<p>x<sub>i</sub>, V<sub>max</sub>, 2011<sub>15ya</sub>, a<sub>n-1</sub></p>",
            "x_i, V_max, 2011_15ya, a_(n-1)",
        ),
        ("<p>C<sub>6</sub>H<sub>12</sub> <sub>low</sub></p>", "C6H12 low"),
        (
            "<p>Kon&shy;figu&shy;ration, very&#8203;Long&ZeroWidthSpace;Name, Auf&zwnj;lage, a<wbr>b</p>",
            "Konfiguration, veryLongName, Auflage, ab",
        ),
        ("<p>می\u200cخواهم</p>", "می\u200cخواهم"),
        ("<p><code>GET /a<br>Host: b</code> and <kbd>x<br/></kbd></p>", "`GET /a`\n`Host: b` and `x`"),
        ("<p>首先下载安\n  装包，<b>然后</b>\n运行。\nRun it</p>", "首先下载安装包，**然后**运行。 Run it"),
        ("<p>設定を\n<b>行う</b>。한국어\n문장</p>", "設定を**行う**。한국어 문장"),
        ("<p><ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rt>じ</rt></ruby></p>", "漢(かん)字(じ)"),
        ("<h2>安装\n指南</h2>", "## 安装指南"),
        ("<code><div>a = 1</div><div>b = 2</div></code>", "```\na = 1\nb = 2\n```"),
        ("<code><h3>Forgotten</h3><p>end tag</p></code>", "### Forgotten\n\nend tag"),
        ("<p>word<sup><a href='#fn1'>1</a></sup></p>", "word[1]"),
        ("<p>see <a href='//other.example/a b(c)'>there</a></p>", "see [there](https://other.example/a%20b%28c%29)"),
        ("<p><a href='javascript:x()'>run</a> <a href='/in'>in</a></p>", "run in"),
        ("<p><img src=a.png alt='A pot'> boils</p>", "A pot boils"),
        ("<p># no heading</p><p>```</p><p>#tag</p>", "\\# no heading\n\n\\```\n\n#tag"),
        ("<blockquote><p>one</p><p>two</p></blockquote>", "> one\n> \n> two"),
        ("<blockquote><p>one</p><pre>a\n b</pre></blockquote>", "one\n\n```\na\n b\n```"),
        ("<p><i>one <b>two</b></i> <b>2 * 3</b></p>", "one **two** 2 * 3"),
        (f"<p><a href='https://other.example/{'x' * 300}'>far away</a></p>", "far away"),
        (
            "<p>a</p><p hidden=until-found>b</p><details aria-hidden=true><summary>c</summary>d</details>",
            "a\n\nb\n\n**c**\n\nd",
        ),
        ("<ul><li>a<ul><li>b<ol><li>c</ol></ul><li><p>d</p><p>e</p></ul>", "- a\n  - b\n    1. c\n- d\n\n  e"),
        ("<ol start=4><li>x<li></li><li>y</ol>", "4. x\n5. y"),
        ("<ul><li><h3>Step</h3><p>do</p></ul>", "- **Step**\n\n  do"),
        ("<ul><li>a</li><ul><li>b</li></ul><li>c</ul>", "- a\n  - b\n- c"),
        ("<ol><li>a</li><ul><li>b</li><ol><li>c</ol></ul><li>d</ol>", "1. a\n   - b\n     1. c\n2. d"),
        ("<ul><li><pre>x\n y</pre>after</ul>", "-\n  ```\n  x\n   y\n  ```\n\n  after"),
        (
            "<ol><li><table><tr><th>a<th>b<tr><td>1<td>2</table></ol>",
            "1.\n   | a | b |\n   | --- | --- |\n   | 1 | 2 |",
        ),
        ("<table role=presentation><tr><td>a<td>b</table>", "a\n\nb"),
        ("<ul><ul><li>deep</ul><li>a</ul>", "- - deep\n- a"),
        ("<ul><li><span>a</span><div><div><ul><li>b<li>c</ul></div></div></ul>", "- a\n  - b\n  - c"),
        ("<ul><li>a<pre>x\n  y</pre></ul>", "- a\n\n  ```\n  x\n    y\n  ```"),
        ("<ul><li><input type=checkbox checked> done<li><input type=checkbox>open</ul>", "- [x] done\n- [ ] open"),
        ("<dl><dt>term<dd>What it means.</dl>", "**term**\n\nWhat it means."),
        ("<details><summary>More</summary>Hidden words</details>", "**More**\n\nHidden words"),
        ("<figure><img alt='A pot'><figcaption>The pot</figcaption></figure>", "A pot\n\nThe pot"),
        ("<p hidden>a</p><p style='display: none'>b</p><p aria-hidden=true>c</p>d", "d"),
        ("<p>x&#1;y &amp; z&nbsp;!</p>", "xy & z !"),
        ("<x-card><p>in</p></x-card><x-icon>side</x-icon> by side", "in\n\nside by side"),
        ("<h2><a class=anchor href='#a'>#</a></h2><h7>odd</h7>", "odd"),
    ],
)
def test_an_element_becomes_markdown(markup: str, expected: str) -> None:
    assert converted(markup) == expected


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<div class='highlight-python3 notranslate'><div class=highlight><pre>x</pre></div></div>", "python3"),
        ("<pre><code class='language-rust,ignore hljs'>x</code></pre>", "rust"),
        ("<pre><code class='hljs python'>x</code></pre>", "python"),
        ("<pre class='brush: js; toolbar: false'>x</pre>", "js"),
        ("<pre data-lang=sh>x</pre>", "sh"),
        ("<pre><code data-language=toml>x</code></pre>", "toml"),
        ("<div class='highlight highlight-source-shell'><pre>x</pre></div>", "shell"),
        ("<div class='language-ts vp-adaptive-theme'><pre class='shiki'><code>x</code></pre></div>", "ts"),
        ("<pre class='src src-python'>x</pre>", "python"),
        ("<div class=highlight-python><div><div><pre>x</pre></div></div></div>", "python"),
        ("<div class='language-sql highlight'><table><tr><td><pre>x</pre></td></tr></table></div>", "sql"),
        ("<div class='highlight-default'><pre>x</pre></div>", ""),
        ("<pre class='literal-block'>x</pre>", ""),
        ("<body class='lang-en'><div><div><div><div><pre>x</pre></div></div></div></div></body>", ""),
    ],
)
def test_code_knows_its_language(markup: str, expected: str) -> None:
    assert converted(markup) == f"```{expected}\nx\n```"


@pytest.mark.parametrize(
    "markup",
    [
        "<pre>a = 1\n\n  b</pre>",
        "<pre>a = 1<br><br>&nbsp; b</pre>",
        "<pre><code><div class=token-line>a = 1</div><div class=token-line>\n</div><div>  b</div></code></pre>",
        "<pre><span class=line>a = 1</span>\n<span class=line></span>\n<span class=line>  b</span></pre>",
        "<pre><span class=line>a = 1</span><span class=line></span><span class=line>  b</span></pre>",
        "<pre><span class=line>a = 1\n</span><span class=line></span>  b</pre>",
        "<pre><code>a = 1<div>\n</div><div>  b</div></code></pre>",
        "<pre><code><div>a = 1</div>\n\n<div>  b</div></code></pre>",
        "<pre><span class=lineno>1</span>a = 1\n\n<span class=lineno>3</span>  b<button>Copy</button></pre>",
        "<div class=chroma><table class=lntable><tr><td class=lntd><pre><code><span class=lnt>1\n</span></code>"
        "</pre></td>"
        "<td class=lntd><pre><code><span class=line><span class=cl>a = 1\n</span></span>\n<span class=line>"
        "<span class=cl>  b\n</span></span></code></pre></td></tr></table></div>",
        "<table class=highlighttable><tr><td class=linenos><pre>1\n2\n3</pre><td class=code><pre>a = 1\n\n  b</pre>"
        "</table>",
    ],
)
def test_code_keeps_its_lines_and_nothing_else(markup: str) -> None:
    assert converted(markup) == "```\na = 1\n\n  b\n```"


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<tr><th>a<th>b<tr><td>1|2<td><p>x</p><p>y</p>", "| a | b |\n| --- | --- |\n| 1\\|2 | x y |"),
        ("<tr><th colspan=2>a<th>b<tr><td>1<td>2<td>3", "| a | a | b |\n| --- | --- | --- |\n| 1 | 2 | 3 |"),
        ("<tr><th>a<th>b<tr><td rowspan=2>1<td>2<tr><td>3", "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 1 | 3 |"),
        (
            "<tr><th>a<th>b<tr><td rowspan=3>1<td>2<tr><td>3<tr><td>4",
            "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 1 | 3 |\n| 1 | 4 |",
        ),
        (
            "<tr><th>a<th>b<tbody><tr><td rowspan=0>1<td>2<tr><td>3<tr><td>4<tbody><tr><td>5<td>6",
            "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 1 | 3 |\n| 1 | 4 |\n| 5 | 6 |",
        ),
        (
            "<tr><th rowspan=2>k<th colspan=2>in 2024<tr><th>x<th>y<tr><td>1<td>2<td>3",
            "| k | in 2024 | in 2024 |\n| --- | --- | --- |\n| k | x | y |\n| 1 | 2 | 3 |",
        ),
        (
            "<tr><th>a<th>b<tr><td colspan=2>All of them<tr><td>1<td>2",
            "| a | b |\n| --- | --- |\n| All of them |  |\n| 1 | 2 |",
        ),
        (
            f"<tr><th>a<th>b<th>c<tr><td colspan=2>{'word ' * 20}<td>2",
            f"| a | b | c |\n| --- | --- | --- |\n| {('word ' * 20).strip()} |  | 2 |",
        ),
        (
            "<tr><th>a\\|b<th><code>c|d</code><tr><td>e\\\\|<td>f\\",
            "| a\\\\\\|b | `c\\|d` |\n| --- | --- |\n| e\\\\\\\\\\| | f\\ |",
        ),
        (
            "<tr><th>Day<th>Hours<tr><td>Mon<td><ul><li>10 to 14<li>15 to 18</ul>",
            "| Day | Hours |\n| --- | --- |\n| Mon | - 10 to 14 - 15 to 18 |",
        ),
        ("<tr><td>left<td><div class=fragment><div class=line>code</div></div>", "left\n\n```\ncode\n```"),
        ("<caption>Prices</caption><tr><th>a<th>b<tr><td>1<td>2", "**Prices**\n\n| a | b |\n| --- | --- |\n| 1 | 2 |"),
        ("<tr><td>left<td><pre>code</pre>", "left\n\n```\ncode\n```"),
        ("<tr><td>only<tr><td>column", "only\n\ncolumn"),
        ("<tr><th>a<th>b<tr><td><ul><li>x<li>y</ul><td><h4>z</h4>", "a\n\nb\n\n- x\n- y\n\n#### z"),
        ("<tr><th>a<th>b<tr><td colspan='²'>1<td rowspan=-3>2", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
    ],
)
def test_a_table_stays_a_table_unless_it_lays_out_the_page(markup: str, expected: str) -> None:
    assert converted(f"<table>{markup}</table>") == expected


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<div class='admonition warning'><p class=admonition-title>Warning</p><p>Hot.</p></div>", "**Warning**"),
        ("<div class='theme-admonition theme-admonition-tip alert'><div class=admonitionHeading_x>tip</div><div>"
        "<p>Hot.</p></div></div>", "**tip**"),
        ("<div class='markdown-alert markdown-alert-note'><p class=markdown-alert-title>Note</p>"
        "<p>Hot.</p></div>", "**Note**"),
        ("<aside class='starlight-aside starlight-aside--caution'><p class=starlight-aside__title>Caution</p>"
        "<p>Hot.</p></aside>", "**Caution**"),
        ("<div class='tip custom-block'><p class=custom-block-title>TIP</p><p>Hot.</p></div>", "**TIP**"),
        ("<div class='alert alert-warning'><p>Hot.</p></div>", "**Warning**"),
        ("<blockquote class='book-hint info'><p>Hot.</p></blockquote>", "**Info**"),
        ("<details class=note><summary>Folded</summary><p>Hot.</p></details>", "**Folded**"),
    ],
)  # fmt: skip
def test_a_note_begins_with_its_kind(markup: str, expected: str) -> None:
    assert converted(markup) == f"{expected}\n\nHot."


@pytest.mark.parametrize(
    "markup",
    [
        "<div class=tabbed-set><input type=radio id=a><input type=radio id=b><div class=tabbed-labels>"
        "<label for=a>Linux</label>"
        "<label for=b>macOS</label></div><div class=tabbed-content><div class=tabbed-block><p>apt</p></div>"
        "<div class=tabbed-block>"
        "<p>brew</p></div></div></div>",
        "<div class=sd-tab-set><input type=radio id=a><label class=sd-tab-label for=a>Linux</label>"
        "<div class=sd-tab-content><p>apt</p>"
        "</div><input type=radio id=b><label class=sd-tab-label for=b>macOS</label><div class=sd-tab-content>"
        "<p>brew</p></div></div>",
        "<div class=tabs-container><ul role=tablist class=tabs><li role=tab>Linux</li><li role=tab>macOS</li></ul><div>"
        "<div role=tabpanel><p>apt</p></div><div role=tabpanel hidden><p>brew</p></div></div></div>",
        "<ul role=tablist><li><a role=tab href='#l'>Linux</a><li><a role=tab href='#m'>macOS</a></ul><div>"
        "<div id=l role=tabpanel><p>apt</p></div><div id=m role=tabpanel hidden><p>brew</p></div></div>",
        "<ul><li><a data-toggle=tab href='#l'>Linux</a><li><a data-toggle=tab href='#m'>macOS</a></ul>"
        "<div class=tab-content><div id=l class='tab-pane active'><p>apt</p></div><div id=m class=tab-pane><p>brew</p>"
        "</div></div>",
        "<div role=tablist><button role=tab id=x>Linux</button><button role=tab id=y>macOS</button></div>"
        "<section role=tabpanel aria-labelledby=x><p>apt</p></section>"
        "<section role=tabpanel aria-labelledby=y style='display:none'><p>brew</p></section>",
        "<div role=tablist><button role=tab aria-controls=l>Linux</button>"
        "<button role=tab aria-controls=m>macOS</button>"
        "</div><div id=l role=tabpanel><p>apt</p></div><div id=m role=tabpanel aria-hidden=true><p>brew</p></div>",
        "<div class=vp-code-group><div class=tabs><input type=radio id=a><label for=a>Linux</label>"
        "<input type=radio id=b>"
        "<label for=b>macOS</label></div><div class=blocks><div><p>apt</p></div><div><p>brew</p></div></div></div>",
    ],
)
def test_tabs_are_read_one_after_another_under_their_labels(markup: str) -> None:
    assert converted(markup) == "**Linux**\n\napt\n\n**macOS**\n\nbrew"


@pytest.mark.parametrize(
    "markup",
    [
        "<span class=katex><span class=katex-mathml><math><semantics><mi>E</mi>"
        "<annotation encoding='application/x-tex'>E=mc^2"
        "</annotation></semantics></math></span><span class=katex-html aria-hidden=true>E=mc2</span></span>",
        "<span class=MathJax_Preview>?</span><script type='math/tex'>E=mc^2</script>",
        "<math alttext='E=mc^2'><mi>E</mi></math>",
    ],
)
def test_formulas_stay_tex(markup: str) -> None:
    assert converted(f"<p>So {markup}.</p>") == "So $E=mc^2$."


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<h3><button aria-expanded=false aria-controls=p>How?</button></h3><div id=p hidden>Press.</div>",
         "### How?\n\nPress."),
        ("<h2 class=accordion-header><button data-bs-toggle=collapse data-bs-target='#p'>How? <i>+</i></button></h2>"
         "<div id=p class=collapse style='display: none'>Press.</div>", "## How? +\n\nPress."),
        ("<p><a role=button aria-expanded=false href='#p'>How?</a></p><p>x</p><div id=p aria-hidden=true>Press.</div>",
         "How?\n\nx\n\nPress."),
        ("<h3 class=toggle>How?</h3><div style='display:none'>Press.</div>", "### How?\n\nPress."),
        ("<button aria-expanded=true><span>GET</span><span>/pets</span></button><p>All.</p>", "**GET /pets**\n\nAll."),
        ("<button class=accordion>How?</button><div class=panel style='display:none'><p>Press.</p></div>",
         "**How?**\n\nPress."),
        ("<dl><dt><button aria-expanded=false>How?</button></dt><dd aria-hidden=true>Press.</dd></dl>",
         "**How?**\n\nPress."),
        ("<details><summary><button>How?</button></summary>Press.</details>", "**How?**\n\nPress."),
        ("<details><summary><h3>How?</h3></summary>Press.</details>", "### How?\n\nPress."),
        ("<div role=heading><button>How?</button></div><p>Press.</p>", "How?\n\nPress."),
        ("<table><tr><th><button>Name</button><th>Size<tr><td>a<td>b</table>",
         "| Name | Size |\n| --- | --- |\n| a | b |"),
        ("<p>Press <button>OK</button> to go on.</p>", "Press OK to go on."),
        ("<p>x</p><button><span>get</span><span>/pets</span></button>", "x\n\nget /pets"),
        ("<button><b>200</b><div><p>A list</p></div></button>", "**200**\n\nA list"),
    ],
)  # fmt: skip
def test_the_words_of_what_opens_are_read(markup: str, expected: str) -> None:
    assert converted(markup) == expected


@pytest.mark.parametrize(
    "button",
    [
        "<button>Copy</button>",
        "<button class=x><svg></svg><span>Copy code</span></button>",
        "<button aria-haspopup=menu aria-expanded=false>Share</button>",
        "<clipboard-copy>Copy</clipboard-copy>",
        "<div role=toolbar>Bold Italic</div>",
        "<div hidden>secret</div>",
        "<div role=dialog>Subscribe</div>",
    ],
)
def test_what_does_something_is_no_text(button: str) -> None:
    page = read(f"<main><h1>T</h1><p>word</p>{button}<h2>Part {button}</h2><p>word</p></main>")
    assert page.markdown == "# T\n\nword\n\n## Part\n\nword"
    assert sum(each.words for each in page.dropped) == 2 * len(button_words(button).split())


def button_words(markup: str) -> str:
    return parser.parse(markup).root.text()


# --- Anchors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "heading",
    [
        "<h2 id=part>Part</h2>",
        "<h2 id=other>Part<a class=headerlink href='#part'>¶</a></h2>",
        "<h2><a class=toc-backref href='#id1'>Part</a><a class=headerlink href='#part'>¶</a></h2>",
        "<h2><span id=part>Part</span></h2>",
        "<section id=part><h2><a class=toc-backref href='#id1'>Part</a></h2></section>",
        "<a name=part></a><h2>Part</h2>",
        "<section id=part>\n<h2>Part</h2></section>",
        "<h2><a class=header href='#part'>Part</a></h2>",
        "<h2>Part<span><a class=mark href='#part' id=part>#</a></span></h2>",
        "<h2>Part <a href='#part'>¶</a></h2>",
        "<section id=part><a href='#part'></a><h2>Part</h2></section>",
        "<section id=part><span class=mark></span><h2>Part</h2></section>",
        "<h2 id=part>P&shy;art</h2>",
    ],
)
def test_a_heading_leads_to_its_anchor(heading: str) -> None:
    assert read(f"<main><h1>T</h1>{heading}<p>text</p></main>").anchors == {"T › Part": "part"}


def test_a_title_outside_the_content_leads_to_its_anchor() -> None:
    page = read("<title>Tea leaves</title><h1 id=top>Tea</h1><main><p>text</p></main>")
    assert (page.markdown, page.anchors) == ("# Tea\n\ntext", {"Tea": "top"})


def test_the_same_heading_twice_leads_to_the_first() -> None:
    page = "<main><h1>T</h1><h2 id=a>Part</h2><p>x</p><h2 id=b>Part</h2><h3 id=c>Sub</h3></main>"
    assert read(page).anchors == {"T › Part": "a", "T › Part › Sub": "c"}


# --- What a page says of itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("<link rel=canonical href='/a?b#c'>", "https://docs.example/a?b"),
        ("<base href='https://cdn.example/v2/'><link rel='canonical' href='x'>", "https://cdn.example/v2/x"),
        ("<link rel=canonical href='x'><base href='/v2/'>", "https://docs.example/v2/x"),
        ("<link rel='CANONICAL shortlink' href='//other.example/x'>", "https://other.example/x"),
        ("<link rel=canonical href='ftp://docs.example/x'>", ""),
        ("<link rel=canonical href=''><link rel=canonical href='/second'>", "https://docs.example/second"),
        ("<link rel=canonical href='http://[bad'>", ""),
        ("", ""),
    ],
)
def test_a_page_may_name_its_own_address(head: str, expected: str) -> None:
    assert read(f"<head>{head}</head><p>text</p>").canonical == expected


@pytest.mark.parametrize(
    ("meta", "indexable", "links"),
    [
        ("", True, 1),
        ("<meta name=robots content='NOINDEX'>", False, 1),
        ("<meta name=Robots content='none'>", False, 0),
        ("<meta name=ragproject content='noindex, follow'>", False, 1),
        ("<meta name=googlebot content='noindex, nofollow'>", True, 1),
        ("<meta name=robots content='index,nofollow'>", True, 0),
        ("<meta name=robots content='noarchive max-snippet:10'>", True, 1),
        ("<meta name=bingbot content=noindex>", True, 1),
    ],
)
def test_robots_are_told_what_to_do(meta: str, indexable: bool, links: int) -> None:
    page = read(f"<head>{meta}</head><p>text <a href=a>a</a></p>")
    assert (page.indexable, len(page.links)) == (indexable, links)


@pytest.mark.parametrize(
    "page",
    [
        "<body><a href=/there hreflang=fr>x</a>",
        "<link rel=canonical href=/there><link rel=alternate hreflang=en href=/there><a href=/there>x</a>",
    ],
)
def test_a_link_is_no_translation_of_an_unknown_language_or_of_the_page_itself(page: str) -> None:
    assert read(f"{page}<p>text</p>").links == ("https://docs.example/there",)


def test_links_leave_out_translations_and_what_nobody_shall_follow() -> None:
    page = read(
        "<html lang=en-GB><head><link rel=alternate hreflang=de href=/de/>"
        "<link rel=alternate hreflang=en href=page.html>"
        "<link rel=alternate type=application/rss+xml href=/feed></head><a href=/de/>Deutsch</a>"
        "<a href=/fr/ hreflang=fr>"
        "Français</a><a href=/us/ hreflang=en-US>US</a><a href=/ad rel='sponsored nofollow'>ad</a>"
        "<a href=page.html>this</a>"
        "<nav><a href='next.html#x'>next</a><a href=' next.html '>again</a></nav><p>text</p>"
    )
    assert page.links == (
        "https://docs.example/us/",
        "https://docs.example/guide/page.html",
        "https://docs.example/guide/next.html",
    )


# --- Pages of each make --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", MAKES, ids=lambda page: page.stem)
def test_a_page_of_known_make_is_its_title_and_text(page: Path) -> None:
    """Each holds what its generator puts around a title and a sentence, with JUNK in every place that is no text."""
    extracted = read(page.read_text(encoding="utf-8"))
    assert extracted.markdown == "# Title\n\nThe text."
    assert extracted.title == "Title"


def test_a_signature_stays_where_the_source_below_it_goes() -> None:
    page = read(
        "<main class=pdoc><section><h1>kettle</h1></section><section><div class='attr function'>"
        "<span class=def>def</span> "
        "<span class=name>boil</span><span class='signature pdoc-code'>(cup):</span></div>"
        "<div class='pdoc-code codehilite'>"
        "<pre>source</pre></div><div class=docstring><p>Boils.</p><div class='pdoc-code codehilite'>"
        "<pre>boil(1)</pre></div>"
        "</div></section></main>"
    )
    assert page.markdown == "# kettle\n\n`def boil(cup):`\n\nBoils.\n\n```\nboil(1)\n```"


def test_a_header_with_a_heading_belongs_to_the_text() -> None:
    page = "<main><header><h1>T</h1><p>intro</p></header><header>share this</header><p>text</p></main>"
    assert read(page).markdown == "# T\n\nintro\n\ntext"


def test_all_answers_of_a_thread_are_read() -> None:
    posts = "".join(
        f"<div class=answer><div class=vote>3</div><div class=s-prose><p>Answer {n}.</p></div></div>" for n in "abc"
    )
    page = read(f"<div id=question-header><h1>Why?</h1></div><div id=mainbar>{posts}</div>")
    assert page.markdown == "# Why?\n\nAnswer a.\n\nAnswer b.\n\nAnswer c."


@pytest.mark.parametrize("page", ARTICLES, ids=lambda page: page.stem)
def test_an_article_is_read_as_a_person_marked_it(page: Path) -> None:
    extracted = extraction.read(page, page.read_bytes())
    assert extracted
    gold = extraction.words(page.with_suffix(".txt").read_text(encoding="utf-8"))
    assert extraction.f1(extraction.words_of_markdown(extraction.untitled(extracted.markdown)), gold) >= 0.95


def test_the_benchmark_looks_up_the_labels_of_a_site_made_of_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "guide" / "index.html"
    page.parent.mkdir()
    page.write_text('<main><section id="start"><h1>Guide</h1><p>How to begin.</p></section></main>')
    labels = zlib.compress(b"begin std:label -1 guide/#start Guide\n")
    (tmp_path / "objects.inv").write_bytes(b"# Sphinx inventory version 2\n#\n#\n#\n" + labels)
    extraction.measure_site(tmp_path, None, peers=False, worst=0)
    assert "objects.inv: 1, of which 0 are no anchor" in capsys.readouterr().out


# --- Hostile pages -------------------------------------------------------------------------------------------

HOSTILE: dict[str, Callable[[], str]] = {
    "nested boxes": lambda: "<div>" * 100_000 + "word" + "</div>" * 100_000,
    "nested lists": lambda: "<ul><li>" * 50_000 + "word",
    "nested tables": lambda: "<table><tr><td>" * 30_000 + "word",
    "nested words": lambda: "<b><i>" * 50_000 + "word",
    "nesting as deep as it is read": lambda: "<ul><li><b><table><tr><td>" * 19 + "word",
    "nesting as deep as it is kept": lambda: "<blockquote>" * 500 + "word" + "<p>x" * 1000,
    "end tags of nothing": lambda: "<div>" * 5_000 + "</p></b>" * 50_000 + "word",
    "links": lambda: "<p>word</p>" + "<a href=x>" * 200_000,
    "attributes": lambda: "<p " + " ".join(f"a{n}=1" for n in range(100_000)) + ">word",
    "long attributes": lambda: f"<p class='{'x ' * 1_000_000}' id='{'y' * 1_000_000}'>word",
    "entities": lambda: "<p>word" + "&amp;" * 200_000,
    "spans": lambda: "<table><tr>" + "<td colspan=9999 rowspan=9999>word" * 20_000,
    "one wide row": lambda: "<table><tr>" + "<td>word" * 20_000 + "<tr><td>x" * 20_000,
    "tabs in tabs": lambda: "<div class=tabs>" * 100 + "<label for=x>word</label>" * 20_000,
    "headings alone": lambda: "<h2>word</h2>" * 20_000,
    "headers": lambda: "<p>word</p>" + "<header>" * 5_000,
    "articles in articles": lambda: "<article>word " * 100 + "<article>x</article>" * 20_000,
    "bodies of bodies": lambda: (
        "<div class=documentwrapper>" + "<div class=body>" * 100 + "<div class=body>word</div>" * 20_000
    ),
    "open scripts": lambda: "<p>word</p>" + "<script>" * 50_000,
    "lines in nested lists": lambda: "<ul><li>" * 50 + "<pre>word" + "\nx" * 200_000,
    "hidden elements": lambda: "<p>word</p>" + "<p hidden id=x>x</p>" * 50_000,
    "panels": lambda: "<button aria-controls=x>word</button><p hidden>x</p>" * 20_000,
    "buttons in a heading": lambda: "<h2>word" + "<button>x</button>" * 20_000,
    "buttons in buttons": lambda: "<p>word</p>" + "<button><b>x</b><i>y</i>" * 500 + "<b>x</b>" * 20_000,
    "named tabs": lambda: "word" + "<b role=tab aria-controls=x id=y>x</b><p role=tabpanel id=x>y</p>" * 20_000,
    "lines of code boxes": lambda: "<div class=fragment>" * 100 + "<div class=line>word</div>" * 50_000,
    "grids": lambda: "<div class=summary-table><div class=table-header>word" * 100 + "<div>x</div>" * 20_000,
    "backslashes in a cell": lambda: "<table><tr><td>word" + "\\" * 500_000 + "<td>|x",
    "powers of powers": lambda: "<p>word" + "<sup>2" * 100 + "<sub>x</sub>" * 20_000,
    "empty powers": lambda: "<p>word" + "<sup></sup><sub></sub><ruby><rt></ruby>" * 30_000,
    "broken lines": lambda: "<p>word" + "字\n" * 200_000 + "字" + " " * 500_000 + "\n" * 500_000,
    "lines of inline code": lambda: "<p>word <code>" + "x<br>" * 50_000,
    "prose": lambda: "".join(f"<p>word {n} {'and more of it ' * 20}</p>" for n in range(4_000)),
    "prose in boxes": lambda: (
        "<div class=share><p>word and so on, as long as it is prose for those who look.</p>" * 4_000
    ),
    "names of the reader": lambda: (
        "<soup>word</soup><h99999999>w</h99999999><li value=9e99><ol start=99999999999><li>c"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_page_keeps_its_words_and_grows_little(name: str) -> None:
    body = HOSTILE[name]()
    markdown = read(body).markdown
    assert "word" in markdown
    assert len(markdown) < 10 * len(body)


def test_words_below_the_depth_that_is_kept_stay_apart() -> None:
    assert converted("<div>" * parser.MAX_DEPTH + "<p>one</p><b>two</b><p>three</p>") == "one two three"


def test_what_stands_in_deep_lists_is_not_gone_through_at_each_level() -> None:
    def lines_in(depth: int) -> Callable[[], Extracted]:
        return lambda: read("<ul><li>" * depth + "<pre>word" + "\nx" * 2000)

    assert calls(lines_in(50), of="strip") < 1.5 * calls(lines_in(10), of="strip")


@pytest.mark.parametrize("around", ["<ul><li>", "<blockquote><p>x</p>"])
def test_indentation_adds_little_to_a_page(around: str) -> None:
    body = around * 50 + "<pre>word" + "\nx" * 200_000
    markdown = read(body).markdown
    assert markdown.count("x") >= 200_000
    assert len(markdown) < 1.3 * len(body)
    assert "- - a\n\n    b" in read("<ul><li><ul><li><p>a</p><p>b</p>").markdown


def test_a_formula_in_a_formula_is_searched_once() -> None:
    def formulas_in(depth: int) -> Callable[[], Extracted]:
        return lambda: read("<p>word" + "<math>" * depth + "<b>x</b> " * 2000)

    assert calls(formulas_in(50), of="walk") < 1.5 * calls(formulas_in(1), of="walk")
    assert converted("<p><math><math><mi>a</mi></math></math> <math alttext='b^2'></math></p>") == "a $b^2$"


CRASHES = (
    b"\x00", b"<!", b"<!DOCTYPE", b"<![CDATA[", b"<?", b"</", b"<a" * 99, b"<svg><style>&lt;/style><p>", b"<title>",
    b"&#x110000;", b"&#xD800;", b"<math><mi><table>", b"<table><a><table><a>", b"<p/x=\xff>",
    b"<select><option><select>", b"<frameset><frame>", b"<plaintext>a<p>b", b"<body><body class=a><html class=b>x",
    b"<noscript><p>", b"<template><td>x", b"<\xf0\x90\x80>", b"<a href='\x00'>x",
)  # fmt: skip


@pytest.mark.parametrize("body", CRASHES)
def test_a_broken_page_is_read_or_refused(body: bytes) -> None:
    try:
        text = extract(Page(url=URL, body=body, content_type="text/html")).markdown
    except UnsupportedContent as refusal:
        text = str(refusal).partition(URL)[1]
    assert text


def test_a_page_beyond_all_measure_is_read_as_words() -> None:
    page = parser.parse(
        "<style>p{}</style><p>a &amp; b</p>" + "<p><!-- c --><i>d</i>" * parser.MAX_ELEMENTS + "<script>x()"
    )
    assert [node.tag for node in page.root.walk()] == ["", "body"]
    assert page.root.words().startswith("a & b d d")
    assert "x()" not in page.root.text()


# --- Pages that end before their text does -----------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        "<html><body><p>one</p></body></html><p>two</p>",
        "<p>one</p></body><p>two</p>",
        "<p>one</p></html>two",
        "<html><head><title>A</title></head><body><p>one</body></html><html><head><title>B</title></head><body>two",
        "<body><p>one</p><body class=x><p>two</p></body></html><title>B</title>",
    ],
)
def test_text_after_the_end_of_the_page_belongs_to_it(page: str) -> None:
    assert read(page).markdown == "one\n\ntwo"


def test_pages_that_a_server_joined_are_all_read() -> None:
    joined = "<html><head><title>A</title></head><body><p>one</p><ul><li>two</ul></body></html>" * 600
    assert read(joined).markdown == "\n\n".join(["one\n\n- two"] * 600)


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<ul>one<li>two</li> three </ul>", "- one\n- two\n- three"),
        ("<ol>one<li>two<li>three</ol>", "- one\n1. two\n2. three"),
        ("<table>one<tr><td>two</td></tr>three</table>", "one\n\ntwo\n\nthree"),
        (
            "<table><caption>x</caption>one <b>two</b><tr>three<td>a<td>b</tr><tbody><tr><td>c<td>d</tr>four</table>",
            "**x**\n\none **two** four three\n\n| a | b |\n| --- | --- |\n| c | d |",
        ),
        ("<table><tr><td>a<td>b</tr><p>one</p></table>", "one\n\n| a | b |\n| --- | --- |"),
        ("<div><embed src=x>one</div>", "one"),
    ],
)
def test_text_where_none_belongs_is_read(markup: str, expected: str) -> None:
    assert converted(markup) == expected
