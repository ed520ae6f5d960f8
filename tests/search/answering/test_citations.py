"""Every way to write a citation is one, and other numbers in brackets are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.answering.citations import CitationReader, Token
from tests.support.growth import MOST, TIMES, calls


def read(*pieces: str, passages: int = 3) -> list[Token]:
    reader = CitationReader(passages)
    return [token for piece in pieces for token in reader.feed(piece)] + list(reader.finish())


def shown(*pieces: str, passages: int = 3) -> str:
    """The text, with citations between angle brackets."""
    return "".join(f"‹{t.citation}›" if t.citation else t.text for t in read(*pieces, passages=passages))


FORMS = {
    "A【1】.": "A‹1›.",
    "A【2†source】.": "A‹2›.",
    "A【3†L1-L20】.": "A‹3›.",
    "A【1:0†manual.pdf】.": "A‹1›.",
    "A [Document 1].": "A ‹1›.",
    "A [doc2] and [Doc. 3].": "A ‹2› and ‹3›.",
    "A [Documents 1 and 2].": "A ‹1›‹2›.",
    "A [source: 2].": "A ‹2›.",
    "A [ref 1, ref 3].": "A ‹1›‹3›.",
    "A (Source 2).": "A ‹2›.",
    "A [citation:1].": "A ‹1›.",
    "A [1-3].": "A ‹1›‹2›‹3›.",
    "A [2–3].": "A ‹2›‹3›.",
    "A [1 to 2].": "A ‹1›‹2›.",
    "A [[2]].": "A ‹2›.",
    "A[^1].": "A‹1›.",
    "A[^1^].": "A‹1›.",
    "A [1](https://evil.example/x).": "A ‹1›.",
    "A [[1]](#source).": "A ‹1›.",
    "A [1; 2].": "A ‹1›‹2›.",
    "A [1 and 2].": "A ‹1›‹2›.",
    "A [1, 2, and 3].": "A ‹1›‹2›‹3›.",
    "A [1 & 2].": "A ‹1›‹2›.",
    "A [ 1 ].": "A ‹1›.",
    "A [1\n].": "A ‹1›.",
    "A [#2].": "A ‹2›.",
    "A \\[1\\].": "A ‹1›.",
    "A［1］.": "A‹1›.",
    "A **[1]**.": "A ‹1›.",
    "A <sup>[1]</sup>.": "A ‹1›.",
    "A <sup>2</sup>.": "A ‹2›.",
    "用 [1、2]。": "用 ‹1›‹2›。",
    "A [1, p. 4].": "A ‹1›.",
    "A [1][2].": "A ‹1›‹2›.",
    "A ([1], [2]).": "A (‹1›, ‹2›).",
    "Set it[1].": "Set it‹1›.",
    "As said in [1], so.": "As said in ‹1›, so.",
    "**Note [1]** x": "**Note ‹1›** x",
    "a <b>bold</b> [1] [77] `[2]`": "a <b>bold</b> ‹1› `[2]`",
}
NONE = [
    "HTTP codes in [200, 299] are fine.",
    "Since [2024].",
    "on ports [80, 443]",
    "retry on [429, 500, 503]",
    "it returns [42]",
    "it returns [1]",
    "x[12]",
    "Take args[1] from argv[2].",
    "rows[3] is the last",
    "the list l = [1, 2, 3] is fine",
    "values such as [1, 2]",
    "- [1] first\n- [2] second",
    "the class [0-9]",
    "[a-z]",
    "see (1)",
    "A [0].",
    "a [link](x)",
    "f()[1] is it",
    "[ ] open, [x] done",
    "shape [2, 3]",
    "`a[1]`",
    "```\nb = c[1] [2]\n```",
    "~~~\nx = a [1]\n~~~",
    "[",
]


@pytest.mark.parametrize(("said", "meant"), FORMS.items())
def test_a_citation_is_one_however_it_is_written_and_cut(said: str, meant: str) -> None:
    assert shown(said) == meant
    assert shown(*said) == meant
    for at in range(len(said)):
        assert shown(said[:at], said[at:]) == meant


@pytest.mark.parametrize("said", NONE)
def test_other_brackets_stay_as_they_are(said: str) -> None:
    assert shown(said) == shown(*said) == said


@pytest.mark.parametrize(
    "said", ["A [7].", "A [7][9].", "A [7] [77].", "A [Document 9].", "A【8†x】.", "A[^9].", "A <sup>7</sup>."]
)
def test_nothing_is_left_of_a_citation_of_no_passage(said: str) -> None:
    assert shown(said) == "A."


def test_a_citation_keeps_what_exists_of_it() -> None:
    assert shown("A [1, 9] b [7, 2].") == "A ‹1› b ‹2›."


@pytest.mark.parametrize(
    "said",
    ["Press ` first. Then [1]. And [2].", "The `foo' style [1]. And [2].", "A `stray\n\nthen [1] and `code [3]` [2]."],
)
def test_a_stray_backtick_hides_no_citation(said: str) -> None:
    for pieces in ([said], list(said)):
        assert [t.citation for t in read(*pieces) if t.citation] == [1, 2]
        assert "".join(t.text for t in read(*pieces)) == said


def test_a_fence_that_is_never_closed_ends_where_cited_prose_begins() -> None:
    said = "```python\nx[1]\nThen call it again [1].\nAnd more [2]."
    assert shown(said) == shown(*said) == "```python\nx[1]\n```\nThen call it again ‹1›.\nAnd more ‹2›."


def test_a_fence_that_is_closed_keeps_a_line_that_reads_like_prose() -> None:
    said = "```\nThen call it again [1].\n```\nSo [1]."
    assert shown(said) == shown(*said) == "```\nThen call it again [1].\n```\nSo ‹1›."


@given(st.text(st.sampled_from("ab1 [](){}【】^`~\n*<>/sup:,-\\"), max_size=60))
def test_nothing_but_citations_is_lost_or_added(said: str) -> None:
    """Without a digit there is no citation, and the text is the same however it is cut."""
    plain = said.replace("1", "x")
    assert shown(plain) == plain
    assert shown(said) == shown(*said)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["[", "[1", "`", "` ", "(doc ", "\n", "**", "<sup>", "【", "[1] ", "```\nA bc [1]\n"])
def test_work_grows_with_the_text_only(part: str) -> None:
    assert calls(lambda: shown(part * TIMES * 4_000)) <= MOST * calls(lambda: shown(part * 4_000))
