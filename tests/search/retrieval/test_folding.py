"""Of passages that say the same one is shown, and the others are named; few come from one page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from ingestion.models import Chunk, Document, Source
from search.access.caller import OPERATOR
from search.questions import Passage
from search.retrieval.confirmed_hits import ConfirmedHits, StoredChunk
from search.retrieval.folding import NEARLY_EQUAL, SHINGLE, Found, folded, is_copy
from search.retrieval.passages import passages_of
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = pytest.mark.django_db
TEXT = "The cache_page decorator caches the output of a view for a number of seconds, as its first argument says."
OTHER = "Templates are text files with variables and tags, which are replaced by values when they are rendered."


def make_row(source: Source, url: str, text: str, position: int = 0, heading: str = "Caching › Views") -> Chunk:
    document = Document.objects.filter(source=source, url=url).first() or make_document(source, url, title="Caching")
    return make_chunk(document, position, text=text, heading=heading, state=Chunk.State.INDEXED)


def shown(rows: list[Chunk], limit: int = 10) -> list[Passage]:
    """What is shown of the rows as hits, the first the best."""
    hits = {row.key: 1.0 - n / 100 for n, row in enumerate(rows)}
    return passages_of(folded(ConfirmedHits(OPERATOR, limit).of(hits), limit), {})


def test_copies_are_named_once_each_at_the_best_one() -> None:
    one, two = make_source("one"), make_source("two")
    first, other = make_row(one, "https://one.example/cache", TEXT), make_row(one, "https://one.example/t", OTHER)
    copy = make_row(two, "https://two.example/cache", f"{TEXT}!")
    again = make_row(two, "https://two.example/cache", TEXT, 1)
    found = shown([first, other, copy, again])
    assert [passage.text for passage in found] == [TEXT, OTHER]
    assert [(c.source, c.url, c.link) for c in found[0].copies] == [
        ("two", "https://two.example/cache", "https://two.example/cache")
    ]
    assert found[0].as_citation(1)["also"] == [{"source": "two", "version": "", "link": "https://two.example/cache"}]


def test_a_text_without_spaces_is_compared_by_its_clauses() -> None:
    one, two = make_source("one"), make_source("two")
    text = "，".join(f"第{n}步設定快取的第{n}個選項" for n in range(1, 15))
    rows = [
        make_row(one, "https://one.example/cache", text),
        make_row(two, "https://two.example/cache", f"{text}，完成"),
    ]
    assert [len(passage.copies) for passage in shown(rows)] == [1]


def test_a_page_that_repeats_itself_is_no_copy_of_itself() -> None:
    source = make_source()
    found = shown([make_row(source, "file:///docs/a", TEXT, n) for n in range(3)])
    assert len(found) == 1 and found[0].copies == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TEXT, OTHER),
        ("Returns the first object.", "Returns the last object."),
        ("Changed in 5.1.", "Changed in 5.2."),
        (TEXT, f"{TEXT} {OTHER}"),
    ],
)
def test_texts_that_differ_are_shown_both(one: str, other: str) -> None:
    source = make_source()
    assert len(shown([make_row(source, "file:///docs/a", one), make_row(source, "file:///docs/b", other)])) == 2


def test_a_short_text_under_another_heading_is_another_passage() -> None:
    source = make_source()
    rows = [
        make_row(source, "file:///docs/a", "Returns a new queryset.", n, heading=f"QuerySet › {name}")
        for n, name in enumerate(("filter", "exclude"))
    ]
    assert len(shown(rows)) == 2


def test_a_long_section_of_a_versioned_page_is_shown_with_all_its_passages() -> None:
    old = make_source("old", product="django", version="5.1", target="https://docs.example/en/5.1/")
    new = make_source("new", product="django", version="5.2", target="https://docs.example/en/5.2/")
    address = "https://docs.example/en/5.2/cache/"
    rows = [make_row(new, address, TEXT, 0), make_row(new, address, OTHER, 1)]
    assert [passage.text for passage in shown(rows)] == [TEXT, OTHER]
    older = [
        make_row(old, "https://docs.example/en/5.1/cache/", f"{text} So it was.", n) for n, text in enumerate("ab")
    ]
    found = shown([*rows, *older])
    assert [passage.text for passage in found] == [TEXT, OTHER]
    assert [copy.version for passage in found for copy in passage.copies] == ["5.1"]


def test_of_a_page_s_versions_the_newest_is_shown() -> None:
    old = make_source("old", product="django", version="5.1", target="https://docs.example/en/5.1/")
    new = make_source("new", product="django", version="5.2", target="https://docs.example/en/5.2/")
    rows = [
        make_row(old, "https://docs.example/en/5.1/cache/", "The timeout is 300 seconds."),
        make_row(new, "https://docs.example/en/5.2/cache/", "Since this version the timeout is 600 seconds, not 300."),
    ]
    [found] = shown(rows)
    assert (found.version, found.text, found.score) == ("5.2", rows[1].text, 1.0)
    assert [(copy.version, copy.url) for copy in found.copies] == [("5.1", "https://docs.example/en/5.1/cache/")]


def test_other_sections_and_pages_of_another_version_stay() -> None:
    old = make_source("old", product="django", version="5.1", target="https://docs.example/en/5.1/")
    new = make_source("new", product="django", version="5.2", target="https://docs.example/en/5.2/")
    rows = [
        make_row(new, "https://docs.example/en/5.2/cache/", TEXT),
        make_row(old, "https://docs.example/en/5.1/cache/", "Only Memcached.", heading="Caching › Backends"),
        make_row(old, "https://docs.example/en/5.1/views/", OTHER),
    ]
    assert len(shown(rows)) == 3


def distinct(source: Source, url: str, count: int) -> list[Chunk]:
    return [make_row(source, url, f"Of {n} " + " ".join(f"word{n}x{i}" for i in range(9)), n) for n in range(count)]


def test_one_page_does_not_fill_the_list(settings: Settings) -> None:
    settings.SEARCH_PASSAGES_PER_PAGE = 2
    source = make_source()
    long, short = distinct(source, "file:///docs/long", 6), make_row(source, "file:///docs/short", TEXT)
    assert [p.position for p in shown([*long, short], limit=3)] == [0, 1, 0]
    assert [p.position for p in shown([*long, short], limit=5)] == [0, 1, 0, 2, 3]


def test_a_single_page_fills_it(settings: Settings) -> None:
    settings.SEARCH_PASSAGES_PER_PAGE = 2
    rows = distinct(make_source(), "file:///docs/handbook.pdf", 6)
    assert [p.position for p in shown(rows, limit=4)] == [0, 1, 2, 3]


WORDS = st.lists(st.sampled_from("abcdefghij"), max_size=12)
EDITS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), WORDS), max_size=3)


def runs(words: list[str]) -> set[str]:
    return {" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1))}


@given(st.integers(0, 40), EDITS)
def test_copies_are_those_that_share_most_of_their_runs_of_words(
    length: int, edits: list[tuple[int, int, list[str]]]
) -> None:
    one = [f"w{n}" for n in range(length)]
    other = list(one)
    for at, removed, added in edits:
        other[at : at + removed] = added
    shared, all_runs = runs(one) & runs(other), runs(one) | runs(other)
    pair = [
        Found(1.0, StoredChunk("", "", "", " ".join(words), 0, 1, "", "", 1, "", "", "", "")) for words in (one, other)
    ]
    assert is_copy(*pair) == (len(shared) >= NEARLY_EQUAL * len(all_runs))
