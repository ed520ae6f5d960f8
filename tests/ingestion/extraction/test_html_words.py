"""No word of a page is lost without a name: what is shown is in the Markdown, or a rule has counted it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import count

import pytest

from ingestion.extraction.extract import extract
from ingestion.types import Extracted, Page
from tests.support.words import lost_words

# What one line may hold, and what may hold blocks; ``{}`` stands for what is inside.
INLINE = (
    "{}", "<b>{}</b>", "<em>{}</em>", "<code>{}</code>", "<a href='/x'>{}</a>", "<a href='https://e.example'>{}</a>",
    "<span>{}</span>", "<kbd>{}</kbd>", "<q>{}</q>", "<mark>{}</mark>", "<x-y>{}</x-y>", "<abbr title=t>{}</abbr>",
    "<u>{}</u> <sup>{}</sup>", "<i>{}</i> <sub>{}</sub>", "<img alt='{}'>", "{}<br>{}", "<code>{}<br>{}</code>",
    "<label>{}</label>", "<cite>{}</cite>", "<var>{}</var>",
)  # fmt: skip
BLOCKS = (
    "<p>{}</p>", "<div>{}</div>", "<section><h2>{}</h2>{}</section>", "<h3>{}</h3>{}",
    "<ul><li>{}</li><li>{}</li></ul>", "<ol><li>{}</li><ul><li>{}</li></ul></ol>", "<ul>{}<li>{}</li></ul>",
    "<blockquote>{}</blockquote>", "<dl><dt>{}</dt><dd>{}</dd></dl>", "<pre>{}</pre>",
    "<div class=fragment><div class=line>{}</div></div>",
    "<table><tr><th>{}</th><th>{}</th></tr><tr><td rowspan=2>{}</td><td>{}</td></tr><tr><td>{}</td></tr></table>",
    "<table><caption>{}</caption><tr><td colspan=2>{}</td></tr><tr><td>{}</td><td>{}</td></tr></table>",
    "<table>{}<tr><td>{}</td><td>{}</td></tr></table>", "<details><summary>{}</summary>{}</details>",
    "<div class='admonition note'>{}</div>", "<aside class=note>{}</aside>",
    "<figure>{}<figcaption>{}</figcaption></figure>",
    "<h3><button aria-expanded=false>{}</button></h3><div hidden>{}</div>",
    "<fieldset><legend>{}</legend>{}</fieldset>",
    "<div><ul role=tablist><li role=tab aria-controls={0}>{0}</li></ul><div role=tabpanel id={0} hidden>{1}"
    "</div></div>",
    "<ul class=blockList><li class=blockList><h4>{}</h4>{}</li></ul>", "<custom-box>{}</custom-box>",
    "<address>{}</address>",
)  # fmt: skip


def markup(chance: random.Random, names: Iterator[int], depth: int) -> str:
    """Return a block with words that stand nowhere else."""
    template = chance.choice(BLOCKS)
    is_line = template.startswith(("<h3", "<section", "<pre", "<div class=fragment", "<details", "<div><ul role"))
    parts = [
        markup(chance, names, depth - 1) if depth and not (is_line and index == 0) and "=line" not in template else
        line(chance, names, plain="<pre" in template or "=line" in template or "role=tab" in template)
        for index in range(5)
    ]  # fmt: skip
    return template.format(*parts)


def line(chance: random.Random, names: Iterator[int], *, plain: bool) -> str:
    words = [f"word{next(names)}" for _ in range(2)]
    return words[0] if plain else chance.choice(INLINE).format(*words)


def read(body: str) -> Extracted:
    return extract(Page("https://docs.example/page", body.encode(), "text/html"))


@pytest.mark.parametrize("seed", range(300))
def test_every_word_of_the_main_element_is_in_the_markdown(seed: int) -> None:
    chance, names = random.Random(seed), count()
    body = "".join(markup(chance, names, depth) for depth in (0, 1, 2, 3))
    page = read(f"<main><h1>Title</h1>{body}</main>")
    assert lost_words(" ".join(set(re.findall(r"word\d+", body))), page.markdown.replace("_", " ")) == {}
    assert page.dropped == ()


DROPPED = {
    "navigation": "<nav>{}</nav>",
    "footers": "<footer>{}</footer>",
    "buttons": "<button>{}</button>",
    "hidden elements": "<p hidden>{}</p>",
    "permalinks": "<h2>Part <a class=headerlink href='#x'>{}</a></h2>",
    "forms": "<form>{}</form>",
    "headers without a heading": "<header>{}</header>",
    "dialogs and banners": "<div role=dialog>{}</div>",
    "page tools": "<div class=edit-this-page>{}</div>",
    "fallbacks of scripts and media": "<video>{}</video>",
    "text for screen readers": "<span class=screen-reader-text>{}</span>",
    "line numbers and buttons of code": "<pre><span class=lineno>{}</span>code</pre>",
    "choices of forms": "<select><option>{}</select>",
    "drawings": "<svg><g><text>{}</text></g></svg>",
    "formulas drawn a second time": "<p>So <span class=katex-html>{}</span></p>",
}


@pytest.mark.parametrize("rule", DROPPED)
def test_words_that_a_rule_drops_are_counted_once(rule: str) -> None:
    page = read(f"<main><h1>Title</h1><p>text</p>{DROPPED[rule].format('alpha beta')}</main>")
    assert "alpha" not in page.markdown
    assert [(each.rule, each.words, each.sample) for each in page.dropped] == [(rule, 2, "alpha beta")]


def test_what_stands_in_a_dropped_element_is_not_counted_again() -> None:
    page = read("<main><h1>T</h1><p>text</p><nav>a <button>b <i hidden>c</i></button></nav></main>")
    assert sum(each.words for each in page.dropped) == 3


def test_words_outside_the_main_element_are_counted() -> None:
    page = read("<p>before it</p><main><h1>T</h1><p>text</p></main><div>after <b>it</b></div><script>x()</script>")
    assert [(each.rule, each.words) for each in page.dropped] == [("outside the main element", 4)]


def test_the_clutter_of_a_generator_is_counted_by_its_name() -> None:
    page = read("<div class=md-content__inner><h1>T</h1><p>text</p><a class=md-content__button>Edit it</a></div>")
    assert [(each.rule, each.words) for each in page.dropped] == [("page tools of MkDocs Material", 2)]


def test_all_words_of_a_page_are_kept_or_counted() -> None:
    words = [f"w{number}" for number in range(13)]
    page = read(
        "<body><header>{} {}</header><nav>{}</nav><div class=sidebar>{} {}</div><main><h1>{}</h1><p>{} {}</p>"
        "<aside class=note>{}</aside><button>{}</button><textarea>{}</textarea></main>"
        "<footer>{} {}</footer></body>".format(*words)
    )
    kept = len(re.findall(r"w\d+", page.markdown))
    assert kept + sum(each.words for each in page.dropped) == len(words)
