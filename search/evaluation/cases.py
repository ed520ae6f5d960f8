"""Questions whose right pages staff have named → where these stand now, and what changed since the last time.

In: the rows of ``RetrievalCase``. Out: a row of ``CaseRun``. The questions go the way of a reader's. After a change of
the model all are asked by itself, once, by the first web process that has loaded the new model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from ingestion.models import Collection
from search.access.caller import OPERATOR
from search.evaluation.question_sets import DocumentNames
from search.exceptions import FAILURES, QuestionRefused
from search.models import CaseRun, RetrievalCase
from search.questions import Question
from search.retrieval.question_model import searched_collection
from search.retrieval.retriever import retrieve
from search.timings import Timings

logger = logging.getLogger(__name__)

# A right page that stands behind so many is not found.
PASSAGES = 50
FOUND_WITHIN = 5


@dataclass(frozen=True, slots=True)
class Change:
    """A case whose first right page stands elsewhere than the last time; a place of 0: not found."""

    case: RetrievalCase
    place: int
    before: int

    @property
    def is_better(self) -> bool:
        """Return whether the page is nearer to the top."""
        return (self.place or PASSAGES + 1) < (self.before or PASSAGES + 1)


def run_cases(reason: CaseRun.Reason = CaseRun.Reason.STAFF) -> CaseRun:
    """Ask the questions of all cases and store where their pages stand. Raises SearchError or IngestionError."""
    collection, names = searched_collection(), DocumentNames()
    places = {str(case.pk): place_of(case, names) for case in RetrievalCase.objects.all()}
    with transaction.atomic():  # SQLite's other writers wait for the whole of it, so that nothing is asked inside
        return CaseRun.objects.create(reason=reason, collection=collection.name, model=collection.model, places=places)


def place_of(case: RetrievalCase, names: DocumentNames) -> int:
    """Return the place of the case's first right page, from 1 on; 0 where it, or the case's source, is not found."""
    relevant = dict.fromkeys(case.pages, 1)
    try:
        passages = retrieve(Question(case.question, OPERATOR, case.source, PASSAGES), Timings())
    except QuestionRefused:
        return 0
    found = names.ranked(passages, relevant)
    return next((place for place, name in enumerate(found, 1) if name in relevant), 0)


def run_after_change(sender: Any = None, *, collection: Collection, **kwargs: Any) -> None:
    """Ask all cases where none were asked since this collection is searched; what prevents that is logged."""
    try:
        last = CaseRun.objects.first()
        if RetrievalCase.objects.exists() and not (last and last.collection == collection.name):
            run_cases(CaseRun.Reason.MODEL)
    except IntegrityError:
        logger.debug("another process has asked the cases of %s", collection.name)
    except FAILURES as error:
        logger.warning("the retrieval cases were not asked after the change of the model: %s", error)


def changes(run: CaseRun) -> Iterator[Change]:
    """Yield the cases whose pages stand elsewhere than in the run before, the worse ones first."""
    before = run.before()
    known = before.places if before else {}
    cases = RetrievalCase.objects.in_bulk([int(id) for id in run.places])
    found = [
        Change(cases[int(id)], place, known[id])
        for id, place in run.places.items()
        if id in known and place != known[id] and int(id) in cases
    ]
    yield from sorted(found, key=lambda change: change.is_better)
