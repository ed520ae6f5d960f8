"""A question → what each channel found, how that was fused and reranked, and why each candidate stands where it does.

In: a question. Out: its candidates with their scores in every list, and the passages that a reader is shown. All of it
comes from the functions that answer a reader's question (``search.retrieval``); nothing is ranked here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingestion.types import Hits
from ingestion.words.weights import share_of_names
from search.questions import Passage, Question
from search.retrieval import reranker
from search.retrieval.confirmed_hits import ConfirmedHits, StoredChunk
from search.retrieval.fusion import standard_scores, toward_words
from search.retrieval.query_vectors import channel_weights, fused
from search.retrieval.retriever import candidates, retrieve
from search.timings import Timings

SHOWN = 10
FUSED, RERANKED = "fused", "reranked"
NAMES = {"dense": "meaning", "sparse": "the model's terms", "words": "words"}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a candidate stands in a list, from 1 on, and its score there."""

    place: int
    score: float


@dataclass(frozen=True, slots=True)
class Explained:
    """A candidate: its row, where it stands in each list, its place among the passages shown (0: none), and why."""

    row: StoredChunk
    standings: Sequence[Standing | None]
    shown: int
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """All candidates that stand among the first SHOWN of any list; ``why_not`` says why nothing was reranked."""

    lists: Sequence[str]
    candidates: Sequence[Explained]
    passages: Sequence[Passage]
    weights: Mapping[str, float]
    why_not: str
    timings: Mapping[str, float]


def explain(question: Question) -> Explanation:
    """Return where each candidate of a hybrid search stands in every list, and how its score comes about.

    Raises SearchError or IngestionError.
    """
    timings = Timings()
    passages = retrieve(question, timings)
    pools = candidates(question)
    weights = toward_words(channel_weights(), share_of_names(question.text))
    hits = fused(pools, question.text, channel_weights())
    found = list(ConfirmedHits(question.caller, len(hits)).of(hits))
    again = reranker.reranked(question.text, found)
    lists: dict[str, Hits] = {**pools, FUSED: {row.key: score for score, row in found}}
    if again.scores:
        lists[RERANKED] = {row.key: again.scores.get(row.key, 0.0) for _, row in again.candidates}
    standings = standings_of(lists)
    places = {(p.document, p.position): place for place, p in enumerate(passages, 1)}
    parts = standard_scores(pools)
    explained = [
        Explained(
            row,
            [standings[row.key].get(name) for name in lists],
            places.get((row.document, row.position), 0),
            why(row.key, parts, weights),
        )
        for _, row in again.candidates
        if any(each.place <= SHOWN for each in standings[row.key].values())
    ]
    return Explanation(list(lists), explained, passages, weights, again.why_not, timings.milliseconds())


def standings_of(lists: Mapping[str, Hits]) -> dict[str, dict[str, Standing]]:
    """Return key of a candidate -> name of a list -> the candidate's place and score in that list."""
    found: dict[str, dict[str, Standing]] = {}
    for name, hits in lists.items():
        for place, (key, score) in enumerate(hits.items(), 1):
            found.setdefault(key, {})[name] = Standing(place, score)
    return found


def why(key: str, parts: Mapping[str, Mapping[str, float]], weights: Mapping[str, float]) -> str:
    """Return what each channel gives to a candidate's fused score, the largest part first."""
    total = sum(weights.get(channel, 0.0) for channel in parts)
    given = {
        channel: weights.get(channel, 0.0) / (total or 1) * scores.get(key, 0.0) for channel, scores in parts.items()
    }
    ordered = sorted(given.items(), key=lambda each: -each[1])
    return " + ".join(f"{share:.2f} {NAMES[channel]}" for channel, share in ordered if round(share, 2))
