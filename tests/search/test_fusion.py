"""Candidates of several channels become one list by how much better each is, not by its rank."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.types import Hit
from search.retrieval.fusion import fuse, toward_words

EQUAL = {"dense": 0.5, "sparse": 0.0, "words": 0.5}
POOL = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-5, 5), max_size=8)


def pool(**scores: float) -> list[Hit]:
    return sorted((Hit(key, score) for key, score in scores.items()), key=lambda hit: -hit.score)


def keys(hits: list[Hit]) -> str:
    return "".join(hit.key for hit in hits)


def test_by_how_much_the_best_is_better_counts() -> None:
    narrow, wide = pool(a=0.71, b=0.70, c=0.1), pool(b=9.0, a=2.0, c=1.0)
    assert keys(fuse({"dense": narrow, "words": wide}, EQUAL)) == "bac"
    assert fuse({"dense": narrow, "words": wide}, EQUAL)[0].score == pytest.approx(0.5 * 0.60 / 0.61 + 0.5)


def test_a_candidate_of_one_channel_only_has_nothing_from_the_others() -> None:
    found = {hit.key: hit.score for hit in fuse({"dense": pool(a=1.0, b=0.0), "words": pool(c=3.0, a=1.0)}, EQUAL)}
    assert found == {"a": 0.5, "b": 0.0, "c": 0.5}


def test_a_channel_without_a_weight_or_without_candidates_changes_nothing() -> None:
    dense = pool(a=0.9, b=0.5)
    alone = fuse({"dense": dense}, EQUAL)
    assert [hit.score for hit in alone] == [1.0, 0.0]
    assert fuse({"dense": dense, "sparse": pool(z=9.0)}, EQUAL) == alone
    assert keys(fuse({"dense": dense, "words": []}, EQUAL)) == "ab"
    assert fuse({}, EQUAL) == []


def test_equal_scores_are_all_best_and_stand_in_a_fixed_order() -> None:
    assert fuse({"dense": pool(b=0.5, a=0.5)}, EQUAL) == [Hit("a", 1.0), Hit("b", 1.0)]


@given(POOL, POOL)
def test_every_candidate_is_there_once_with_a_score_from_0_to_1(
    dense: dict[str, float], words: dict[str, float]
) -> None:
    found = fuse({"dense": pool(**dense), "words": pool(**words)}, EQUAL)
    assert sorted(hit.key for hit in found) == sorted(dense.keys() | words.keys())
    assert all(0 <= hit.score <= 1 + 1e-9 for hit in found)
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)


def test_a_question_of_names_goes_by_words() -> None:
    weights = {"dense": 0.5, "sparse": 0.2, "words": 0.3}
    assert toward_words(weights, 0.0) == weights
    assert toward_words(weights, 0.5) == pytest.approx({"dense": 0.25, "sparse": 0.1, "words": 0.65})
    names = toward_words(weights, 1.0)
    assert names["words"] > 0.9 and names["dense"] > 0  # which still orders what the words do not know
    assert toward_words({"dense": 1.0, "sparse": 0.0, "words": 0.0}, 1.0)["dense"] == 1.0
