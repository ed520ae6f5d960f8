"""Questions → where each is searched, and its texts as tokens.

In: questions that are asked at the same time. Out: a ``PreparedQuestion`` for each, or why there is none: SearchError
or IngestionError. What the collection, the sources and the count of terms hold is read once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ingestion.models import Collection
from ingestion.words.weights import Frequencies
from ragproject import tracing
from ragproject.span_attributes import Described
from search.questions import Question
from search.retrieval.corrections import corrected
from search.retrieval.query_embedder import question_tokens
from search.retrieval.query_vectors import Counted, last_count
from search.retrieval.question_model import ServedModel, searched, served_model
from search.retrieval.selection import Place, Selection, places, selected
from search.timings import Timings

if TYPE_CHECKING:
    from ingestion.embedding.embedder import TokenIds


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its clock, and the context of its request, to which the steps of its trace belong."""

    question: Question
    timings: Timings
    context: Context = field(default_factory=copy_context)

    def begin(self, stages: ExitStack, name: str, describe: Callable[[], Described] | None = None) -> None:
        """Begin a stage of this question, which ends with ``stages``; ``describe`` is for its trace, if there is one.

        Not to be called within the context.
        """
        self.context.run(self._begin, stages, name, describe)

    def _begin(self, stages: ExitStack, name: str, describe: Callable[[], Described] | None) -> None:
        """Begin a stage of the question, which ends with ``stages``; call ``describe`` only while a trace is recorded.

        Must run in the question's own context.
        """
        stage = stages.enter_context(self.timings.stage(name))
        if describe and tracing.recording():
            stage.describe(describe())


class PreparedQuestion(NamedTuple):
    """A question before it is embedded: where it is searched, and its texts with the tokens of each.

    ``meant`` is the one of the texts that the question may mean, if its words may be wrong.
    """

    served: ServedModel
    selection: Selection
    texts: list[str]
    ids: list[TokenIds]
    meant: str = ""
    frequencies: Frequencies = Frequencies()


def prepare_each(asked: Sequence[Asked]) -> list[PreparedQuestion | Exception]:
    """Return each question prepared, or the exception that it raised."""
    try:
        collection, counted_at = searched()
        sources, counted = places(), last_count(counted_at)
    except Exception as error:  # raised where each question is awaited
        return [error] * len(asked)
    return [each.context.run(attempt, each, collection, sources, counted) for each in asked]


def attempt(
    asked: Asked, collection: Collection, sources: Sequence[Place], counted: Counted
) -> PreparedQuestion | Exception:
    """Return what ``prepare`` does, or the exception that it raised."""
    try:
        return prepare(asked, collection, sources, counted)
    except Exception as error:  # raised where the question is awaited
        return error


def prepare(asked: Asked, collection: Collection, sources: Sequence[Place], counted: Counted) -> PreparedQuestion:
    """Return where and what to search for a question: model, sources, texts and their token ids.

    The model is loaded if need be, and texts are cut to QUESTION_MAX_TOKENS.
    """
    question, timings = asked.question, asked.timings
    selection = selected(question, sources)
    served = served_model(collection, timings)
    meant = corrected(question.text, counted.frequencies, counted.vocabulary)
    texts = [question.text, *question.parts, *([meant] if meant else [])]
    with timings.stage("embed"):
        ids = question_tokens(served.embedder, texts)
    return PreparedQuestion(served, selection, texts, ids, meant, counted.frequencies)
