"""How well retrieval finds known answers: in, judged questions; out, the field's measures per mode.

A document stands where the best of its passages stands. Questions go the way of a reader's question. A result can be
saved, and a later one compared with it, question by question.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from ingestion.types import Json
from search.access.caller import OPERATOR
from search.answering.prompt import select_context
from search.evaluation.measures import DIGITS, Values, answer_token_recall, interval, means, measure
from search.evaluation.question_sets import DocumentNames, JudgedQuestion
from search.exceptions import QuestionRefused
from search.forms import MODES
from search.questions import Question
from search.retrieval.query_vectors import HYBRID
from search.retrieval.retriever import retrieve
from search.timings import Timings

# So many passages hold ten documents unless one document has most of the best passages.
PASSAGES = 100
# A result may fall by so much below its baseline: one question in a hundred that slips from the first place to none.
TOLERANCE = 0.01
COMPARED = ("ndcg@10", "recall@5")
# A hybrid search whose passages the configured reranker orders.
RERANKED = "reranked"


@dataclass(frozen=True, slots=True)
class ModeResult:
    """What one mode of search achieved on each question, and the milliseconds that each took."""

    mode: str
    values: Values
    milliseconds: Sequence[float]

    def figures(self, questions: Iterable[JudgedQuestion], sources: Mapping[str, str]) -> Json:
        """Return what the command prints: means, intervals of 95 %, and the means of each kind and each source.

        ``sources`` names the source that answers a question, by the question's id.
        """
        kinds = {question.id: question.kind for question in questions}
        return {
            **means(self.values),
            "p50_ms": round(float(np.percentile(self.milliseconds, 50)), 1),
            "p95_ms": round(float(np.percentile(self.milliseconds, 95)), 1),
            "intervals": {name: self.interval(name) for name in COMPARED},
            "kinds": self.grouped(kinds),
            "sources": self.grouped(sources),
        }

    def interval(self, name: str) -> tuple[float, float]:
        """Return the interval of 95 % of a measure's mean."""
        return interval([each[name] for each in self.values.values()])

    def grouped(self, group_of: Mapping[str, str]) -> dict[str, dict[str, float]]:
        """Return the means for each group of questions, where there are several; ``group_of`` is by the id."""
        groups: dict[str, Values] = {}
        for id, group in group_of.items():
            groups.setdefault(group, {})[id] = self.values[id]
        return {group: means(values) for group, values in groups.items()} if len(groups) > 1 else {}


@dataclass(frozen=True, slots=True)
class Change:
    """How a measure of a mode differs from its baseline, over the questions that both have."""

    mode: str
    measure: str
    difference: float
    low: float
    high: float

    @property
    def is_regression(self) -> bool:
        """Return whether the difference from the baseline is a loss beyond TOLERANCE."""
        return self.difference < -TOLERANCE


def evaluate(
    questions: Sequence[JudgedQuestion], *, source: str = "", version: str = "", modes: Iterable[str] = MODES
) -> Iterator[ModeResult]:
    """Ask all questions in each mode, and yield each mode's measures and times."""
    names = DocumentNames()
    for mode in modes:
        ranked, spent, borne_out = {}, [], {}
        for question in questions:
            timings = Timings()
            searched = HYBRID if mode == RERANKED else mode
            reranks = mode == RERANKED
            asked = Question(question.text, OPERATOR, source, PASSAGES, searched, version=version, rerank=reranks)
            passages = retrieve(asked, timings)
            stages = timings.milliseconds()
            spent.append(stages["total"] - stages.get("load", 0.0))
            ranked[question.id] = names.ranked(passages, question.relevant)
            if question.answer:
                read = select_context(passages[: settings.ANSWER_PASSAGES], settings.LLM_CONTEXT_CHARS)
                borne_out[question.id] = answer_token_recall(question.answer, [passage.text for passage in read])
        values = measure(questions, ranked)
        for id, share in borne_out.items():
            values[id]["answer_tokens"] = share
        yield ModeResult(mode, values, spent)


def save(results: Iterable[ModeResult], path: Path) -> None:
    """Write what each mode achieved on each question. Raises QuestionRefused where the file cannot be written."""
    try:
        path.write_text(json.dumps({result.mode: result.values for result in results}))
    except OSError as error:
        raise QuestionRefused(f"{path} cannot be written: {error}.") from error


def read_baseline(path: Path) -> dict[str, Values]:
    """Return what was saved: mode -> question -> measure -> value. Raises QuestionRefused where it cannot be read."""
    try:
        found: dict[str, Values] = json.loads(path.read_text())
        return found
    except (OSError, ValueError) as error:
        raise QuestionRefused(f"{path} cannot be read: {error}. `evaluate --save FILE` writes it.") from error


def compare(results: Iterable[ModeResult], baseline: Mapping[str, Values]) -> Iterator[Change]:
    """Yield how the results differ from the baseline. Raises QuestionRefused when they share no question."""
    shared_any = False
    for result in results:
        before: dict[str, Any] = baseline.get(result.mode, {})
        shared = [id for id in result.values if id in before]
        shared_any |= bool(shared)
        for name in COMPARED if shared else ():
            differences = [result.values[id][name] - before[id][name] for id in shared]
            mean = round(sum(differences) / len(differences), DIGITS)
            yield Change(result.mode, name, mean, *interval(differences))
    if not shared_any:
        raise QuestionRefused("The baseline has no question of this set; save one with `evaluate --save`.")
