"""A question -> the passages that answer it, best first.

Three steps: the question is prepared (``preparation``), embedded with the model of the collection that is searched
(``query_embedder``), and its passages are found (``index_search``). ``retrieve`` runs in one thread, for commands;
``retrieve_queued`` waits for its turn and for the model without holding a thread, for web processes, where each step is
done for all questions that have come to it (``grouped``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from django.conf import settings

from ragproject import span_attributes, tracing
from search.access.fair_queue import process_queues
from search.questions import Passage, Question
from search.retrieval.fusion import Pools
from search.retrieval.grouped import Grouped
from search.retrieval.index_search import POOL, EmbeddedQuestion, find_each
from search.retrieval.preparation import Asked, PreparedQuestion, prepare_each
from search.retrieval.query_embedder import BATCH_QUESTIONS, question_queue
from search.retrieval.query_vectors import HYBRID, query_vectors
from search.timings import Stage, Timings

if TYPE_CHECKING:
    from ingestion.types import Vectors


def retrieve(question: Question, timings: Timings) -> list[Passage]:
    """Return at most ``question.limit`` passages. Raises SearchError or IngestionError."""
    asked = Asked(question, timings)
    prepared = prepared_alone(asked)
    with timings.stage("embed") as stage:
        describe_embedding(stage, prepared)
        vectors = embedded(prepared)
    [found] = find_each([EmbeddedQuestion(asked, prepared, vectors)])
    if isinstance(found, Exception):
        raise found
    return found


class GroupedSteps:
    """The steps that one event loop's questions take together."""

    def __init__(self) -> None:
        self.prepare = Grouped[Asked, PreparedQuestion](prepare_each, BATCH_QUESTIONS)
        self.find = Grouped[EmbeddedQuestion, list[Passage]](find_each, BATCH_QUESTIONS)


# Steps belong to their event loop: a web process has one, each command and test another.
_steps: WeakKeyDictionary[asyncio.AbstractEventLoop, GroupedSteps] = WeakKeyDictionary()


def grouped_steps() -> GroupedSteps:
    """Return this event loop's steps."""
    loop = asyncio.get_running_loop()
    if loop not in _steps:
        _steps[loop] = GroupedSteps()
    return _steps[loop]


async def retrieve_queued(question: Question, timings: Timings) -> list[Passage]:
    """Return what ``retrieve`` does, when it is the caller's turn.

    Raises TooBusy, too.
    """
    async with process_queues().searches.served(question.caller, timings.stage("wait")):
        steps, queue, asked = grouped_steps(), question_queue(), Asked(question, timings)
        with queue.coming():
            prepared = await steps.prepare.done(asked)
        with timings.stage("embed") as stage:
            describe_embedding(stage, prepared)
            vectors = await asyncio.gather(*(queue.embed(prepared.served.embedder, ids) for ids in prepared.ids))
        return await steps.find.done(EmbeddedQuestion(asked, prepared, vectors))


def describe_embedding(stage: Stage, prepared: PreparedQuestion) -> None:
    """Say in the trace, if there is one, by which model how many tokens are embedded."""
    if tracing.recording():
        collection, tokens = prepared.served.collection, sum(map(len, prepared.ids))
        stage.describe(span_attributes.embedding(collection.model, tokens, collection.dimension))


def prepared_alone(asked: Asked) -> PreparedQuestion:
    """Return a question prepared by itself. Raises SearchError or IngestionError."""
    [prepared] = prepare_each([asked])
    if isinstance(prepared, Exception):
        raise prepared
    return prepared


def embedded(prepared: PreparedQuestion) -> Sequence[Vectors]:
    """Return the vectors of the texts, embedded in this thread."""
    found: dict[int, Vectors] = {}
    for positions, vectors in prepared.served.embedder.embed_tokens(prepared.ids):
        found.update(zip(positions, vectors, strict=True))
    return [found[at] for at in range(len(prepared.ids))]


def candidates(question: Question) -> Pools:
    """Return the candidates of every channel, whatever its weight, as a search of this question has them."""
    from ingestion.vector_store.store import open_store

    prepared = prepared_alone(Asked(question, Timings()))
    vectors, *_ = embedded(prepared)
    collection, selection = prepared.served.collection, prepared.selection
    store = open_store(collection.name, collection.dimension, settings.SERVICE_TIMEOUT_SECONDS)
    weights = dict.fromkeys(store.channels, 1.0)
    query = query_vectors(question.text, HYBRID, vectors, store.channels, weights, prepared.frequencies)
    [pools] = store.search([query], limit=POOL, **asdict(selection))
    return pools
