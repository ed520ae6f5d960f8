"""A question -> the passages that answer it, best first.

Embeds the question in this process, asks Milvus, and joins the hits with the Chunk rows by key. The
database is the truth: a hit without an indexed row of a living source is dropped, and title, heading and
address come from the rows. Synchronous; async callers run it in a thread.

torch and pymilvus are imported on first use only.
"""

from __future__ import annotations

import functools
import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING

from django.conf import settings

from ingestion.exceptions import IngestionError, ModelError
from ingestion.models import Chunk, Collection, Source
from ingestion.types import Hit, Vectors
from search.exceptions import NothingIndexed, QuestionRefused, WrongModel
from search.questions import Passage, Question
from search.timings import Timings

if TYPE_CHECKING:
    from ingestion.embedder import Embedder
    from ingestion.vector_store import VectorStore

logger = logging.getLogger(__name__)

# Hits asked for beyond the limit, so that a few stale ones do not shrink the answer; a fused search
# ranks 50 candidates a side in any case, so these cost next to nothing.
SPARE_HITS = 20
# Milvus answers at most 16 384 rows; long before that the rest is not worth an answer.
MAX_HITS = 1000
# A model that cannot be loaded is not tried again at once: a hub that is out of reach costs seconds a time.
MODEL_RETRY_SECONDS = 30.0

_model_lock = threading.Lock()
_model_loaded = threading.Event()
_model_failure: tuple[float, str] = (-MODEL_RETRY_SECONDS, "")


def retrieve(question: Question, timings: Timings) -> list[Passage]:
    """At most ``question.limit`` passages. Raises SearchError or IngestionError."""
    collection = active_collection()
    source_ids = searched_sources(question.source)
    embedder = ready_embedder(timings)
    with timings.stage("embed"):
        vectors = embedder.embed([question.text])[0]
    with timings.stage("search"):
        return search(open_collection(collection), vectors, question, source_ids)


def active_collection() -> Collection:
    """The collection to search, if the configured model is the one that filled it."""
    collection = Collection.objects.filter(active=True).first()
    if collection is None:
        raise NothingIndexed("Nothing has been indexed yet. Add a source and wait until it is indexed.")
    if collection.model not in (settings.EMBED_MODEL, settings.MODEL_PATH):
        raise WrongModel(
            f"The collection {collection.name} was filled with the model {collection.model}, but EMBED_MODEL is "
            f"{settings.EMBED_MODEL}. Set EMBED_MODEL={collection.model}, or ingest the sources again."
        )
    if collection.dimension != settings.EMBED_DIMENSION:
        raise WrongModel(
            f"The collection {collection.name} has {collection.dimension} dimensions, but EMBED_DIMENSION is "
            f"{settings.EMBED_DIMENSION}. Set EMBED_DIMENSION={collection.dimension}, or ingest the sources again."
        )
    return collection


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
        passages = vouched(hits)
        if len(passages) >= question.limit or len(hits) < wanted or wanted >= MAX_HITS:
            return passages[: question.limit]
        wanted = min(4 * wanted, MAX_HITS)


def vouched(hits: list[Hit]) -> list[Passage]:
    """The hits that the database knows as indexed, in their order, with the rows' own words."""
    rows = Chunk.objects.filter(
        key__in=[h.key for h in hits], state=Chunk.State.INDEXED, document__source__deleting=False
    )
    by_key = {row.key: row for row in rows.select_related("document__source").defer("document__markdown")}
    return [passage_of(hit, by_key[hit.key]) for hit in hits if hit.key in by_key]


def passage_of(hit: Hit, row: Chunk) -> Passage:
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
    )


def open_collection(collection: Collection) -> VectorStore:
    from ingestion.vector_store import open_store

    return open_store(collection.name, collection.dimension)


def ready_embedder(timings: Timings) -> Embedder:
    """The first question of a process may wait for the model; that is no time of embedding."""
    if _model_loaded.is_set():
        return load_embedder()
    with timings.stage("load"):
        return load_embedder()


def load_embedder() -> Embedder:
    """The process's one model; whoever comes while it loads waits instead of loading a second."""
    global _model_failure
    with _model_lock:
        failed_at, why = _model_failure
        if why and monotonic() - failed_at < MODEL_RETRY_SECONDS:
            raise ModelError(why)
        from ingestion.embedder import load_model

        try:
            embedder = load_model(settings.QUERY_DEVICE)
        except ModelError as error:
            _model_failure = (monotonic(), str(error))
            raise
        _model_loaded.set()
        return embedder


@functools.cache
def warm_up() -> None:
    """Start loading the model in the background, once per process; questions wait for it if they must."""
    threading.Thread(target=load_quietly, name="model-warm-up", daemon=True).start()


def load_quietly() -> None:
    try:
        load_embedder()
    except IngestionError as error:
        logger.error("questions cannot be answered: %s", error)
