"""Finds vectors that need not be computed: an equal text, read by the same model, has been embedded before.

In: claimed chunks. Out: the vectors of those of their texts that the index holds under another key, or that another
collection of the same model holds, which the present one is to replace. Nothing when Milvus does not answer: then
embedding is only slower.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from ingestion.coordination import circuit_breaker
from ingestion.embedding.loading import configured_model
from ingestion.exceptions import IngestionError
from ingestion.models import LAYOUT, Chunk, Collection
from ingestion.types import Vectors
from ingestion.vector_store.store import open_store

logger = logging.getLogger(__name__)


def look_up(chunks: Sequence[Chunk]) -> Callable[[], dict[str, Vectors]]:
    """Return a function that returns digest -> vectors for texts of these chunks that the index holds.

    The rows are asked now; the function asks Milvus, and any thread may call it.
    """
    digests = {c.key: c.digest for c in chunks if c.digest}
    rows = Chunk.objects.filter(digest__in=digests.values(), state=Chunk.State.INDEXED)
    one_each = dict(rows.order_by().values_list("digest", "key"))
    equal = {key: digest for digest, key in one_each.items()}
    held = [
        (row.name, row.dimension, keys)
        for row in Collection.objects.made_by(configured_model())
        if (keys := equal if row.layout == LAYOUT else digests)
    ]
    known = circuit_breaker.current() if held else None
    if known and known.pauses():  # a Milvus that hangs would hold every window up for the length of its time-out
        return dict
    return partial(fetch_all, held)


def fetch_all(held: Sequence[tuple[str, int, dict[str, str]]]) -> dict[str, Vectors]:
    """Return digest -> vectors from several collections, each given by the arguments of ``fetch_vectors``."""
    return {digest: vectors for each in held for digest, vectors in fetch_vectors(*each).items()}


def fetch_vectors(collection: str, dimension: int, keys: dict[str, str]) -> dict[str, Vectors]:
    """Return digest -> vectors of these keys (key -> digest) that the collection has; nothing when Milvus fails."""
    try:
        found = open_store(collection, dimension).vectors(list(keys))
    except IngestionError as error:
        logger.warning("vectors of equal texts are not reused: %s", error)
        return {}
    return {keys[key]: vectors for key, vectors in found.items()}
