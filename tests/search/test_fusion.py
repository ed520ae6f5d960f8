"""Candidates of several channels become one list by how much better each is, not by its rank."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.types import Hits
from search.retrieval.fusion import BELOW_MEAN, STANDS_OUT, fuse, standard_scores, toward_words

EQUAL = {"dense": 0.5, "sparse": 0.0, "words": 0.5}
SCORES = st.integers(-5000, 5000).map(lambda thousandths: thousandths / 1000)
POOL = st.dictionaries(st.sampled_from("abcdefgh"), SCORES, max_size=8)


def pool(**scores: float) -> Hits:
    return dict(sorted(scores.items(), key=lambda each: -each[1]))


def keys(hits: Hits) -> str:
    return "".join(hits)


def test_by_how_much_the_best_is_better_counts() -> None:
    narrow, wide = pool(a=0.71, b=0.70, c=0.1), pool(b=9.0, a=2.0, c=1.0)
    assert keys(fuse({"dense": narrow, "words": wide}, EQUAL)) == "bac"


def test_a_score_is_by_how_many_deviations_a_candidate_is_better_than_the_mean() -> None:
    [found] = standard_scores({"dense": pool(a=5.0, b=3.0, c=1.0)}).values()
    deviation = (8 / 3) ** 0.5
    above = 2 / deviation / STANDS_OUT
    assert found == pytest.approx({"a": above + BELOW_MEAN * above, "b": BELOW_MEAN * above, "c": 0.0})


def test_one_bad_candidate_takes_little_from_what_tells_the_others_apart() -> None:
    usual = {f"n{n:02}": 0.4 + 0.004 * n for n in range(100)}
    lead = [
        found["a"] - found["n05"]
        for worst in (0.4, -0.4)
        for found in standard_scores({"dense": pool(a=0.9, z=worst, **usual)}).values()
    ]
    assert lead[1] > 0.7 * lead[0]  # on a scale from the worst to the best: 0.38


def test_the_only_candidate_with_a_rare_word_stands_out() -> None:
    dense = {f"n{n:02}": 0.5 + n / 100 for n in range(30)}
    found = fuse({"dense": pool(**dense), "words": pool(n00=9.0)}, {"dense": 0.6, "words": 0.4})
    assert list(found)[:2] == ["n00", "n29"]
    two = fuse({"dense": pool(**dense), "words": pool(n00=9.0, n01=1.0)}, {"dense": 0.6, "words": 0.4})
    assert list(two)[:2] == ["n00", "n29"]


def test_a_candidate_of_one_channel_only_has_nothing_from_the_others() -> None:
    found = fuse({"dense": pool(a=1.0, b=0.0), "words": pool(c=3.0, a=1.0)}, EQUAL)
    best = 0.5 * (1 + BELOW_MEAN) / STANDS_OUT
    assert found == pytest.approx({"a": best, "b": 0.0, "c": best})


def test_a_channel_without_a_weight_or_without_candidates_changes_nothing() -> None:
    dense = pool(a=0.9, b=0.5)
    alone = fuse({"dense": dense}, EQUAL)
    assert list(alone.values()) == pytest.approx([2 * 0.5 * (1 + BELOW_MEAN) / STANDS_OUT, 0.0])
    assert fuse({"dense": dense, "sparse": pool(y=8.0, z=9.0, x=7.0)}, EQUAL) == alone
    assert keys(fuse({"dense": dense, "words": {}}, EQUAL)) == "ab"
    assert fuse({}, EQUAL) == {}


def test_a_channel_without_a_weight_is_better_than_no_candidates() -> None:
    sparse = pool(y=8.0, z=9.0, x=7.0)
    assert keys(fuse({"sparse": sparse}, EQUAL)) == keys(fuse({"dense": {}, "sparse": sparse}, EQUAL)) == "zyx"


def test_equal_scores_are_all_best_and_stand_in_a_fixed_order() -> None:
    assert list(fuse({"dense": pool(b=0.5, a=0.5)}, EQUAL).items()) == [("a", 1.0), ("b", 1.0)]
    assert fuse({"dense": pool(a=0.1, b=0.1, c=0.1)}, EQUAL)["a"] == 1.0  # whose mean is not 0.1
    assert set(fuse({"dense": pool(a=0.0, b=5e-324)}, EQUAL).values()) == {1.0}


@given(POOL, POOL)
def test_every_candidate_is_there_once_and_a_better_one_of_a_channel_stands_above(
    dense: dict[str, float], words: dict[str, float]
) -> None:
    found = fuse({"dense": pool(**dense), "words": pool(**words)}, EQUAL)
    assert found.keys() == dense.keys() | words.keys()
    assert all(score >= 0 for score in found.values())
    alone = pool(**dense)
    assert [dense[key] for key in fuse({"dense": alone}, EQUAL)] == pytest.approx(list(alone.values()))
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_a_question_of_names_goes_by_words() -> None:
    weights = {"dense": 0.5, "sparse": 0.2, "words": 0.3}
    assert toward_words(weights, 0.0) == weights
    assert toward_words(weights, 0.5) == pytest.approx({"dense": 0.25, "sparse": 0.1, "words": 0.65})
    names = toward_words(weights, 1.0)
    assert names["words"] > 0.9 and names["dense"] > 0  # which still orders what the words do not know
    assert toward_words({"dense": 1.0, "sparse": 0.0, "words": 0.0}, 1.0)["dense"] == 1.0
