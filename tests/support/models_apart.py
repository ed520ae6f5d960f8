"""An embedder without a network, whose vectors tell which model made them, for the tests of a change of model."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
from django.conf import settings
from django.utils import timezone

from ingestion.buffer import embedding_queue
from ingestion.models import Chunk, Collection
from ingestion.pipeline.index.drain import drain
from ingestion.pipeline.index.rebuild import fill
from ingestion.pipeline.state import collections
from ingestion.pipeline.state.collections import adopt, embedder_is_current
from ingestion.pipeline.state.transitions import advance
from ingestion.types import EmbeddedChunk, Vectors
from ingestion.vector_store.store import connect, open_store
from tests.support.rows import record


def empty_milvus() -> None:
    """Without rows, but with the collections that are there: to make one takes a second."""
    client = connect()
    for name in client.list_collections():
        client.load_collection(name)
        client.delete(name, filter='key >= ""')
    client.close()


def choose(number: int) -> None:
    """The operator names another model and restarts the embedder."""
    settings.MODEL_PATH = f"/models/number-{number}"
    collections._adopted.clear()


def made_by(chunk: Chunk, number: int) -> EmbeddedChunk:
    dense = np.zeros(settings.EMBED_DIMENSION, np.float32)
    dense[number] = 1
    vectors = Vectors(dense, np.array([1], np.uint32), np.ones(1, np.float32))
    return replace(record(chunk), vectors=vectors, collection=adopt().name)


def embed(limit: int = 1000) -> int:
    """What the embedding worker does with the chunks that wait."""
    if not embedder_is_current(adopt()):
        return 0
    number = int(settings.MODEL_PATH.rpartition("-")[2])
    ids = list(Chunk.objects.filter(state=Chunk.State.WAITING).values_list("id", flat=True)[:limit])
    Chunk.objects.claim(ids, owner="me", until=timezone.now() + timedelta(seconds=60))
    chunks = list(Chunk.objects.filter(id__in=ids).select_related("document"))
    embedding_queue.push([made_by(chunk, number) for chunk in chunks])
    Chunk.objects.mark_buffered(ids, owner="me")
    advance({chunk.document_id for chunk in chunks})
    return len(ids)


def work(rounds: int = 9) -> int:
    """Embedder, drain and builder in turn, as the queues would. Returns how many chunks were embedded."""
    adopt()
    total = 0
    for _ in range(rounds):
        fill()
        total += embed()
        drain()
        if settled():
            break
    return total


def settled() -> bool:
    on_the_way = Chunk.objects.filter(state__in=(*Chunk.PENDING, *Chunk.LEAVING)).exists()
    return not on_the_way and not Collection.objects.exclude(checked_to=None).exists()


def models_found(keys: list[str]) -> dict[str, set[int]]:
    """For each collection that there is: which models made the vectors of these keys."""
    stores = [open_store(r.name, r.dimension) for r in Collection.objects.order_by("id")]
    held = {s.name: s.vectors(keys) if s.existing(keys) else {} for s in stores}  # Lite fails on one that is empty
    return {name: {int(np.argmax(v.dense)) for v in vectors.values()} for name, vectors in held.items()}
