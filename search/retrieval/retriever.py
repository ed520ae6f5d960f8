"""A question -> the passages that answer it, best first.

Embeds the question in this process, with the model of the collection that is searched, asks Milvus for the candidates
of each channel, fuses them, joins them with the Chunk rows and folds copies. ``retrieve`` runs in one thread, for
commands; ``retrieve_queued`` waits for the model in ``query_embedder``'s queue without holding a thread, for web
processes.

When another collection takes the searched one's place, its model loads in the background; until then this process goes
on answering from the old one, which is kept for a while.

torch and pymilvus are imported on first use only.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections

from ingestion.coordination import circuit_breaker
from ingestion.exceptions import CollectionMissing, IngestionError, ModelError
from ingestion.models import Chunk, Collection
from ingestion.types import Hit, ModelSpec, Vectors
from ragproject import span_attributes, tracing
from search.exceptions import IndexIncomplete, NothingIndexed
from search.questions import Passage, Question
from search.retrieval import model_ready, query_embedder, reranker
from search.retrieval.corrections import corrected
from search.retrieval.folding import folded
from search.retrieval.fusion import Pools
from search.retrieval.passages import passages_of, with_rows
from search.retrieval.query_vectors import HYBRID, channel_weights, fused, last_count, query_vectors
from search.retrieval.selection import Selection, selected
from search.timings import Stage, Timings

if TYPE_CHECKING:
    from ingestion.embedding.embedder import Embedder, TokenIds
    from ingestion.vector_store.store import QueryVectors, VectorStore

logger = logging.getLogger(__name__)

# Candidates of each channel, however few passages are asked for, so that the order does not depend on the limit. With
# 100 nDCG@10 on the questions about Django is .003 less.
POOL = 120
# Milvus answers at most 16 384 rows; long before that the rest is not worth an answer.
MAX_HITS = 1000
# A model that cannot be loaded is not tried again at once: a hub that is out of reach costs seconds a time.
MODEL_RETRY_SECONDS = 30.0


class ServedModel(NamedTuple):
    """A collection, and its model in this process."""

    collection: Collection
    embedder: Embedder


class LoadFailure(NamedTuple):
    """A model that could not be loaded: when, by the monotonic clock, and why."""

    model: ModelSpec
    at: float
    why: str


_model_lock = threading.Lock()
_served: ServedModel | None = None
_failure: LoadFailure | None = None
_loading: set[ModelSpec] = set()


class PreparedQuestion(NamedTuple):
    """A question before it is embedded: where it is searched, and its texts with the tokens of each."""

    served: ServedModel
    selection: Selection
    texts: list[str]
    ids: list[TokenIds]


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
    """Return what ``retrieve`` does; the queue for the model is fair between callers.

    Raises TooBusy, too.
    """
    queue = query_embedder.question_queue()
    with queue.coming():
        prepared = await sync_to_async(prepare)(question, timings)
    with timings.stage("embed") as stage:
        describe_embedding(stage, prepared)
        embedder, name = prepared.served.embedder, question.caller.name
        vectors = await asyncio.gather(*(queue.embed(name, embedder, ids) for ids in prepared.ids))
    return await sync_to_async(find)(question, prepared, vectors, timings)


def describe_embedding(stage: Stage, prepared: PreparedQuestion) -> None:
    """Say in the trace, if there is one, by which model how many tokens are embedded."""
    if tracing.recording():
        collection, tokens = prepared.served.collection, sum(map(len, prepared.ids))
        stage.describe(span_attributes.embedding(collection.model, tokens, collection.dimension))


def prepare(question: Question, timings: Timings) -> PreparedQuestion:
    """Find out where and what to search, load the model if need be, and cut texts to QUESTION_MAX_TOKENS."""
    searched = searched_collection()
    selection = selected(question)
    served = served_model(searched, timings)
    counted = last_count()
    meant = corrected(question.text, counted.frequencies, counted.vocabulary)
    texts = [question.text, *question.parts, *([meant] if meant else [])]
    with timings.stage("embed"):
        most = settings.QUESTION_MAX_TOKENS
        ids = [  # the last token ends a text
            np.append(each[: most - 1], each[-1:]) if len(each) > most else each
            for each in served.embedder.tokenise(texts)
        ]
    return PreparedQuestion(served, selection, texts, ids)


def embedded(prepared: PreparedQuestion) -> list[Vectors]:
    """Return the vectors of the texts, embedded in this thread."""
    found: dict[int, Vectors] = {}
    for positions, vectors in prepared.served.embedder.embed_tokens(prepared.ids):
        found.update(zip(positions, vectors, strict=True))
    return [found[at] for at in range(len(prepared.ids))]


def find(question: Question, prepared: PreparedQuestion, vectors: Sequence[Vectors], timings: Timings) -> list[Passage]:
    """Return the passages that are nearest to the vectors.

    Raises IndexIncomplete where none is found although there are chunks to find: dense vectors are near or far, but
    some are nearest.
    """
    from ingestion.vector_store.store import open_store

    collection, weights = prepared.served.collection, channel_weights()
    passages: list[Passage] = []
    queries: list[QueryVectors] = []
    with suppress(CollectionMissing), circuit_breaker.interactive():
        with timings.stage("search"):
            store = open_store(collection.name, collection.dimension, settings.SERVICE_TIMEOUT_SECONDS)
            queries = [
                query_vectors(text, question.mode, each, store.channels, weights)
                for text, each in zip(prepared.texts, vectors, strict=True)
            ]
        by_text = dict(zip(prepared.texts, queries, strict=True))
        passages = search(store, by_text, question, prepared.selection, timings)
    if passages or not any("dense" in query for query in queries) or question.path:
        return passages
    indexed = Chunk.objects.filter(state=Chunk.State.INDEXED, document__source__deleting=False)
    if prepared.selection.source_ids:
        indexed = indexed.filter(document__source__in=prepared.selection.source_ids)
    if indexed.exists():
        raise IndexIncomplete(
            "The index lacks passages that it should hold. It is being completed; please try again in a few minutes."
        )
    return []


def searched_collection() -> Collection:
    """Return the collection that answers, whichever model the settings name. Raises NothingIndexed."""
    collection = Collection.objects.searched()
    if collection is None:
        raise NothingIndexed("Nothing has been indexed yet. Add a source and wait until it is indexed.")
    return collection


def candidates(question: Question) -> Pools:
    """Return the candidates of every channel, whatever its weight, as a search of this question has them."""
    from ingestion.vector_store.store import open_store

    prepared = prepare(question, Timings())
    vectors, *_ = embedded(prepared)
    collection, selection = prepared.served.collection, prepared.selection
    store = open_store(collection.name, collection.dimension, settings.SERVICE_TIMEOUT_SECONDS)
    query = query_vectors(question.text, HYBRID, vectors, store.channels, dict.fromkeys(store.channels, 1.0))
    [pools] = store.search([query], limit=POOL, **asdict(selection))
    return pools


def search(
    store: VectorStore,
    queries: Mapping[str, QueryVectors],
    question: Question,
    selection: Selection,
    timings: Timings,
) -> list[Passage]:
    """Return at most ``question.limit`` passages; ``queries`` has the vectors of each text, the question's first.

    Asks for more candidates as long as too few of them have rows and Milvus may have others; these stand behind the
    first, whose order depends on nothing but the question.
    """
    depth, ranked, where = POOL, dict[str, Candidate](), asdict(selection)
    reranks = question.rerank and question.mode == HYBRID and reranker.configured()
    while True:
        with timings.stage("search") as stage:
            if tracing.recording():
                stage.describe(span_attributes.retrieval(store.name, depth))
            pools = store.search(list(queries.values()), limit=depth, **where)
        with timings.stage("fuse"):
            for candidate in ranking(dict(zip(queries, pools, strict=True)), question.mode):
                ranked.setdefault(candidate.hit.key, candidate)
        if reranks and depth == POOL:
            with timings.stage("rerank"):
                hits = reranker.reranked_hits(question, [candidate.hit for candidate in ranked.values()])
            ranked = {hit.key: ranked[hit.key]._replace(hit=hit) for hit in hits}
        found_by = {key: candidate.text for key, candidate in ranked.items() if candidate.text != question.text}
        with timings.stage("rows"):
            hits = [candidate.hit for candidate in ranked.values()]
            confirmed = with_rows(hits, question.limit, question.caller)
            passages = passages_of(folded(confirmed, question.limit), found_by)
        exhausted = all(len(pool) < depth for each in pools for pool in each.values())
        if len(passages) >= question.limit or exhausted or depth >= MAX_HITS:
            return passages
        depth = min(4 * depth, MAX_HITS)


def ranking(found: Mapping[str, Pools], mode: str) -> list[Candidate]:
    """Return the candidates of all texts, best first; one that several texts found has its best score."""
    best: dict[str, Candidate] = {}
    for text, pools in found.items():
        for hit in fused(pools, text, channel_weights()) if mode == HYBRID else chain(*pools.values()):
            if hit.key not in best or hit.score > best[hit.key].hit.score:
                best[hit.key] = Candidate(hit, text)
    return sorted(best.values(), key=lambda candidate: -candidate.hit.score)


def served_model(searched: Collection, timings: Timings) -> ServedModel:
    """Return the collection and the model that this question is answered with.

    That is the model that is loaded, as long as its collection exists, while the searched one's loads in the
    background. Where no model is loaded, wait for it; this is the stage "load".
    """
    served = _served
    if served and served.collection.spec() == searched.spec():
        return ServedModel(searched, served.embedder)
    if served and Collection.objects.filter(pk=served.collection.pk).exists():
        load_in_background(searched)
        return served
    with timings.stage("load"):
        return load(searched)


def load(collection: Collection) -> ServedModel:
    """Load a collection's model in the place of the one in this process.

    Other threads wait instead of loading a second. Raises ModelError, for MODEL_RETRY_SECONDS without another try.
    """
    global _served, _failure
    model = collection.spec()
    with _model_lock:
        if _served and _served.collection.spec() == model:
            return ServedModel(collection, _served.embedder)
        if why := recent_failure(model):
            raise ModelError(why)
        from ingestion.embedding.embedder import load_model

        try:
            embedder = load_model(settings.QUERY_DEVICE, model)
        except ModelError as error:
            _failure = LoadFailure(model, monotonic(), str(error))
            raise
        load_model.cache_clear()  # the one model of this process is kept here
        _served = ServedModel(collection, embedder)
        return _served


def recent_failure(model: ModelSpec) -> str:
    """Return why the model could not be loaded within the last MODEL_RETRY_SECONDS; empty when it may be tried."""
    if _failure and _failure.model == model and monotonic() - _failure.at < MODEL_RETRY_SECONDS:
        return _failure.why
    return ""


def warm_up() -> None:
    """Start loading the searched collection's model in the background; questions wait for it if they must."""
    searched = Collection.objects.searched()
    if searched and not (_served and _served.collection.spec() == searched.spec()):
        load_in_background(searched)


def load_in_background(collection: Collection) -> None:
    """Start a thread that loads the collection's model, unless one does so or has just failed."""
    if collection.spec() in _loading or recent_failure(collection.spec()):
        return
    _loading.add(collection.spec())
    threading.Thread(target=load_quietly, args=(collection,), name="model-warm-up", daemon=True).start()


def load_quietly(collection: Collection) -> None:
    """Load the collection's model and send ``model_ready``; log what prevents it."""
    try:
        load(collection)
        model_ready.send_robust(None, collection=collection)
    except IngestionError as error:
        logger.error("the model of %s cannot be loaded: %s", collection.name, error)
    finally:
        _loading.discard(collection.spec())
        connections.close_all()  # this thread's
