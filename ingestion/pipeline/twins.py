"""Vectors that need not be computed: an equal text, read by the same model, has been embedded before."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.conf import settings
from django.db.models import F

from ingestion.exceptions import IngestionError
from ingestion.models import Chunk, Collection, Run
from ingestion.types import Vectors
from ingestion.vector_store import open_store

logger = logging.getLogger(__name__)


def known_vectors(chunks: Sequence[Chunk]) -> dict[str, Vectors]:
    """Digest -> vectors, for those of the chunks' texts that the index holds under another key. Nothing when
    Milvus does not answer: embedding again is only slower."""
    keys = indexed_twins(chunks)
    row = Collection.objects.filter(active=True, model=settings.MODEL_PATH).first()
    if not keys or row is None:
        return {}
    try:
        found = open_store(row.name, row.dimension).vectors(list(keys))
    except IngestionError as error:
        logger.warning("vectors of equal texts are not reused: %s", error)
        return {}
    return {keys[key]: vectors for key, vectors in found.items()}


def indexed_twins(chunks: Sequence[Chunk]) -> dict[str, str]:
    """Key -> digest of one indexed chunk for each digest that has any."""
    digests = {c.digest for c in chunks if c.digest}
    rows = Chunk.objects.filter(digest__in=digests, state=Chunk.State.INDEXED)
    one_each = dict(rows.order_by().values_list("digest", "key"))
    return {key: digest for digest, key in one_each.items()}


def credit_runs(chunks: Sequence[Chunk]) -> None:
    """Note on the runs what they did not have to embed."""
    for chunk in chunks:
        Run.objects.filter(id=chunk.document.run_id or 0).update(
            copied_chunks=F("copied_chunks") + 1, copied_tokens=F("copied_tokens") + chunk.tokens
        )
