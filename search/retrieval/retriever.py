"""A question -> the passages that answer it, best first.

Embeds the question in this process, with the model of the collection that is searched, asks Milvus, and joins the
hits with the Chunk rows by key. The database is the truth: a hit without a row of a living source is dropped, and
title, heading and address come from the rows. ``retrieve`` does it all at once, for commands; ``retrieve_in_turn``
waits in the line for the model without holding a thread, for web processes.

When another collection takes the searched one's place, its model loads in the background; until then this process goes
on answering from the old one, which is kept for a while.

torch and pymilvus are imported on first use only.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import Q

from ingestion.coordination import circuit_breaker
from ingestion.exceptions import CollectionMissing, IngestionError, ModelError
from ingestion.models import Chunk, Collection, Document, Source
from ingestion.types import Hit, ModelSpec, Vectors
from search.code_marks import open_fence
from search.exceptions import IndexIncomplete, NothingIndexed, QuestionRefused
from search.questions import Passage, Question
from search.retrieval import query_embedder
from search.timings import Timings

if TYPE_CHECKING:
    from ingestion.embedding.embedder import Embedder, TokenIds
    from ingestion.vector_store.store import VectorStore

logger = logging.getLogger(__name__)

# Hits asked for beyond the limit, so that a few stale ones do not shrink the answer; a fused search
# ranks 50 candidates a side in any case, so these cost next to nothing.
SPARE_HITS = 20
# Milvus answers at most 16 384 rows; long before that the rest is not worth an answer.
MAX_HITS = 1000
# A model that cannot be loaded is not tried again at once: a hub that is out of reach costs seconds a time.
MODEL_RETRY_SECONDS = 30.0


class Served(NamedTuple):
    """A collection and its model, ready for questions."""

    collection: Collection
    embedder: Embedder


class Failure(NamedTuple):
    """A model that could not be loaded: when, and why."""

    model: ModelSpec
    at: float
    why: str


_model_lock = threading.Lock()
_served: Served | None = None
_failure: Failure | None = None
_loading: set[ModelSpec] = set()


class Prepared(NamedTuple):
    """A question before it is embedded: where it is searched, and its tokens."""

    served: Served
    source_ids: list[int]
    ids: TokenIds


def retrieve(question: Question, timings: Timings) -> list[Passage]:
    """Return at most ``question.limit`` passages. Raises SearchError or IngestionError."""
    prepared = prepare(question, timings)
    with timings.stage("embed"):
        [(_, [vectors])] = prepared.served.embedder.embed_tokens([prepared.ids])
    return find(question, prepared, vectors, timings)


async def retrieve_in_turn(question: Question, timings: Timings, client: str) -> list[Passage]:
    """Return what ``retrieve`` does; ``client`` waits for the model in its turn. Raises TooBusy, too."""
    prepared = await sync_to_async(prepare)(question, timings)
    with timings.stage("embed"):
        vectors = await query_embedder.line().embed(client, prepared.served.embedder, prepared.ids)
    return await sync_to_async(find)(question, prepared, vectors, timings)


def prepare(question: Question, timings: Timings) -> Prepared:
    """Find out where to search, and cut the question to QUESTION_MAX_TOKENS; the last of its tokens ends a text."""
    searched = searched_collection()
    source_ids = searched_sources(question.source)
    served = ready(searched, timings)
    with timings.stage("embed"):
        ids = served.embedder.tokenise([question.text])[0]
        if len(ids) > settings.QUESTION_MAX_TOKENS:
            ids = np.append(ids[: settings.QUESTION_MAX_TOKENS - 1], ids[-1:])
    return Prepared(served, source_ids, ids)


def find(question: Question, prepared: Prepared, vectors: Vectors, timings: Timings) -> list[Passage]:
    passages: list[Passage] = []
    with timings.stage("search"), suppress(CollectionMissing), circuit_breaker.interactive():
        passages = search(open_collection(prepared.served.collection), vectors, question, prepared.source_ids)
    if not passages and question.mode != "sparse":
        require_empty(prepared.source_ids)
    return passages


def require_empty(source_ids: list[int]) -> None:
    """Raise IndexIncomplete where there are chunks to find: dense vectors are near or far, but some are nearest."""
    indexed = Chunk.objects.filter(state=Chunk.State.INDEXED, document__source__deleting=False)
    if source_ids:
        indexed = indexed.filter(document__source__in=source_ids)
    if indexed.exists():
        raise IndexIncomplete(
            "The index lacks passages that it should hold. It is being completed; please try again in a few minutes."
        )


def searched_collection() -> Collection:
    """The collection that answers, whichever model the settings name."""
    collection = Collection.objects.searched()
    if collection is None:
        raise NothingIndexed("Nothing has been indexed yet. Add a source and wait until it is indexed.")
    return collection


def ready(searched: Collection, timings: Timings) -> Served:
    """What this question is answered with. The first one of a process waits for the model; that is no time of
    embedding."""
    served = _served
    if served and served.collection.spec() == searched.spec():
        return Served(searched, served.embedder)
    if served and Collection.objects.filter(pk=served.collection.pk).exists():
        load_in_background(searched)
        return served
    with timings.stage("load"):
        return load(searched)


def searched_sources(name: str) -> list[int]:
    """Ids to search in; empty means all. Sources on their way out are left out beforehand, because
    thousands of their hits could hide everything else."""
    living = Source.objects.filter(deleting=False)
    if name:
        found = list(living.filter(name=name).values_list("id", flat=True))
        if not found:
            raise QuestionRefused(f"There is no source named {name!r}.")
        return found
    if not Source.objects.filter(deleting=True).exists():
        return []
    found = list(living.values_list("id", flat=True))
    if not found:
        raise NothingIndexed("Nothing has been indexed yet. Add a source and wait until it is indexed.")
    return found


def search(store: VectorStore, vectors: Vectors, question: Question, source_ids: list[int]) -> list[Passage]:
    """Ask for more as long as the rows vouch for too few hits and Milvus may have others."""
    wanted = question.limit + SPARE_HITS
    while True:
        hits = store.search(vectors, limit=wanted, mode=question.mode, source_ids=source_ids)
        found = vouched(hits)
        if len(found) >= question.limit or len(hits) < wanted or wanted >= MAX_HITS:
            return passages_of(found[: question.limit])
        wanted = min(4 * wanted, MAX_HITS)


def vouched(hits: list[Hit]) -> list[tuple[Hit, Chunk]]:
    """The hits that the database knows, in their order, with the rows' own words. A key is made of its text, so
    that a row on its way into another collection vouches for what this one holds."""
    rows = Chunk.objects.live().filter(key__in=[h.key for h in hits], document__source__deleting=False)
    by_key = {row.key: row for row in rows.select_related("document__source").defer("document__markdown")}
    return [(hit, by_key[hit.key]) for hit in hits if hit.key in by_key]


def passages_of(found: list[tuple[Hit, Chunk]]) -> list[Passage]:
    """Make passages of the hits' rows. Only documents with fences are read whole."""
    documents = Document.objects.filter(id__in={row.document_id for _, row in found})
    fenced = documents.filter(Q(markdown__contains="```") | Q(markdown__contains="~~~"))
    texts = dict(fenced.values_list("id", "markdown"))
    return [passage_of(hit, row, texts.get(row.document_id, "")) for hit, row in found]


