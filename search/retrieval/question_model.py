"""What embeds questions, a model in this process or a worker's, and the collection that it belongs to.

In: the collection that is searched. Out: a ``ServedModel``. When another collection takes the searched one's place, its
model loads in the background; until then this process goes on answering from the old one, which is kept for a while.

The model's libraries are imported on first use only.
"""

from __future__ import annotations

import functools
import gc
import logging
import threading
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

from django.conf import settings
from django.db.models import Subquery

from ingestion.embedding.loading import configured_model
from ingestion.embedding.model_files import looks_like_path, weights_at
from ingestion.exceptions import IngestionError, ModelError
from ingestion.models import Collection, TermFrequencies
from ingestion.types import ModelSpec
from ragproject.connections import close_connections
from search.exceptions import NothingIndexed
from search.retrieval import model_ready
from search.retrieval.compiled import Statement, compiled
from search.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingestion.embedding.embedder import TokenIds
    from ingestion.types import Vectors

logger = logging.getLogger(__name__)

# A model that cannot be loaded is not tried again at once: a hub that is out of reach costs seconds a time.
MODEL_RETRY_SECONDS = 30.0


class Searched(NamedTuple):
    """The collection that answers, and the time of the last count of terms, if there was one, as the driver has it."""

    collection: Collection
    counted_at: object


class QuestionModel(Protocol):
    """What embeds questions: a model in this process, or a worker's."""

    max_tokens: int

    def tokenise(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the token ids of each text."""

    def embed_tokens(self, ids: Sequence[TokenIds]) -> Iterator[tuple[list[int], list[Vectors]]]:
        """Yield (positions in ``ids``, their vectors)."""

    def embed(self, texts: Sequence[str]) -> list[Vectors]:
        """Return the vectors of all texts, in their order."""

    def similarities(self, question: TokenIds, texts: Sequence[TokenIds], until: float) -> list[float]:
        """Return how near each text is to a question, token by token, before the monotonic clock says ``until``."""


class ServedModel(NamedTuple):
    """A collection, and what embeds questions for it."""

    collection: Collection
    embedder: QuestionModel


class LoadFailure(NamedTuple):
    """A model that could not be loaded: when, by the monotonic clock, and why."""

    model: ModelSpec
    at: float
    why: str


_model_lock = threading.Lock()
_served: ServedModel | None = None
_failure: LoadFailure | None = None
_loading: set[ModelSpec] = set()


def searched_collection() -> Collection:
    """Return the collection that is searched now, whichever model the settings name. Raises NothingIndexed."""
    return searched().collection


def searched() -> Searched:
    """Return the collection that is searched now, and when terms were counted, in one query.

    Raises NothingIndexed.
    """
    for collection in Collection.objects.raw(*searched_with_count()):
        return Searched(collection, vars(collection)["counted_at"])
    raise NothingIndexed("Nothing has been indexed yet. Add a source and wait until it is indexed.")


@functools.cache
def searched_with_count() -> Statement:
    """Return the query for the collection that answers."""
    counted_at = TermFrequencies.objects.values("counted_at")[:1]
    return compiled(Collection.objects.filter(active=True).annotate(counted_at=Subquery(counted_at)))


def in_memory() -> QuestionModel | None:
    """Return the model that embeds questions in this process; None where none has been loaded."""
    return _served.embedder if _served else None


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
        try:
            found = as_found_here(collection)
            if settings.QUERY_EMBEDDER != "worker":  # which looks itself
                collection.require_weights(weights_at(found.path))
            embedder = loaded(found)
        except ModelError as error:
            _failure = LoadFailure(model, monotonic(), str(error))
            raise
        _served = ServedModel(collection, embedder)
        spare_the_collector()
        return _served


def spare_the_collector() -> None:
    """Take what is loaded out of the garbage collector's sight.

    Libraries and a model are 590 000 objects; a full collection looked through them for 0.3 s (a busy machine, niced),
    in which this process answered nobody. What a model before this one left is collected first.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def loaded(model: ModelSpec) -> QuestionModel:
    """Return the model that embeds questions, in a worker or in this process, as QUERY_EMBEDDER says.

    Raises ModelError.
    """
    if settings.QUERY_EMBEDDER == "worker":
        from search.retrieval.worker_model import WorkerModel

        return WorkerModel(model)
    from ingestion.embedding.loading import load_model

    embedder = load_model(settings.QUERY_DEVICE, model, questions=True)
    load_model.cache_clear()  # the one model of this process is kept here
    return embedder


def as_found_here(collection: Collection) -> ModelSpec:
    """Return the collection's model, with its path on this machine.

    After a restore on another machine that is the configured model, if its weights are the same.
    """
    model, configured = collection.spec(), configured_model()
    moved = collection.weights and looks_like_path(model.path) and not Path(model.path).is_dir()
    alike = replace(model, path=configured.path) == configured
    return configured if moved and alike and weights_at(configured.path) == collection.weights else model


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
        close_connections()
