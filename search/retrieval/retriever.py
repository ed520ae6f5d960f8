"""A question -> the passages that answer it, best first.

Embeds the question with the model of the collection that is searched (``question_model``), asks Milvus for the
candidates of each channel, fuses them, joins them with the Chunk rows and folds copies. ``retrieve`` runs in one
thread, for commands; ``retrieve_queued`` waits for its turn and for the model without holding a thread, for web
processes.

pymilvus is imported on first use only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from asgiref.sync import sync_to_async
from django.conf import settings

from ingestion.coordination import circuit_breaker
from ingestion.exceptions import CollectionMissing
from ingestion.models import Chunk
from ingestion.types import Hit, Vectors
from ingestion.words.weights import Frequencies
from ragproject import span_attributes, tracing
from search.access.fair_queue import process_queues, to_its_end
from search.exceptions import IndexIncomplete
from search.questions import Passage, Question
from search.retrieval import query_embedder, reranker
from search.retrieval.confirmed_hits import ConfirmedHits
from search.retrieval.corrections import corrected, is_meant
from search.retrieval.folding import folded
from search.retrieval.fusion import Pools
from search.retrieval.passages import passages_of
from search.retrieval.query_vectors import HYBRID, channel_weights, fused, last_count, query_vectors
from search.retrieval.question_model import ServedModel, searched, served_model
from search.retrieval.selection import Selection, selected
from search.timings import Stage, Timings

if TYPE_CHECKING:
    from ingestion.embedding.embedder import TokenIds
    from ingestion.vector_store.store import QueryVectors, VectorStore

# Candidates of each channel, however few passages are asked for, so that the order does not depend on the limit. With
# 100 nDCG@10 on the questions about Django is .003 less.
POOL = 120
# Milvus answers at most 16 384 rows; long before that the rest is not worth an answer.
MAX_HITS = 1000
# Hits looked up beyond twice the limit, so that stale ones, copies and those of one page do not cost another query. Of
# 247 questions on Django's documentation, half need the rows of 15 hits for ten passages, one in twenty those of 39.
SPARE_HITS = 30


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


class Candidate(NamedTuple):
    """A hit, and the text that found it."""

    hit: Hit
    text: str


def retrieve(question: Question, timings: Timings) -> list[Passage]:
    """Return at most ``question.limit`` passages. Raises SearchError or IngestionError."""
    prepared = prepare(question, timings)
    with timings.stage("embed") as stage:
        describe_embedding(stage, prepared)
        vectors = embedded(prepared)
    return find(question, prepared, vectors, timings)


async def retrieve_queued(question: Question, timings: Timings) -> list[Passage]:
    """Return what ``retrieve`` does, when it is the caller's turn.

    Raises TooBusy, too.
    """
    async with process_queues().searches.served(question.caller, timings.stage("wait")):
        queue = query_embedder.question_queue()
        with queue.coming():
            prepared = await to_its_end(sync_to_async(prepare)(question, timings))
        with timings.stage("embed") as stage:
            describe_embedding(stage, prepared)
            embedder = prepared.served.embedder
            vectors = await asyncio.gather(*(queue.embed(embedder, ids) for ids in prepared.ids))
        return await to_its_end(sync_to_async(find)(question, prepared, vectors, timings))


def describe_embedding(stage: Stage, prepared: PreparedQuestion) -> None:
    """Say in the trace, if there is one, by which model how many tokens are embedded."""
    if tracing.recording():
        collection, tokens = prepared.served.collection, sum(map(len, prepared.ids))
        stage.describe(span_attributes.embedding(collection.model, tokens, collection.dimension))


def prepare(question: Question, timings: Timings) -> PreparedQuestion:
    """Return where and what to search for the question: model, sources, texts and their token ids.

    The model is loaded if need be, and texts are cut to QUESTION_MAX_TOKENS.
    """
    collection, counted_at = searched()
    selection = selected(question)
    served = served_model(collection, timings)
    counted = last_count(counted_at)
    meant = corrected(question.text, counted.frequencies, counted.vocabulary)
    texts = [question.text, *question.parts, *([meant] if meant else [])]
    with timings.stage("embed"):
        ids = query_embedder.question_tokens(served.embedder, texts)
    return PreparedQuestion(served, selection, texts, ids, meant, counted.frequencies)


def embedded(prepared: PreparedQuestion) -> list[Vectors]:
    """Return the vectors of the texts, embedded in this thread."""
    found: dict[int, Vectors] = {}
    for positions, vectors in prepared.served.embedder.embed_tokens(prepared.ids):
        found.update(zip(positions, vectors, strict=True))
    return [found[at] for at in range(len(prepared.ids))]


def find(question: Question, prepared: PreparedQuestion, vectors: Sequence[Vectors], timings: Timings) -> list[Passage]:
    """Return the passages that are nearest to the vectors.

    Raises IndexIncomplete where none is found although chunks are there, or on their way: dense vectors are near or
    far, but some are nearest.
    """
    from ingestion.vector_store.store import open_store

    collection, weights = prepared.served.collection, channel_weights()
    passages: list[Passage] = []
    queries: list[QueryVectors] = []
    with suppress(CollectionMissing), circuit_breaker.interactive():
        with timings.stage("search"):
            store = open_store(collection.name, collection.dimension, settings.SERVICE_TIMEOUT_SECONDS)
            queries = [
                query_vectors(text, question.mode, each, store.channels, weights, prepared.frequencies)
                for text, each in zip(prepared.texts, vectors, strict=True)
            ]
        by_text = dict(zip(prepared.texts, queries, strict=True))
        passages = search(store, by_text, question, prepared.selection, timings, meant=prepared.meant)
    if passages or not any("dense" in query for query in queries) or question.path:
        return passages
    expected = Chunk.objects.filter(state__in=(Chunk.State.INDEXED, *Chunk.PENDING), document__source__deleting=False)
    if prepared.selection.source_ids:
        expected = expected.filter(document__source__in=prepared.selection.source_ids)
    if expected.exists():
        raise IndexIncomplete(
            "The index lacks passages that it should hold. It is being completed; please try again in a few minutes."
        )
    return []


def candidates(question: Question) -> Pools:
    """Return the candidates of every channel, whatever its weight, as a search of this question has them."""
    from ingestion.vector_store.store import open_store

    prepared = prepare(question, Timings())
    vectors, *_ = embedded(prepared)
    collection, selection = prepared.served.collection, prepared.selection
    store = open_store(collection.name, collection.dimension, settings.SERVICE_TIMEOUT_SECONDS)
    weights = dict.fromkeys(store.channels, 1.0)
    query = query_vectors(question.text, HYBRID, vectors, store.channels, weights, prepared.frequencies)
    [pools] = store.search([query], limit=POOL, **asdict(selection))
    return pools


def search(
    store: VectorStore,
    queries: Mapping[str, QueryVectors],
    question: Question,
    selection: Selection,
    timings: Timings,
    *,
    meant: str = "",
) -> list[Passage]:
    """Return at most ``question.limit`` passages; ``queries`` has the vectors of each text, the question's first.

    Asks for more candidates as long as too few of them have rows and Milvus may have others; these stand behind the
    first, whose order depends on nothing but the question. ``meant`` is the corrected question, if there is one;
    ``is_meant`` decides whether it or the original is dropped.
    """
    depth, ranked, asked = POOL, dict[str, Candidate](), dict(queries)
    reranks = question.rerank and question.mode == HYBRID and reranker.configured()
    confirmed = ConfirmedHits(question.caller, 2 * question.limit + SPARE_HITS)
    while True:
        with timings.stage("search") as stage:
            if tracing.recording():
                stage.describe(span_attributes.retrieval(store.name, depth))
            pools = store.search(list(asked.values()), limit=depth, **asdict(selection))
        with timings.stage("fuse"):
            found = dict(zip(asked, pools, strict=True))
            if meant in found and question.text in found:
                wrong = question.text if is_meant(found[meant], found[question.text]) else meant
                del found[wrong], asked[wrong]
            for candidate in ranking(found, question.mode):
                ranked.setdefault(candidate.hit.key, candidate)
        if reranks and depth == POOL:
            with timings.stage("rerank"):
                hits = [candidate.hit for candidate in ranked.values()]
                hits = reranker.reranked_hits(next(iter(asked)), hits, confirmed)
            ranked = {hit.key: ranked[hit.key]._replace(hit=hit) for hit in hits}
        found_by = {key: candidate.text for key, candidate in ranked.items() if candidate.text != question.text}
        with timings.stage("rows"):
            hits = [candidate.hit for candidate in ranked.values()]
            passages = passages_of(folded(confirmed.of(hits), question.limit), found_by)
        exhausted = all(len(pool) < depth for each in found.values() for pool in each.values())
        if len(passages) >= question.limit or exhausted or depth >= MAX_HITS:
            return passages
        depth = min(4 * depth, MAX_HITS)


def ranking(found: Mapping[str, Pools], mode: str) -> list[Candidate]:
    """Return the candidates of all texts, best first; one that several texts found comes again with lower scores."""
    ranked = [
        Candidate(hit, text)
        for text, pools in found.items()
        for hit in (fused(pools, text, channel_weights()) if mode == HYBRID else chain(*pools.values()))
    ]
    return sorted(ranked, key=lambda candidate: -candidate.hit.score)
