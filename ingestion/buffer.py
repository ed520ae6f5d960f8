"""The Redis list between the embedder and Milvus: push, claim, confirm.

A record is one msgpack array; vectors are raw little-endian bytes (dense and weights as float16,
token ids as uint32), 4.3 KB for 1 024 dimensions where JSON takes 27 KB.

``claim`` moves up to n records, in order and atomically, from the list to a list of their own, whose
name is remembered in a set; ``confirm`` deletes exactly that list. A claim is never changed, so whoever finds one
left by a drain that died can simply process it again. Redis may lose everything at any time: the rows
say what has to be embedded anew.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np
from django.conf import settings

from ingestion.broker import available, connect
from ingestion.exceptions import BadRecord
from ingestion.types import EmbeddedChunk, Vectors

RECORD_VERSION = 1
DENSE_TYPE, INDEX_TYPE, WEIGHT_TYPE = "<f2", "<u4", "<f2"
# 256 values per RPUSH reach 85 000 values/s on loopback, one by one 8 600.
PUSH_VALUES = 256
FIELDS = 13


def pack(chunk: EmbeddedChunk) -> bytes:
    """One record. Raises BadRecord when a vector holds anything but finite numbers."""
    vectors = chunk.vectors
    if not (np.isfinite(vectors.dense).all() and np.isfinite(vectors.weights).all()):
        raise BadRecord(f"chunk {chunk.chunk_id}: the model returned NaN or infinite numbers")
    packed: bytes = msgpack.packb(
        (
            RECORD_VERSION,
            chunk.key,
            chunk.chunk_id,
            chunk.document_id,
            chunk.source_id,
            chunk.url,
            chunk.title,
            chunk.heading,
            chunk.position,
            chunk.text,
            vectors.dense.astype(DENSE_TYPE).tobytes(),
            vectors.indices.astype(INDEX_TYPE).tobytes(),
            vectors.weights.astype(WEIGHT_TYPE).tobytes(),
        )
    )
    return packed


def unpack(record: bytes) -> EmbeddedChunk:
    """The chunk in a record. Raises BadRecord with the reason."""
    try:
        fields = msgpack.unpackb(record)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise BadRecord(f"not a msgpack record: {error}") from error
    if not isinstance(fields, list) or len(fields) != FIELDS or fields[0] != RECORD_VERSION:
        raise BadRecord("not a record of this version")
    try:
        vectors = Vectors(
            np.frombuffer(fields[10], DENSE_TYPE).astype(np.float32),
            np.frombuffer(fields[11], INDEX_TYPE),
            np.frombuffer(fields[12], WEIGHT_TYPE).astype(np.float32),
        )
        chunk = EmbeddedChunk(*[*fields[1:10], vectors])
    except (TypeError, ValueError) as error:
        raise BadRecord(f"damaged record: {error}") from error
    check(chunk)
    return chunk


def check(chunk: EmbeddedChunk) -> None:
    """Raise BadRecord unless the record can be stored as it is."""
    vectors = chunk.vectors
    texts = (chunk.key, chunk.url, chunk.title, chunk.heading, chunk.text)
    numbers = (chunk.chunk_id, chunk.document_id, chunk.source_id, chunk.position)
    if not all(isinstance(t, str) for t in texts) or not all(isinstance(n, int) for n in numbers):
        raise BadRecord("a field has the wrong type")
    if vectors.dense.shape != (settings.EMBED_DIMENSION,):
        raise BadRecord(f"chunk {chunk.chunk_id}: {vectors.dense.size} dimensions, not {settings.EMBED_DIMENSION}")
    if len(vectors.indices) != len(vectors.weights):
        raise BadRecord(f"chunk {chunk.chunk_id}: sparse indices and weights differ in number")
    if not (np.isfinite(vectors.dense).all() and np.isfinite(vectors.weights).all()):
        raise BadRecord(f"chunk {chunk.chunk_id}: a vector holds NaN or infinite numbers")


def push(chunks: Sequence[EmbeddedChunk]) -> None:
    """Append records in order."""
    records = [pack(c) for c in chunks]
    with available() as client:
        for start in range(0, len(records), PUSH_VALUES):
            client.rpush(settings.EMBEDDINGS_KEY, *records[start : start + PUSH_VALUES])


def claim(rows: int) -> tuple[str, list[bytes]] | None:
    """Up to ``rows`` records under a claim's name, oldest first; a dead drain's claim comes before
    new records. None when nothing waits."""
    with available() as client:
        for name in sorted(client.smembers(claims_key())):
            left = client.lrange(name, 0, -1)
            if left:
                return name.decode(), left
            client.srem(claims_key(), name)
        return claim_new(client, rows)


def claim_new(client: Any, rows: int) -> tuple[str, list[bytes]] | None:
    waiting = min(rows, int(client.llen(settings.EMBEDDINGS_KEY)))
    if not waiting:
        return None
    name = f"{settings.EMBEDDINGS_KEY}:claim:{uuid.uuid4().hex}"
    move = client.pipeline(transaction=True)
    move.sadd(claims_key(), name)
    for _ in range(waiting):
        move.lmove(settings.EMBEDDINGS_KEY, name, "LEFT", "RIGHT")
    records = [r for r in move.execute()[1:] if r is not None]
    return (name, records) if records else None


def confirm(name: str) -> None:
    """Forget a claim whose records Milvus has and the rows say so."""
    with available() as client:
        client.pipeline(transaction=True).delete(name).srem(claims_key(), name).execute()


def bury(record: bytes, reason: str) -> None:
    """Keep a record that cannot be stored, with the reason, for a person to look at."""
    with available() as client:
        entry = msgpack.packb((reason, record))
        client.pipeline().rpush(dead_key(), entry).ltrim(dead_key(), -1000, -1).execute()


def length() -> int:
    """Records in the list and in claims."""
    with available() as client:
        claims = client.smembers(claims_key())
        return int(client.llen(settings.EMBEDDINGS_KEY)) + sum(int(client.llen(c)) for c in claims)


def size_bytes() -> int:
    """About how many bytes wait: the number of records times the size of the last one."""
    with available() as client:
        last = client.lindex(settings.EMBEDDINGS_KEY, -1)
        return len(last) * int(client.llen(settings.EMBEDDINGS_KEY)) if last else 0


def dead_length() -> int:
    with available() as client:
        return int(client.llen(dead_key()))


def queue_length(queue: str) -> int:
    """Messages waiting in a Celery queue, over all priorities (kombu keeps one list for each)."""
    with available() as client:
        names = [queue, *(f"{queue}\x06\x16{step}" for step in settings.PRIORITY_STEPS)]
        return sum(int(client.llen(name)) for name in names)


def lock(name: str, *, seconds: float) -> Any:
    """A lock with a token and a life time; ``acquire(blocking=False)`` it."""
    return connect().lock(f"{settings.EMBEDDINGS_KEY}:lock:{name}", timeout=seconds, thread_local=False)


def claims_key() -> str:
    return f"{settings.EMBEDDINGS_KEY}:claims"


def dead_key() -> str:
    return f"{settings.EMBEDDINGS_KEY}:dead"
