"""Judged questions → the weights of the channels that rank their documents best.

Every question is asked once; the candidates of its channels are fused under all weights in steps of STEP. Every second
question chooses, the others tell what the choice is worth. A single channel is one of the choices, so that what is
chosen is never worse than the best channel on the questions that chose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ingestion.models import Chunk
from ingestion.vector_store.rows import CHANNELS
from search.access.caller import OPERATOR
from search.evaluation.measures import means, measure
from search.evaluation.question_sets import DocumentNames, JudgedQuestion
from search.questions import Question
from search.retrieval.fusion import Pools
from search.retrieval.query_vectors import channel_weights, fused
from search.retrieval.retriever import candidates

Weights = Mapping[str, float]
STEP = 0.05
DEPTH = 10
CHOSEN_BY = "ndcg@10"


@dataclass(frozen=True, slots=True)
class Tuned:
    """The weights that were chosen, and nDCG@10 on the half that did not choose.

    ``present`` is that of the weights in the settings, ``channels`` those of each channel alone.
    """

    weights: Weights
    chosen: float
    present: float
    channels: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Candidates:
    """A question with the candidates of its channels, and the name of each candidate's document."""

    question: JudgedQuestion
    pools: Pools
    documents: Mapping[str, str]

    def ranked(self, weights: Weights) -> list[str]:
        """Return the documents under these weights, best first."""
        names: dict[str, None] = {}
        for key in fused(self.pools, self.question.text, weights):
            if key in self.documents:
                names[self.documents[key]] = None
                if len(names) == DEPTH:
                    break
        return list(names)


def tune(questions: Sequence[JudgedQuestion], *, source: str = "", version: str = "") -> Tuned:
    """Return the weights under which every second question finds its documents best."""
    asked = list(ask(questions, source, version))
    choosing, reporting = asked[::2], asked[1::2] or asked
    best = max(grid(), key=lambda weights: score(choosing, weights))
    alone = {channel: score(reporting, {channel: 1.0}) for channel in CHANNELS}
    return Tuned(best, score(reporting, best), score(reporting, channel_weights()), alone)


def ask(questions: Sequence[JudgedQuestion], source: str, version: str) -> Iterator[Candidates]:
    """Yield each question with the candidates of all channels and the names of their documents."""
    names = DocumentNames()
    for question in questions:
        pools = candidates(Question(question.text, OPERATOR, source, version=version))
        keys = {key for pool in pools.values() for key in pool}
        rows = Chunk.objects.live().filter(key__in=keys).values_list("key", "document__url")
        yield Candidates(question, pools, {key: names.of(url, question.relevant) for key, url in rows})


def grid() -> list[Weights]:
    """Return all weights of the channels that are multiples of STEP and sum to 1, equal ones first."""
    steps = round(1 / STEP)
    counts = [(a, b, steps - a - b) for a in range(steps + 1) for b in range(steps + 1 - a)]
    counts.sort(key=lambda each: max(each) - min(each))
    return [dict(zip(CHANNELS, (STEP * count for count in each), strict=True)) for each in counts]


def score(asked: Sequence[Candidates], weights: Weights) -> float:
    """Return the mean of nDCG@10 under these weights."""
    ranked = {each.question.id: each.ranked(weights) for each in asked}
    return means(measure([each.question for each in asked], ranked))[CHOSEN_BY]
