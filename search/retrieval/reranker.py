"""Candidates in fused order → the first of them in the order of a model that reads question and passage.

In: a question, and its candidates with their rows. Out: the same candidates; where nothing prevents it the first
RERANK_CANDIDATES in the order of the reranker that RERANKER names, the others behind them. Each position keeps its
score, so that scores stay comparable within an answer.

The fused order stands, and the reason is said, where the first is far ahead of the third, where the reranker takes
longer than RERANK_SECONDS or fails, and for a while after it has failed three times in a row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic

from django.conf import settings

from ingestion.types import Hits, embedding_text
from search.retrieval import cross_encoder, rerank_endpoint, token_vectors
from search.retrieval.confirmed_hits import ConfirmedHits, StoredChunk
from search.retrieval.cross_encoder import NotLoaded

logger = logging.getLogger(__name__)

OFF = "off"
# The margin with which the order never stands for its scores, which may differ by more.
ALWAYS = 1.0
# (question, texts, when to stop) → a score of each text.
Scorer = Callable[[str, Sequence[str], float], list[float]]
SCORERS: Mapping[str, Scorer] = {
    "local": cross_encoder.scores,
    "token-vectors": token_vectors.scores,
    "tei": rerank_endpoint.scores,
    "cohere": rerank_endpoint.scores,
}
# Three failures and a minute are what docs-mcp-server has: a server that restarts is back within it.
FAILURES, PAUSE_SECONDS = 3, 60.0

Candidates = list[tuple[float, StoredChunk]]


class Breaker:
    """Lets nothing pass for PAUSE_SECONDS after FAILURES failures in a row; of this process alone."""

    def __init__(self) -> None:
        self.failures = 0
        self.paused_until = 0.0

    def is_open(self) -> bool:
        """Return whether the reranker is left out now, after too many failures."""
        return monotonic() < self.paused_until

    def note(self, *, failed: bool) -> None:
        """Count a failure; a success sets the count back to 0."""
        self.failures = self.failures + 1 if failed else 0
        if self.failures >= FAILURES:
            self.failures, self.paused_until = 0, monotonic() + PAUSE_SECONDS


breaker = Breaker()


@dataclass(frozen=True, slots=True)
class Reranked:
    """Candidates in their final order; the reranker's scores by key; or why there are none."""

    candidates: Candidates
    scores: Mapping[str, float] = field(default_factory=dict)
    why_not: str = ""


def configured() -> bool:
    """Return whether the settings name a reranker."""
    return bool(settings.RERANKER != OFF)


def reranked(question: str, candidates: Candidates) -> Reranked:
    """Return the candidates with the first of them in the order of the reranker's scores.

    Where it fails or takes too long the order stays, and the result says why.
    """
    first = candidates[: settings.RERANK_CANDIDATES]
    if why_not := reason_to_leave(first):
        return Reranked(candidates, why_not=why_not)
    until = monotonic() + settings.RERANK_SECONDS
    texts = [embedding_text(chunk.heading, chunk.text) for _, chunk in first]
    try:
        scores = SCORERS[settings.RERANKER](question, texts, until)
    except NotLoaded:
        return Reranked(candidates, why_not="its model is being loaded")
    except Exception as error:  # of a model, a connection, or an answer that may be anything: the fused order stands
        late = isinstance(error, TimeoutError) or monotonic() > until
        why_not = f"it took longer than {settings.RERANK_SECONDS:g} s" if late else f"it failed: {error}"
        logger.warning("the reranker (%s) is left out: %s", settings.RERANKER, why_not)
        breaker.note(failed=True)
        return Reranked(candidates, why_not=why_not)
    breaker.note(failed=False)
    by_key = {chunk.key: score for (_, chunk), score in zip(first, scores, strict=True)}
    ordered = sorted(first, key=lambda each: -by_key[each[1].key])
    kept = [(score, chunk) for (_, chunk), (score, _) in zip(ordered, first, strict=True)]
    return Reranked(kept + candidates[len(first) :], by_key)


def reranked_hits(question: str, hits: Hits, confirmed: ConfirmedHits) -> Hits:
    """Return the hits with those that the database confirms first, reranked, and all others behind them."""
    first = list(islice(confirmed.of(hits), settings.RERANK_CANDIDATES))
    ordered = {chunk.key: score for score, chunk in reranked(question, first).candidates}
    return ordered | hits | ordered


def reason_to_leave(first: Candidates) -> str:
    """Return why these candidates are not reranked; empty when they are."""
    if not configured():
        return "there is none"
    if len(first) < 2:
        return "there is nothing to order"
    third = first[min(2, len(first) - 1)][0]
    if settings.RERANK_MARGIN < ALWAYS and first[0][0] - third >= settings.RERANK_MARGIN:
        return "the first is far ahead of the third"
    if breaker.is_open():
        return f"it failed {FAILURES} times and is left alone for a minute"
    return ""
