"""Stored answers → what documentation lacks: questions that were answered badly, grouped by what they are about.

In: the answers of some days that say nothing, or that readers rated badly. Out: groups of questions, the largest first,
each with an example and the pages that come nearest. A question joins the first group whose example is near enough in
meaning, the newest first; without a model only equal questions are one group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Count, Q
from django.db.models.functions import TruncDate
from django.utils import timezone

from ingestion.exceptions import IngestionError
from search.answering.same_question import normalised
from search.answering.sentence_vectors import question_vectors
from search.exceptions import SearchError
from search.models import StoredAnswer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DAYS = 30
# The newest ones; questions that were not embedded before are embedded together.
QUESTIONS = 300
# Questions are about one thing that are so much less near than those that share an answer. Of 271 different questions
# about Django 0.04 % of all pairs are as near as .55 with the stand-in, and those are about one thing.
LESS_NEAR = 0.3
PAGES, EXAMPLES = 3, 5


@dataclass(slots=True)
class Gap:
    """Questions about one thing that were answered badly."""

    answers: list[StoredAnswer] = field(default_factory=list)

    @property
    def example(self) -> str:
        """Return the newest of the group's questions."""
        return self.answers[0].question

    @property
    def others(self) -> list[str]:
        """Return at most EXAMPLES other questions of the group, each once."""
        found = dict.fromkeys(answer.question for answer in self.answers)
        return [question for question in found if question != self.example][:EXAMPLES]

    @property
    def unanswered(self) -> int:
        """Return how many were not answered."""
        return sum(answer.outcome == StoredAnswer.Outcome.UNANSWERED for answer in self.answers)

    @property
    def badly_rated(self) -> int:
        """Return how many answers of the group their readers rated as no help."""
        return sum(answer.rating == StoredAnswer.Rating.BAD for answer in self.answers)

    @property
    def notes(self) -> list[str]:
        """Return at most EXAMPLES of the notes that readers wrote on the group's answers."""
        return [answer.note for answer in self.answers if answer.note][:EXAMPLES]

    @property
    def pages(self) -> list[tuple[int, str]]:
        """Return the id and title of the pages that were found most often: where an answer would belong."""
        found = Counter((p["document"], p["title"]) for answer in self.answers for p in answer.passages[:PAGES])
        return [page for page, _ in found.most_common(PAGES)]


@dataclass(frozen=True, slots=True)
class Day:
    """What was asked on one day."""

    date: date
    questions: int
    unanswered: int
    helpful: int
    not_helpful: int


def gaps(days: int = DAYS) -> list[Gap]:
    """Return the groups of badly answered questions of the last days, the largest first."""
    since = timezone.now() - timedelta(days=days)
    poor = list(StoredAnswer.objects.poor().filter(created_at__gte=since)[:QUESTIONS])
    try:
        vectors = question_vectors([answer.question for answer in poor]) if poor else None
    except (IngestionError, SearchError):
        vectors = None
    return sorted(grouped(poor, vectors), key=lambda gap: -len(gap.answers))


def grouped(answers: Sequence[StoredAnswer], vectors: npt.NDArray[np.float32] | None) -> list[Gap]:
    """Return the answers in groups of equal or similar questions.

    ``vectors`` are those of the questions; without them only equal questions are grouped.
    """
    near = settings.ANSWER_CACHE_COSINE - LESS_NEAR
    found: list[tuple[int, Gap]] = []
    for at, answer in enumerate(answers):
        for example, gap in found:
            same = normalised(answers[example].question) == normalised(answer.question)
            if same or (vectors is not None and float(vectors[example] @ vectors[at]) >= near):
                gap.answers.append(answer)
                break
        else:
            found.append((at, Gap([answer])))
    return [gap for _, gap in found]


def per_day(days: int = DAYS) -> list[Day]:
    """Return what was asked on each of the last days with a question, the newest first."""
    rows = StoredAnswer.objects.filter(created_at__gte=timezone.now() - timedelta(days=days)).order_by()
    counted = (
        rows.annotate(date=TruncDate("created_at"))
        .values_list("date")
        .annotate(
            questions=Count("*"),
            unanswered=Count("id", filter=Q(outcome=StoredAnswer.Outcome.UNANSWERED)),
            helpful=Count("id", filter=Q(rating=StoredAnswer.Rating.GOOD)),
            not_helpful=Count("id", filter=Q(rating=StoredAnswer.Rating.BAD)),
        )
    )
    return [Day(*row) for row in counted.order_by("-date")]
