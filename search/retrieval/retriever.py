"""A question -> the passages that answer it, best first.

Embeds the question in this process, with the model of the collection that is searched, asks Milvus for the candidates
of each channel, fuses them and joins them with the Chunk rows. ``retrieve`` runs in one thread, for commands;
``retrieve_queued`` waits for the model in ``query_embedder``'s queue without holding a thread, for web processes.

When another collection takes the searched one's place, its model loads in the background; until then this process goes
on answering from the old one, which is kept for a while.

torch and pymilvus are imported on first use only.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from asgiref.sync import sync_to_async
from django.conf import settings

from ingestion.coordination import circuit_breaker
from ingestion.exceptions import CollectionMissing, IngestionError, ModelError
from ingestion.models import Chunk, Collection, Source
from ingestion.types import ModelSpec, Vectors
from search.access.caller import Caller
from search.exceptions import IndexIncomplete, NothingIndexed, QuestionRefused
from search.questions import Passage, Question
from search.retrieval import query_embedder
from search.retrieval.fusion import Pools
from search.retrieval.passages import SPARE_HITS, passages_of, with_rows
from search.retrieval.query_vectors import HYBRID, channel_weights, fused, query_vectors
from search.timings import Timings

if TYPE_CHECKING:
    from ingestion.embedding.embedder import Embedder, TokenIds
    from ingestion.vector_store.store import QueryVectors, VectorStore

logger = logging.getLogger(__name__)

# Candidates of each channel, however few passages are asked for, so that the order does not depend on the limit.
POOL = 100
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
    """A question before it is embedded: where it is searched (no ids: in all sources), and its tokens."""

    served: ServedModel
    source_ids: list[int]
    ids: TokenIds


def retrieve(question: Question, timings: Timings) -> list[Passage]:
    """Return at most ``question.limit`` passages. Raises SearchError or IngestionError."""
    prepared = prepare(question, timings)
    with timings.stage("embed"):
        [(_, [vectors])] = prepared.served.embedder.embed_tokens([prepared.ids])
    return find(question, prepared, vectors, timings)


async def retrieve_queued(question: Question, timings: Timings) -> list[Passage]:
    """Return what ``retrieve`` does; the queue for the model is fair between callers.

    Raises TooBusy, too.
    """
    prepared = await sync_to_async(prepare)(question, timings)
    with timings.stage("embed"):
        queue = query_embedder.question_queue()
        vectors = await queue.embed(question.caller.name, prepared.served.embedder, prepared.ids)
    return await sync_to_async(find)(question, prepared, vectors, timings)


def prepare(question: Question, timings: Timings) -> PreparedQuestion:
    """Find out where to search, load the model if need be, and cut the question to QUESTION_MAX_TOKENS."""
    searched = searched_collection()
    source_ids = searched_sources(question.source, question.caller)
    served = served_model(searched, timings)
    with timings.stage("embed"):
        ids = served.embedder.tokenise([question.text])[0]
        if len(ids) > settings.QUESTION_MAX_TOKENS:
            ids = np.append(ids[: settings.QUESTION_MAX_TOKENS - 1], ids[-1:])  # the last token ends a text
    return PreparedQuestion(served, source_ids, ids)


def find(question: Question, prepared: PreparedQuestion, vectors: Vectors, timings: Timings) -> list[Passage]:
    """Return the passages that are nearest to the vectors.

    Raises IndexIncomplete where none is found although there are chunks to find: dense vectors are near or far, but
    some are nearest.
    """
    from ingestion.vector_store.store import open_store

    collection = prepared.served.collection
    passages: list[Passage] = []
    query: QueryVectors = {}
    with timings.stage("search"), suppress(CollectionMissing), circuit_breaker.interactive():
        store = open_store(collection.name, collection.dimension, settings.SERVICE_TIMEOUT_SECONDS)
        query = query_vectors(question, vectors, store.channels, channel_weights())
        passages = search(store, query, question, prepared.source_ids)
    if passages or "dense" not in query:
        return passages
    indexed = Chunk.objects.filter(state=Chunk.State.INDEXED, document__source__deleting=False)
    if prepared.source_ids:
        indexed = indexed.filter(document__source__in=prepared.source_ids)
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


def searched_sources(name: str, caller: Caller) -> list[int]:
    """Return the ids of the sources to search in; empty means all. Raises QuestionRefused or NothingIndexed.

    Sources that the caller does not see, or that are being deleted, are left out here already: thousands of their hits
    could hide everything else.
    """
    living = Source.objects.filter(caller.visible("id"), deleting=False)
    if name:
        found = list(living.filter(name=name).values_list("id", flat=True))
        if not found:
            raise QuestionRefused(f"There is no source named {name!r}.")
        return found
    if caller.sources is None and not Source.objects.filter(deleting=True).exists():
        return []
    found = list(living.values_list("id", flat=True))
    if not found:
        raise NothingIndexed("Nothing has been indexed yet. Add a source and wait until it is indexed.")
    return found


def candidates(question: Question) -> Pools:
    """Return the candidates of every channel, whatever its weight, as a search of this question has them."""
    from ingestion.vector_store.store import open_store

    prepared = prepare(question, Timings())
    [(_, [vectors])] = prepared.served.embedder.embed_tokens([prepared.ids])
    collection = prepared.served.collection
    store = open_store(collection.name, collection.dimension, settings.SERVICE_TIMEOUT_SECONDS)
    query = query_vectors(question, vectors, store.channels, dict.fromkeys(store.channels, 1.0))
    return store.search(query, limit=POOL, source_ids=prepared.source_ids)


def search(store: VectorStore, query: QueryVectors, question: Question, source_ids: list[int]) -> list[Passage]:
    """Return at most ``question.limit`` passages.

    Asks for more candidates as long as too few of them have rows and Milvus may have others.
    """
    depth = max(POOL, question.limit + SPARE_HITS)
    while True:
        pools = store.search(query, limit=depth, source_ids=source_ids)
        hits = (
            fused(pools, question.text, channel_weights()) if question.mode == HYBRID else list(chain(*pools.values()))
        )
        found = with_rows(hits, question.limit, question.caller)
        if len(found) >= question.limit or all(len(pool) < depth for pool in pools.values()) or depth >= MAX_HITS:
            return passages_of(found)
        depth = min(4 * depth, MAX_HITS)


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
    """Load the collection's model; log what prevents it."""
    try:
        load(collection)
    except IngestionError as error:
        logger.error("the model of %s cannot be loaded: %s", collection.name, error)
    finally:
        _loading.discard(collection.spec())
