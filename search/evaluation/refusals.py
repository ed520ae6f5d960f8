"""Which questions are refused: in, judged questions; out, how many that the index answers, and how many others.

A question that names no document is on another subject. One whose documents the index does not hold tells nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from ingestion.types import Json
from search.access.caller import OPERATOR
from search.answering.answer import is_out_of_scope
from search.evaluation.question_sets import JudgedQuestion, sources_of
from search.exceptions import QuestionRefused
from search.questions import Question
from search.retrieval.retriever import retrieve
from search.timings import Timings


@dataclass(frozen=True, slots=True)
class Refusals:
    """How many questions were asked, and the texts of those that were judged wrongly."""

    answerable: int
    refused: Sequence[str]
    on_other_subjects: int
    answered: Sequence[str]

    def figures(self) -> Json:
        """Return what the command prints: the shares that were refused, and which should not or should have been."""
        others = self.on_other_subjects
        return {
            "answerable": self.answerable,
            "answerable_refused": round(len(self.refused) / self.answerable, 3) if self.answerable else None,
            "on_other_subjects": others,
            "on_other_subjects_refused": round(1 - len(self.answered) / others, 3) if others else None,
            "refused": list(self.refused),
            "answered": list(self.answered),
        }


def refusals(questions: Sequence[JudgedQuestion], *, source: str = "", version: str = "") -> Refusals:
    """Return which questions are refused. Raises QuestionRefused where the index can tell nothing of any."""
    held = sources_of(questions)
    answerable = [question.text for question in questions if question.id in held]
    others = [question.text for question in questions if not question.relevant]
    if not answerable and not others:
        raise QuestionRefused("The index holds no document that answers one of the questions.")
    refused = [text for text in answerable if is_refused(text, source, version)]
    answered = [text for text in others if not is_refused(text, source, version)]
    return Refusals(len(answerable), refused, len(others), answered)


def is_refused(text: str, source: str, version: str) -> bool:
    """Return whether readers who ask this are told that the documents do not say."""
    question = Question(text, OPERATOR, source, settings.ANSWER_PASSAGES, version=version)
    passages = retrieve(question, Timings())
    return not passages or is_out_of_scope(question, passages)
