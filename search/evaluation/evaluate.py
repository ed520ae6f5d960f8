"""How well retrieval finds known answers: in, judged questions; out, the field's measures per mode.

A document stands where the best of its passages stands. Questions go the way of a reader's question. A result can be
saved, and a later one compared with it, question by question.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from search.access.caller import OPERATOR
from search.evaluation.measures import DIGITS, Values, interval, means, measure
from search.evaluation.question_sets import DocumentNames, JudgedQuestion
from search.exceptions import QuestionRefused
from search.forms import MODES
from search.questions import Question
from search.retrieval.retriever import retrieve
from search.timings import Timings

# So many passages hold ten documents unless one document has most of the best passages.
PASSAGES = 100
# A result may fall by so much below its baseline: one question in a hundred that slips from the first place to none.
TOLERANCE = 0.01
COMPARED = ("ndcg@10", "recall@5")


@dataclass(frozen=True, slots=True)
class ModeResult:
    """What one mode of search achieved on each question, and the median of the milliseconds that it took."""

    mode: str
    values: Values
    milliseconds: float

    def figures(self) -> dict[str, float]:
        """Return the means of the measures and the time under the names that the command prints."""
        return {**means(self.values), "p50_ms": self.milliseconds}

    def interval(self, name: str) -> tuple[float, float]:
        """Return the interval of 95 % of a measure's mean."""
        return interval([each[name] for each in self.values.values()])

    def kinds(self, questions: Iterable[JudgedQuestion]) -> dict[str, dict[str, float]]:
        """Return the means for each kind of question."""
        groups: dict[str, Values] = {}
        for question in questions:
            groups.setdefault(question.kind, {})[question.id] = self.values[question.id]
        return {kind: means(values) for kind, values in groups.items()}


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
        """Return whether the mode is worse than chance or a tie would make it."""
        return self.difference < -TOLERANCE


def evaluate(
    questions: Sequence[JudgedQuestion], *, source: str = "", modes: Iterable[str] = MODES
) -> Iterator[ModeResult]:
    """Yield the result of each mode."""
    names = DocumentNames()
    for mode in modes:
        ranked, spent = {}, []
        for question in questions:
            timings = Timings()
            passages = retrieve(Question(question.text, OPERATOR, source, PASSAGES, mode), timings)
            spent.append(timings.milliseconds()["total"])
            ranked[question.id] = names.ranked(passages, question.relevant)
        yield ModeResult(mode, measure(questions, ranked), round(median(spent), 1))


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
