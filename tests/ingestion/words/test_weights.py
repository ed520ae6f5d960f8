"""A chunk's and a question's vectors: their product is BM25, and says what a reader would say."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from ingestion.types import TermWeights
from ingestion.words.terms import hash_of
from ingestion.words.weights import (
    HEADING_COUNT,
    LENGTH_SHARE,
    SATURATION,
    USUAL_TOKENS,
    Frequencies,
    chunk_weights,
    question_weights,
    share_of_names,
)

PAGES = {
    "migrations": "To create migrations after a model was changed, run makemigrations. Migrations are files.",
    "caching": "The cache framework keeps computed pages in memcached or Redis for fifteen minutes.",
    "fields": "A CharField needs max_length. System check fields.E120 says that it is missing.",
}


def score(question: TermWeights, chunk: TermWeights) -> float:
    weights: dict[int, float] = dict(zip(chunk.terms.tolist(), chunk.weights.tolist(), strict=True))
    pairs: Iterable[tuple[int, float]] = zip(question.terms.tolist(), question.weights.tolist(), strict=True)
    return sum(weight * weights.get(term, 0.0) for term, weight in pairs)


def counted(*chunks: TermWeights) -> Frequencies:
    terms, counts = np.unique(np.concatenate([chunk.terms for chunk in chunks]), return_counts=True)
    return Frequencies(len(chunks), terms, counts.astype(np.uint32))


def best(question: str) -> str:
    chunks = {name: chunk_weights(text, name, "Handbook") for name, text in PAGES.items()}
    asked = question_weights(question, counted(*chunks.values()))
    return max(chunks, key=lambda name: score(asked, chunks[name]))


@pytest.mark.parametrize(
    ("question", "page"),
    [
        ("How do I create a migration?", "migrations"),
        ("Can I keep a computed page in redis?", "caching"),
        ("What does E120 mean?", "fields"),
        ("max length of a char field", "fields"),
    ],
)
def test_the_page_that_answers_has_the_largest_product(question: str, page: str) -> None:
    assert best(question) == page


def test_the_product_is_bm25() -> None:
    chunk, other = chunk_weights("zebra zebra apple", "", ""), chunk_weights("apple", "", "")
    found = score(question_weights("zebra", counted(chunk, other)), chunk)
    spread = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * 3 / USUAL_TOKENS)
    rarity = math.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    assert found == pytest.approx(rarity * 2 * (SATURATION + 1) / (2 + spread), rel=1e-6)


def test_words_of_the_heading_count_more_and_the_title_once() -> None:
    def weight(text: str, heading: str, title: str) -> float:
        chunk = chunk_weights(text, heading, title)
        return float(chunk.weights[chunk.terms.tolist().index(hash_of("zebra"))])

    plain = weight("zebra apple", "", "")
    assert weight("apple pear", "zebra", "") > plain
    assert weight("zebra apple", "zebra", "") > plain
    assert weight("apple pear", "zebra › stripes", "zebra") == weight("apple pear", "zebra › stripes", "")
    assert weight("apple pear", "stripes", "zebra") == weight("apple pear", "zebra", "stripes")
    assert HEADING_COUNT > 1


def test_what_everybody_asks_says_nothing() -> None:
    plenty = Frequencies(1000)
    asked = question_weights("How do I cache what I want?", plenty)
    assert set(asked.terms.tolist()) == {hash_of("cach")}
    assert len(question_weights("How can I?", plenty).terms) == 2  # "how" and "can" are all that there is
    assert hash_of("when") in question_weights("How do I use Case and When?", plenty).terms
    german = question_weights("Wie kann ich eine Datenbank anlegen?", plenty)
    assert hash_of("datenbank") in german.terms and hash_of("kann") not in german.terms


def test_rare_terms_weigh_more_and_unknown_ones_most() -> None:
    frequencies = Frequencies(100, np.array([5, 9], np.uint32), np.array([90, 2], np.uint32))
    common, rare, unknown, high = frequencies.rarity(np.array([5, 9, 7, 2**32 - 2], np.uint32)).tolist()
    assert 0 < common < rare < unknown == high
    assert Frequencies().rarity(np.array([5], np.uint32)).tolist() == pytest.approx([math.log(2)])


def test_a_text_without_words_has_no_terms() -> None:
    assert len(chunk_weights("—!? …", "", "").terms) == 0
    assert len(question_weights("🦓🦓", Frequencies(10)).terms) == 0


def test_the_share_of_names_tells_code_from_prose() -> None:
    assert share_of_names("How do I cache a page?") == 0
    assert share_of_names("select_for_update skip_locked") == 1
    assert 0 < share_of_names("Where do I set max_length?") < 1
    assert share_of_names("") == 0
