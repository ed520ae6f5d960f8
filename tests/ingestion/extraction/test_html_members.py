"""References made by generators: each member is a section with its anchor, and code is code."""

from __future__ import annotations

import pytest

from ingestion.extraction.extract import extract
from ingestion.types import Extracted, Page


def read(body: str) -> Extracted:
    return extract(Page("https://docs.example/api/page.html", body.encode(), "text/html"))


# --- Doxygen -------------------------------------------------------------------------------------------------


def doxygen(contents: str) -> Extracted:
    return read(
        "<meta name=generator content='Doxygen 1.9'><title>Lib: Filling</title><div class=header>"
        "<div class=headertitle>"
        f"<div class=title>Filling<div class=ingroups>Guide</div></div></div></div><div class=contents>{contents}</div>"
    )


@pytest.mark.parametrize(
    "lines",
    [
        "<div class=line>if (x) {</div><div class=line>  y();</div><div class=line> </div><div class=line>}</div>",
        "<div class=line><a id=l1></a><span class=lineno> 1</span>if (x) {</div>\n<div class=line>"
        "<span class=lineno> 2</span>  y();</div>\n<div class=line><span class=lineno> 3</span> </div>\n"
        "<div class=line><span class=lineno> 4</span>}</div>\n<div class=ttc><div class=ttname>y</div></div>",
        "<div class=foldopen id=f data-start='{' data-end='}'><div class=line>if (x) {</div>"
        "<div class=line>  y();</div>"
        "<div class=line> </div><div class=line>}</div></div>",
    ],
)
def test_the_code_of_doxygen_is_a_fence(lines: str) -> None:
    page = doxygen(f"<p>Like this:</p><div class=fragment>{lines}</div><p>Done.</p>")
    assert page.markdown == "# Filling\n\nLike this:\n\n```\nif (x) {\n  y();\n \n}\n```\n\nDone."


def test_the_title_of_doxygen_stands_above_its_sections() -> None:
    page = doxygen(
        "<h1><a class=anchor id=one></a>First</h1><p>a</p><h1><a class=anchor id=two></a>Second</h1><p>b</p>"
    )
    assert page.markdown == "# Filling\n\n# First\n\na\n\n# Second\n\nb"
    assert page.title == "Filling"


def test_the_members_of_doxygen_are_sections() -> None:
    page = doxygen(
        "<h2 class=groupheader>Functions</h2><a id=abc></a><h2 class=memtitle><span class=permalink><a href='#abc'>"
        "&#9670;&nbsp;</a></span>fill()</h2><div class=memitem><div class=memproto><table class=memname><tr>"
        "<td>void fill"
        "</td><td>(</td><td>int n</td><td>)</td></tr></table></div><div class=memdoc><p>Fills it.</p></div></div>"
    )
    assert "## fill()\n\n`void fill ( int n )`\n\nFills it." in page.markdown
    assert page.anchors["Filling › fill()"] == "abc"


@pytest.mark.parametrize("box", ["syntaxhighlighter", "crayon-main", "CodeMirror-code"])
def test_the_code_of_other_highlighters_is_a_fence(box: str) -> None:
    page = read(f"<main><h1>T</h1><div class={box}><div class=line>a = 1</div><div class=line>b = 2</div></div></main>")
    assert page.markdown == "# T\n\n```\na = 1\nb = 2\n```"


# --- Javadoc -------------------------------------------------------------------------------------------------

GRID = (
    "<div class='summary-table {0}'><div class='table-header col-first'>{1}</div>"
    "<div class='table-header col-last'>Does"
    "</div><div class='{2} even-row-color'><code>start()</code></div>"
    "<div class='col-last even-row-color'>Starts it.</div>"
    "<div class='{2} odd-row-color'><code>stop()</code></div><div class='col-last odd-row-color'>Stops it.</div></div>"
)


def javadoc(main: str) -> Extracted:
    return read(f"<meta name=generator content=javadoc/17><main role=main><h1 class=title>Class Pump</h1>{main}</main>")


@pytest.mark.parametrize("first", ["col-first", "col-constructor-name", "col-summary-item-name"])
def test_the_grid_of_javadoc_is_a_table(first: str) -> None:
    page = javadoc(f"<h2>Summary</h2>{GRID.format('two-column-summary', 'Name', first)}")
    assert "| Name | Does |\n| --- | --- |\n| `start()` | Starts it. |\n| `stop()` | Stops it. |" in page.markdown


