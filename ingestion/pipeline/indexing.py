"""Records in the buffer -> Milvus -> rows marked indexed; vanished chunks leave Milvus, then the rows.

One drain runs at a time (a lock with a life time, renewed per batch). The order is what makes it
lossless: Milvus acknowledges, the rows say so, and only then the record is forgotten. A drain that dies
anywhere leaves a claim that the next one repeats, and repeating changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone
from redis.exceptions import LockError

from ingestion import buffer
from ingestion.exceptions import BadRecord, IngestionError, PermanentError
from ingestion.models import Chunk, Collection, Document, Run
from ingestion.pipeline.progress import advance, explain_wait, finish_runs
from ingestion.types import EmbeddedChunk
from ingestion.vector_store import VectorStore, import_without_pandas, open_store

logger = logging.getLogger(__name__)

LOCK_SECONDS = 120.0
DELETE_ROWS = 1000


def drain() -> int:
    """Write everything that waits. Returns the number of rows written; 0 when another drain is at it."""
    import_without_pandas()  # a CPU worker's process runs one thread
    lock = buffer.lock("drain", seconds=LOCK_SECONDS)
    if not lock.acquire(blocking=False):
        return 0
    try:
        return write_all(lock)
    except IngestionError as error:
        logger.warning("%s", error)
        explain_wait(str(error))
        return 0
    finally:
        with suppress(LockError):
            lock.release()


def write_all(lock: Any) -> int:
    started, written = timezone.now(), 0
    store = active_store()
    while claimed := buffer.claim(settings.EMBEDDINGS_BATCH_ROWS):
        written += write_claim(store, *claimed)
        lock.reacquire()
    recover_lost(started)
    remove_vanished(store)
    explain_wait("")
    finish_runs()
    return written


def write_claim(store: VectorStore, name: str, records: Sequence[bytes]) -> int:
    started = time.perf_counter()
    chunks = wanted(readable(records))
    written = write(store, chunks)
    with transaction.atomic():
        Chunk.objects.indexed(written)
        advance({c.document_id for c in chunks})
    charge_runs(chunks, time.perf_counter() - started)
    buffer.confirm(name)
    return len(written)


def readable(records: Sequence[bytes]) -> list[EmbeddedChunk]:
    """The records that can be read; the others are buried with the reason, their rows embedded anew."""
    chunks = []
    for record in records:
        try:
            chunks.append(buffer.unpack(record))
        except BadRecord as error:
            logger.error("a buffered record is unusable: %s", error)
            buffer.bury(record, str(error))
    return chunks


def wanted(chunks: Sequence[EmbeddedChunk]) -> list[EmbeddedChunk]:
    """Only what the rows still ask for: a chunk that left in the meantime must not come back."""
    keys = {c.key for c in chunks}
    live = set(Chunk.objects.live().filter(key__in=keys).values_list("key", flat=True))
    return [c for c in chunks if c.key in live]


def write(store: VectorStore, chunks: Sequence[EmbeddedChunk]) -> list[str]:
    """Upsert; when Milvus refuses a batch, halve it until the refused row stands alone and fails."""
    if not chunks:
        return []
    try:
        store.upsert(chunks)
    except PermanentError as error:
        if len(chunks) == 1:
            Chunk.objects.filter(key=chunks[0].key).fail(error=str(error))
            return []
        half = len(chunks) // 2
        return write(store, chunks[:half]) + write(store, chunks[half:])
    return [c.key for c in chunks]


def charge_runs(chunks: Sequence[EmbeddedChunk], seconds: float) -> None:
    """Divide the seconds of a batch among the runs by their rows."""
    if not chunks:
        return
    ids = {c.document_id for c in chunks}
    runs = dict(Document.objects.filter(id__in=ids).values_list("id", "run_id"))
    for run_id, rows in Counter(runs.get(c.document_id) or 0 for c in chunks).items():
        spent = seconds * rows / len(chunks)
        Run.objects.filter(id=run_id).update(index_seconds=F("index_seconds") + spent)


def recover_lost(started: datetime) -> int:
    """The list is empty now, so a row that was buffered before this drain began and is not indexed
    has lost its record (Redis was wiped): embed it again."""
    lost = Chunk.objects.filter(state=Chunk.State.BUFFERED, buffered_at__lt=started)
    documents = set(lost.values_list("document_id", flat=True))
    if not documents:
        return 0
    count = lost.back_to_waiting()
    logger.warning("%d records were lost with Redis; their chunks are embedded again", count)
    advance(documents)
    return count


def remove_vanished(store: VectorStore) -> None:
    """Delete what left its document, once the document's new chunks can be found."""
    while batch := leaving():
        Chunk.objects.filter(id__in=batch, state=Chunk.State.REMOVING).update(state=Chunk.State.DELETING)
        rows = Chunk.objects.filter(id__in=batch, state=Chunk.State.DELETING)
        store.delete(rows.values_list("key", flat=True))
        rows.delete()


def leaving() -> list[int]:
    busy = Exists(Chunk.objects.filter(document=OuterRef("document"), state__in=Chunk.PENDING))
    rows = Chunk.objects.filter(~busy, state__in=Chunk.LEAVING)
    return list(rows.values_list("id", flat=True)[:DELETE_ROWS])


def active_store() -> VectorStore:
    """The collection that is written, created when there is none yet.

    Raises PermanentError when it was built with another model than the one in the settings.
    """
    row = Collection.objects.filter(active=True).first() or create_collection()
    if (row.model, row.dimension) != (settings.MODEL_PATH, settings.EMBED_DIMENSION):
        raise PermanentError(
            f"The collection {row.name} was built with {row.model} ({row.dimension} dimensions), the settings "
            f"say {settings.MODEL_PATH} ({settings.EMBED_DIMENSION}). Set EMBED_MODEL back, or use another DATA_DIR "
            "and database."
        )
    store = open_store(row.name, row.dimension)
    store.ensure()
    return store


def create_collection() -> Collection:
    model = "".join(c if c.isalnum() else "_" for c in settings.EMBED_MODEL.rsplit("/", 1)[-1].lower())
    name = f"{settings.MILVUS_COLLECTION}_{model}_{settings.EMBED_DIMENSION}"
    row, _ = Collection.objects.get_or_create(
        name=name,
        defaults={"model": settings.MODEL_PATH, "dimension": settings.EMBED_DIMENSION, "active": True},
    )
    return row
