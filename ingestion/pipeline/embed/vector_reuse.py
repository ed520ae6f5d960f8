"""Vectors that need not be computed: an equal text, read by the same model, has been embedded before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ingestion.coordination import circuit_breaker
from ingestion.embedding.embedder import configured_model
from ingestion.exceptions import IngestionError
from ingestion.models import Chunk, Collection
from ingestion.types import Vectors
from ingestion.vector_store.store import open_store

logger = logging.getLogger(__name__)


def look_up(chunks: Sequence[Chunk]) -> Callable[[], dict[str, Vectors]]:
    """Asks the rows now, and Milvus when the result is called, by any thread: digest -> vectors, for those of
    the texts that the index holds under another key. Nothing when Milvus does not answer: embedding is only slower."""
    keys = indexed_twins(chunks)
    row = Collection.objects.of(configured_model()) if keys else None
    if row is None or milvus_is_down():
        return dict
    name, dimension = row.name, row.dimension
    return lambda: known_vectors(name, dimension, keys)


def known_vectors(collection: str, dimension: int, keys: dict[str, str]) -> dict[str, Vectors]:
    try:
        found = open_store(collection, dimension).vectors(list(keys))
    except IngestionError as error:
        logger.warning("vectors of equal texts are not reused: %s", error)
        return {}
    return {keys[key]: vectors for key, vectors in found.items()}


def milvus_is_down() -> bool:
    """A Milvus that hangs would hold every window up for the length of its time-out."""
    known = circuit_breaker.current()
    return known is not None and known.pauses()


def indexed_twins(chunks: Sequence[Chunk]) -> dict[str, str]:
    """Key -> digest of one indexed chunk for each digest that has any."""
    digests = {c.digest for c in chunks if c.digest}
    rows = Chunk.objects.filter(digest__in=digests, state=Chunk.State.INDEXED)
    one_each = dict(rows.order_by().values_list("digest", "key"))
    return {key: digest for digest, key in one_each.items()}