MEMBERS = {
    "17": "<section class=details><ul class=details-list><li><section id=method-detail><h2>Method Details</h2>"
    "<ul class=member-list><li><section class=detail id='start()'><h3>start</h3><div class=member-signature>"
    "<span>public</span>&nbsp;<span>void</span>&nbsp;<span>start</span>()</div><div class=block>Starts it.</div>"
    "<dl class=notes><dt>Since:</dt><dd>1.1</dd></dl></section></li></ul></section></li></ul></section>",
    "11": "<div class=details><ul class=blockList><li class=blockList><section><ul class=blockList><li class=blockList>"
    "<a id=method.detail></a><h2>Method Details</h2><a id='start()'></a><ul class=blockListLast><li class=blockList>"
    "<h3>start</h3><div class=member-signature>public void start()</div><div class=block>Starts it.</div>"
    "<dl><dt>Since:</dt><dd>1.1</dd></dl></li></ul></li></ul></section></li></ul></div>",
    "8": "<ul class=blockList><li class=blockList><ul class=blockList><li class=blockList><a name=method.detail></a>"
    "<h2>Method Details</h2><a name='start--'></a><ul class=blockListLast><li class=blockList><h3>start</h3>"
    "<pre>public void start()</pre><div class=block>Starts it.</div><dl><dt>Since:</dt><dd>1.1</dd></dl></li></ul>"
    "</li></ul></li></ul>",
}


@pytest.mark.parametrize("version", MEMBERS)
def test_the_members_of_javadoc_are_sections(version: str) -> None:
    markdown = javadoc(MEMBERS[version]).markdown
    assert markdown.startswith("# Class Pump\n\n## Method Details\n\n### start\n\n")
    assert "public void start()" in markdown
    assert markdown.endswith("Starts it.\n\n**Since:**\n\n1.1")


def test_the_members_of_javadoc_have_anchors() -> None:
    anchors = javadoc(MEMBERS["17"]).anchors
    assert anchors["Class Pump › Method Details › start"] == "start()"
    assert anchors["Class Pump › Method Details"] == "method-detail"


# --- rustdoc -------------------------------------------------------------------------------------------------

METHOD = (
    "<details class='rustdoc-toggle method-toggle' open><summary><section id=method.new class=method>"
    "<span class=rightside><a class=srclink>source</a></span><a href='#method.new' class=anchor></a>"
    "<h4 class=code-header>pub fn <a href='#method.new' class=fnname>new</a>() -&gt; Vec&lt;T&gt;</h4>"
    "</section></summary>"
    "<div class=docblock><p>Makes it.</p><div class=example-wrap><pre class='rust rust-example-rendered'>"
    "<code>new();</code>"
    "</pre></div></div></details>"
)


def test_the_methods_of_rustdoc_are_sections() -> None:
    page = read(
        "<meta name=generator content=rustdoc><section id=main-content><h1>Struct Vec</h1><h2 id=implementations>"
        f"Implementations<a href='#implementations' class=anchor>§</a></h2>{METHOD}</section>"
    )
    expected = "## Implementations\n\n#### `pub fn new() -> Vec<T>`\n\nMakes it.\n\n```rust\nnew();\n```"
    assert page.markdown == f"# Struct Vec\n\n{expected}"
    assert page.anchors["Struct Vec › Implementations › pub fn new() -> Vec<T>"] == "method.new"


# --- Others --------------------------------------------------------------------------------------------------


def test_the_headings_of_node_js_end_in_no_mark() -> None:
    page = read(
        "<title>Stream</title><div id=content><div id=column2>Index</div><div id=column1><header><h1>v18 docs"
        "</h1></header>"
        "<div id=apicontent><h2>Stream<span><a class=mark href='#stream' id=stream>#</a></span>"
        "<a class=srclink>[src]</a>"
        "</h2><p>Bytes.</p><h3><code>end()</code><span><a class=mark href='#end' id=end>#</a></span></h3><p>Ends.</p>"
        "<pre><code class='language-js cjs'>end();</code><button class=copy-button>copy</button></pre></div>"
        "</div></div>"
    )
    assert page.markdown == "## Stream\n\nBytes.\n\n### `end()`\n\nEnds.\n\n```js\nend();\n```"
    assert page.anchors == {"Stream": "stream", "Stream › end()": "end"}


@pytest.mark.parametrize(
    ("generator", "clutter"),
    [
        ("DocBook XSL Stylesheets V1.79", "<div class=navheader>Prev</div><table><tr><td>Home<td>Up</table>"),
        ("makeinfo 6.7", "<div class=header>Next: End</div>"),
        ("GNU Texinfo 7.0, https://www.gnu.org/software/texinfo/", "<div class=nav-panel>Next: End</div>"),
        ("AsciiDoc 10.2.0", ""),
        ("pandoc", ""),
    ],
)
def test_a_page_of_a_converter_is_read_whole(generator: str, clutter: str) -> None:
    text = "<div id=content><h1>Title</h1><p>The text.</p><ul><li><a href=a>First part</a></ul></div>"
    page = read(f"<meta name=generator content='{generator}'><body>{clutter}{text}</body>")
    assert page.markdown == "# Title\n\nThe text.\n\n- First part"


def test_the_buttons_of_redoc_are_text() -> None:
    page = read(
        "<title>Pets</title><div id=redoc><div class=menu-content>List pets</div><div class=api-content><h1>Pets</h1>"
        "<h2>List pets</h2><button><strong>200 </strong><div><p>A list</p></div></button><div><button><span>get</span>"
        "<span>/pets</span><svg></svg></button></div><button>Copy</button></div></div>"
    )
    assert page.markdown == "# Pets\n\n## List pets\n\n**200**\n\nA list\n\nget /pets"
