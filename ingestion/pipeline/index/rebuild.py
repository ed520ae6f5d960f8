"""Fills a collection from the rows: what it lacks waits for the embedder, what it holds needs none.

In: Chunk rows and the collection that the embedder has adopted. Out: chunks that wait, the collection's cursor, and in
the end the collection that is searched. Fetches no page: rows keep the text.

``fill`` does one short step; Beat repeats it while there is something to fill. A cursor walks over the chunks that
there were when the embedder adopted the collection, and asks Milvus of each whether it is there. It never runs far
ahead of the embedder, so that the pages of a refresh do not wait behind a million old chunks.

Nothing here has to end: a step that dies is repeated, and repeating changes nothing. When all chunks are through, the
audit compares every key once more; only then the new collection is searched.
"""

from __future__ import annotations

import logging
import time

from ingestion.coordination import circuit_breaker
from ingestion.coordination.locks import hold, once_in
from ingestion.exceptions import IngestionError, VectorStoreUnavailable
from ingestion.models import Chunk, Collection, Document, has_chunks
from ingestion.pipeline.index.audit import audit, batched
from ingestion.pipeline.state.collections import change_wanted, swap, written_store
from ingestion.pipeline.state.transitions import advance
from ingestion.vector_store.store import import_without_pandas, open_store

logger = logging.getLogger(__name__)

# Old chunks that wait for the embedder at a time: half of MAX_CHUNKS_WAITING's default, so that pages are still
# fetched, and enough for 2 000 chunks a second while a step comes every 5 s, between two drains.
CHUNKS_AHEAD = 10_000
# Keys that Milvus is asked about at once: with the rows' update 0.14 s on two busy cores.
KEYS_AT_ONCE = 1000
STEP_SECONDS = 10.0
ASK_SECONDS = 30.0
# More chunks than this share that the new model could not embed are a broken model rather than odd chunks.
FAILED_SHARE = 0.01
COMPARED = (Chunk.State.INDEXED, Chunk.State.WAITING, Chunk.State.FAILED)


def fill() -> None:
    """Do one step towards a complete collection, if one is to be filled and Milvus answers."""
    row = Collection.objects.written()
    if row is None or row.checked_to is None or circuit_breaker.current():
        return
    try:
        step(row)
    except VectorStoreUnavailable as error:
        logger.warning("%s", circuit_breaker.note(str(error)))
    except IngestionError as error:
        logger.warning("filling %s pauses: %s", row.name, error)


def adoption_due() -> bool:
    """Return whether the embedder should look at its settings, because they seem to name another model.

    True twice a minute at most: a model that cannot be loaded would be tried each time.
    """
    return change_wanted() and once_in(ASK_SECONDS, "adoption")


def step(row: Collection) -> None:
    """Compare chunks for STEP_SECONDS at most, and finish when all are compared.

    Those that the collection lacks wait for the embedder; those that it holds are indexed.
    """
    import_without_pandas()
    store, deadline = written_store(), time.monotonic() + STEP_SECONDS
    if row.checked_to == 0:
        with hold("drain", seconds=STEP_SECONDS) as lease:
            if lease is None:  # a drain that began before the adoption may still write to the collection before
                return
    while time.monotonic() < deadline:
        # The chunks to compare next, as many as the embedder has room for.
        ahead = Chunk.objects.filter(state=Chunk.State.WAITING, id__lte=row.checked_to)[:CHUNKS_AHEAD].count()
        room = min(CHUNKS_AHEAD - ahead, KEYS_AT_ONCE)
        if room <= 0 or row.checked_to is None:
            break
        left = Chunk.objects.filter(id__gt=row.checked_to, id__lte=row.last_chunk).order_by("id")
        chunks = list(left.only("id", "key", "state", "document_id")[:room])
        if not chunks:
            break
        compared = [c for c in chunks if c.state in COMPARED]
        held = store.existing([c.key for c in compared])
        absent = [c.pk for c in compared if c.key not in held and c.state != Chunk.State.WAITING]
        present = [c for c in compared if c.key in held and c.state != Chunk.State.INDEXED]
        Chunk.objects.filter(id__in=absent).embed_again()
        Chunk.objects.filter(id__in=[c.pk for c in present]).mark_found()
        advance({c.document_id for c in present})
        if not move_cursor(row, chunks[-1].pk):
            return
    if (row.checked_to or 0) >= row.last_chunk:
        finish(row)


def move_cursor(row: Collection, chunk_id: int) -> bool:
    """Store that the chunks up to this one have been compared with the collection.

    Return False when the embedder has turned to another collection meanwhile, or another step was faster.
    """
    moved = Collection.objects.filter(pk=row.pk, checked_to=row.checked_to, started_at=row.started_at)
    row.checked_to, done = chunk_id, moved.update(checked_to=chunk_id)
    return bool(done)


def finish(row: Collection) -> None:
    """End the build once no chunk is on its way and an audit finds every one.

    A collection in use is whole again; a new one is searched from now on, unless too many chunks failed.
    """
    if Chunk.objects.filter(id__lte=row.last_chunk, state__in=Chunk.PENDING).exists():
        return
    reason = reason_against(row) if row.building else ""
    if reason != row.note:
        Collection.objects.filter(pk=row.pk).update(note=reason)
    if reason:
        return
    report = audit(repair=True)  # what it misses waits for the embedder once more
    if report is None or report.missing:
        return
    if row.active:
        Collection.objects.filter(pk=row.pk, checked_to=row.checked_to).update(checked_to=None)
        return
    # Documents stayed indexed during the build although the new model could not embed all of their chunks.
    whole = Document.objects.filter(state__in=(Document.State.INDEXED, Document.State.UNCHANGED))
    broken = list(whole.filter(has_chunks(Chunk.State.FAILED)).values_list("id", flat=True))
    Document.objects.filter(id__in=broken).update(state=Document.State.INDEXING)
    advance(broken)
    swap(row)


def reason_against(row: Collection) -> str:
    """Return why the collection must not be searched yet, or an empty string.

    Chunks that failed with the new model would answer no more. If there are too many of them, the old collection stays.
    """
    failed = Chunk.objects.filter(state=Chunk.State.FAILED, id__lte=row.last_chunk)
    bound = FAILED_SHARE * Chunk.objects.live().count()
    if failed.count() <= bound:
        return ""
    if row.note:
        return row.note
    # Only those that the searched collection holds would be lost to answers.
    count, searched = 0, Collection.objects.searched()
    if searched is not None:
        store = open_store(searched.name, searched.dimension)
        keys = failed.values_list("key", flat=True).iterator()
        count = sum(len(store.existing(part)) for part in batched(keys, KEYS_AT_ONCE))
    if count <= bound:
        return ""
    return (
        f"{row.model} could not embed {count} chunks, so the old collection stays in use. The first: "
        f"{failed.exclude(error='').values_list('error', flat=True).first()}. Mend that and restart the embedding "
        "worker, or set EMBED_MODEL back."
    )