def passage_of(hit: Hit, row: Chunk, markdown: str) -> Passage:
    """``markdown`` says in which block of code the passage begins, unless it is newer than the passage."""
    document = row.document
    return Passage(
        score=hit.score,
        title=str(document),
        url=document.url,
        heading=row.heading,
        anchor=row.anchor,
        text=row.text,
        document=document.pk,
        source=document.source.name,
        position=row.position,
        fence=open_fence(markdown[: row.start]) if markdown.startswith(row.text, row.start) else "",
    )


def open_collection(collection: Collection) -> VectorStore:
    from ingestion.vector_store.store import open_store

    return open_store(collection.name, collection.dimension, settings.SERVICE_TIMEOUT_SECONDS)


def load(collection: Collection) -> Served:
    """Load a collection's model, the only one that stays in this process; whoever comes meanwhile waits instead of
    loading a second."""
    global _served
    with _model_lock:
        if not _served or _served.collection.spec() != collection.spec():
            embedder = loaded(collection.spec())
            _served = Served(collection, embedder)
        return Served(collection, _served.embedder)


def loaded(model: ModelSpec) -> Embedder:
    global _failure
    if why := failed_lately(model):
        raise ModelError(why)
    from ingestion.embedding.embedder import load_model

    try:
        embedder = load_model(settings.QUERY_DEVICE, model)
    except ModelError as error:
        _failure = Failure(model, monotonic(), str(error))
        raise
    load_model.cache_clear()  # this process keeps one model, by its own hand
    return embedder


def failed_lately(model: ModelSpec) -> str:
    """Why it could not be loaded a moment ago; empty when it may be tried."""
    recent = _failure and _failure.model == model and monotonic() - _failure.at < MODEL_RETRY_SECONDS
    return _failure.why if _failure and recent else ""


def warm_up() -> None:
    """Start loading the searched collection's model in the background; questions wait for it if they must."""
    searched = Collection.objects.searched()
    if searched and not (_served and _served.collection.spec() == searched.spec()):
        load_in_background(searched)


def load_in_background(collection: Collection) -> None:
    """Unless that is under way, or has just failed."""
    if collection.spec() in _loading or failed_lately(collection.spec()):
        return
    _loading.add(collection.spec())
    threading.Thread(target=load_quietly, args=(collection,), name="model-warm-up", daemon=True).start()


def load_quietly(collection: Collection) -> None:
    try:
        load(collection)
    except IngestionError as error:
        logger.error("the model of %s cannot be loaded: %s", collection.name, error)
    finally:
        _loading.discard(collection.spec())
