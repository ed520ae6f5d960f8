"""Code comes out of a passage as it went in: extracts, previews, citations, prompts."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from search import passage_text
from search.answering.answer import quoted
from search.answering.citations import CitationReader, Token
from search.answering.extractive import Extract, best_extracts
from search.code_marks import as_code, open_run, unpadded
from search.passage_text import preview, units

# Everything that Markdown gives a meaning to.
MARKS = "*_[]()~#<>&!:.+-=\"'\\ab1"
LETTERS = st.text("abcdefgh", min_size=1, max_size=8)


def code_of(answer: str) -> list[str]:
    """Return what readers of an answer see as code: the rule of ask.js, written once more."""
    found, opened, code = [], "", ""
    for part in re.split(r"(`+)", answer):
        if not opened and part.startswith("`"):
            opened, code = part, ""
        elif opened and part == opened:
            found.append(unpadded(code))
            opened = ""
        elif opened:
            code += part
    assert not opened, "code is left open"
    return found


class Writer:
    """Makes Markdown of which it knows each word of code; every one has a number."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.tokens: list[str] = []

    def token(self, *, backticks: bool = False) -> str:
        marks = st.text(MARKS + "`" * backticks, max_size=8)
        token = f"{self.draw(marks)}Q{len(self.tokens)}Q{self.draw(marks)}"
        self.tokens.append(token)
        return token

    def inline(self) -> str:
        run, token = self.draw(st.sampled_from(["`", "``", "```"])), self.token(backticks=True)
        while run in re.findall("`+", token):
            run += "`"
        pad = " " if token[0] == "`" or token[-1] == "`" else ""
        return f"{run}{pad}{token}{pad}{run}"

    def prose(self) -> str:
        words = [self.draw(LETTERS) for _ in range(self.draw(st.integers(1, 4)))]
        return " ".join(w for word in words for w in (word, self.inline())) + self.draw(st.sampled_from([".", ":", ""]))

    def lines(self) -> list[str]:
        return [f"x {self.token(backticks=True)}" for _ in range(self.draw(st.integers(1, 3)))]

    def block(self) -> str:
        match self.draw(st.sampled_from(["prose", "list", "quote", "fence", "tilde", "indented"])):
            case "list":
                return "\n".join(f"- {self.prose()}" for _ in range(2))
            case "quote":
                return f"> {self.prose()}\n> {self.prose()}"
            case "fence":
                return "\n".join(["```python", *self.lines(), "```"])
            case "tilde":
                return "\n".join(["~~~~", *self.lines(), "~~~", *self.lines(), "~~~~"])
            case "indented":
                return "word\n\n" + "\n".join(f"    {line}" for line in self.lines()) + "\n\nword"
        return self.prose()


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Markdown, and the words of code in it."""
    writer = Writer(draw)
    return "\n\n".join(writer.block() for _ in range(draw(st.integers(1, 5)))), writer.tokens


@given(documents())
def test_every_word_of_code_comes_out_as_it_was_and_as_code(document: tuple[str, list[str]]) -> None:
    markdown, tokens = document
    shown = [code for unit in units(markdown) for code in code_of(unit.text)]
    for token in tokens:
        assert any(token in code for code in shown), token
        assert any(token in unit.plain for unit in units(markdown))


@given(documents(), LETTERS)
def test_an_extract_has_whole_words_of_code(document: tuple[str, list[str]], question: str) -> None:
    markdown, tokens = document
    for found in best_extracts(question, [markdown]):
        cut = found.text.endswith("…")
        shown = "\0".join(code_of(found.text))
        said = [t for n, t in enumerate(tokens) if f"Q{n}Q" in shown]
        assert [t for t in said if t not in shown][: len(said) - cut] == []


@given(st.text("`ab ", min_size=1, max_size=12).filter(str.strip))
def test_code_between_backticks_is_read_back(code: str) -> None:
    assert code_of(as_code(code)) == [code]


@pytest.mark.parametrize(
    "prose",
    [
        'Use filter(name__contains="aa") or snake__case here.',
        "Call __init__ and __len__ first.",
        "Both 2**10 and 3**4 are powers.",
        "It takes f(*args, **kwargs) and g(*args, **kwargs) alike.",
        "Then calls[0](request) is run.",
        "A _private_ name.",
        "a*b*c is a product.",
        "Set A_B_C and x_1_y.",
    ],
)
def test_what_looks_like_code_in_prose_is_left_alone(prose: str) -> None:
    assert [u.text for u in units(prose)] == [prose]


def test_marks_that_are_marks_go() -> None:
    markdown = "See *the* **bold** [guide](http://x/) and ![a picture](y.png), _very much_ so."
    assert [u.text for u in units(markdown)] == ["See the bold guide and a picture, very much so."]


def test_a_sentence_is_not_cut_in_code() -> None:
    assert [u.text for u in units("Call `a. B` now. Then `c! D`.")] == ["Call `a. B` now.", "Then `c! D`."]


def test_code_beside_code_stays_apart() -> None:
    assert code_of(next(units("`a`**``b`c``**")).text) == ["a", "b`c"]


def test_a_fence_that_is_opened_and_not_closed_here_begins_code() -> None:
    text = "Run **this**:\n\n```\nf(**a, **b)"
    assert [(u.text, u.is_code) for u in units(text)] == [("Run this:", False), ("`f(**a, **b)`", True)]


def test_a_preview_keeps_code() -> None:
    assert preview('Use `filter(name__contains="aa")` and `` echo `date` `` **now**.') == (
        'Use filter(name__contains="aa") and echo `date` now.'
    )


def test_a_cut_extract_closes_its_code() -> None:
    for size in range(1, 40):
        text = passage_text.shortened("some ``code `with` ticks`` and more `words here` at the end of it", size)
        assert open_run(text) == ""


def test_a_model_may_write_backticks_within_code() -> None:
    reader = CitationReader(3)
    pieces = ["See ``", "a`b [1]", "`` and `c", "` [2", "]."]
    tokens = [t for piece in pieces for t in reader.feed(piece)] + list(reader.finish())
    assert [t for t in tokens if t.citation] == [Token("[2]", 2)]
    assert "".join(t.text for t in tokens) == "See ``a`b [1]`` and `c` [2]."


@pytest.mark.parametrize(
    "text", ["Run this:\n```\n$ migrate\n```", "| a | b |\n| --- | --- |\n| 1 | 2 |", "Run `migrate`."]
)
def test_the_citation_of_a_quotation_stands_outside_of_code_and_tables(text: str) -> None:
    passage: Any = SimpleNamespace(section="", title="Migrations")
    tokens = MarkdownIt().enable("table").parse("".join(quoted(Extract(text, 1), passage)) + "[1]")
    *others, last = [token.content for token in tokens if token.type in ("inline", "fence")]
    assert last in ("[1]", "Run `migrate`. [1]")
    assert not any("[1]" in content or "```" in content for content in others)
    assert tokens[-1].type == "blockquote_close"
