"""Records in the buffer -> Milvus -> rows marked indexed; vanished chunks leave Milvus, then the rows.

In: records in the buffer, and rows of chunks that leave. Out: rows in Milvus, Chunk rows marked indexed, failed or
deleted, the frequencies of terms, and the runs' notes. Raises nothing that a later drain can mend: the reason is on the
runs.

One drain runs at a time, by a lock that is renewed before every write. The order loses nothing: Milvus acknowledges,
the rows say so, and only then the record is forgotten. A drain that dies anywhere leaves claims that the next one
repeats, and repeating changes nothing. While Milvus takes one batch, the one before is marked in the rows and the next
is claimed and unpacked.

When Milvus cannot be reached, nothing is tried again before the pause of ``circuit_breaker`` is over; then one drain
only looks whether it answers.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from opentelemetry.trace import SpanKind

from ingestion.buffer import codec, dead_letters, embedding_queue
from ingestion.coordination import circuit_breaker
from ingestion.coordination.locks import Lease, hold
from ingestion.coordination.measurements import INDEX_WRITE
from ingestion.exceptions import (
    BadRecord,
    BufferUnavailable,
    IngestionError,
    PermanentError,
    VectorStoreUnavailable,
)
from ingestion.models import Chunk, Run
from ingestion.models.times import ahead
from ingestion.pipeline.index.term_counts import recount_if_due
from ingestion.pipeline.state.collections import is_building, written_store
from ingestion.pipeline.state.transitions import advance, explain_wait, finish_runs
from ingestion.types import EmbeddedChunk
from ingestion.vector_store.store import VectorStore, import_without_pandas
from ingestion.words.weights import chunk_weights
from ragproject import span_attributes, tracing

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The next drain waits so long after one was killed; the lock is renewed six times as often.
LEASE_SECONDS = 30.0
RENEW_SECONDS = 5.0
# A drain's share of the period between two; what is left then goes to the next drain, which is sent at once.
BUDGET_SHARE, LONGEST_BUDGET_SECONDS = 0.8, 48.0
# A new collection is filled between two drains, and the embedder must not run out of work meanwhile.
BUDGET_BESIDE_BUILD_SECONDS = 5.0
DELETE_ROWS = 1000
SWITCH_INTERVAL_SECONDS = 0.1


class Drained(NamedTuple):
    """Rows written, and whether more wait that could be written at once."""

    rows: int = 0
    more: bool = False


class Batch(NamedTuple):
    """A claim's name and what of it is to be written."""

    claim: str
    chunks: list[EmbeddedChunk]


class Sent(NamedTuple):
    """Ids of the chunks that Milvus acknowledged, (key, reason) of those that it refused, and the seconds it took."""

    ids: list[int]
    refused: list[tuple[str, str]]
    seconds: float


@dataclass(frozen=True, slots=True)
class DrainSession:
    """What one drain works with: its store, its lease, the thread that speaks to Milvus, and when it has to end."""

    store: VectorStore
    lease: Lease
    writer: ThreadPoolExecutor
    ends_at: float

    def is_over(self) -> bool:
        """Return whether the time is up."""
        return time.monotonic() >= self.ends_at

    @contextmanager
    def in_writer(self, work: Callable[[], T], keys: Collection[str] = ()) -> Iterator[Future[T]]:
        """Run ``work`` in the writer's thread while the block runs; it is finished when the block is left.

        The lease is renewed before, meanwhile and after. Raise LeaseLost when another drain may have begun, and what
        the work raised. Whatever ends the drain meanwhile, another one may have deleted by then what this one writes,
        or written what it deletes, so ``keys`` are marked as unconfirmed: the next drain looks at them again. (A claim
        would tell it, too, but Redis may be emptied.)
        """
        self.lease.renew()
        asked = self.writer.submit(copy_context().run, work)
        try:
            yield asked
            while not wait([asked], RENEW_SECONDS).done:
                self.lease.renew()
            asked.result()
            self.lease.renew()
        except BaseException:
            wait([asked])
            if not isinstance(asked.exception(), PermanentError):  # which means refused: nothing is on its way
                with suppress(BufferUnavailable):
                    embedding_queue.mark_unconfirmed(keys)
            raise

    def run(self, work: Callable[[], T], keys: Collection[str] = ()) -> T:
        """Run ``work`` in the writer's thread, as ``in_writer`` does, and return its result."""
        with self.in_writer(work, keys) as asked:
            pass
        return asked.result()


def drain() -> Drained:
    """Write what waits, as long as the budget allows. Do nothing while another drain is at it or Milvus is down.

    Failures that the next drain can mend are noted on the runs.
    """
    import_without_pandas()  # before any thread starts
    try:
        return drain_if_free()
    except IngestionError as error:
        logger.warning("%s", error)
        explain_wait(str(error))
        return Drained()


def drain_if_free() -> Drained:
    """Drain unless Milvus is left alone for now or another process has the lock. Note when Milvus does not answer."""
    if (known := circuit_breaker.current()) and known.pauses():
        explain_wait(str(known))
        return Drained()
    with hold("drain", seconds=LEASE_SECONDS) as lease:
        if lease is None:
            return Drained()
        try:
            return drain_under(lease)
        except VectorStoreUnavailable as error:
            raise VectorStoreUnavailable(str(circuit_breaker.note(str(error)))) from error


def drain_under(lease: Lease) -> Drained:
    """Recheck what an earlier drain left unconfirmed, write records, delete vanished chunks, and move the rows on."""
    started, store = timezone.now(), written_store()
    if settles := circuit_breaker.answered():
        explain_wait(str(settles))
        return Drained()
    with long_switch_interval(), ThreadPoolExecutor(1, "milvus") as writer:
        session = DrainSession(store, lease, writer, time.monotonic() + budget())
        recheck_unconfirmed(session)
        mark_claimed_unconfirmed()
        written = write_waiting(session)
        if not written.more:
            recover_lost(started)
        more = remove_vanished(session) or written.more
    explain_wait("")
    advance()
    recount_if_due()  # questions need it; so before a run is said to be done, unless the dispatcher says so first
    finish_runs()
    return Drained(written.rows, more)


@contextmanager
def long_switch_interval() -> Iterator[None]:
    """Let a thread run Python for up to SWITCH_INTERVAL_SECONDS while another one wants to, instead of 5 ms.

    To make a request ready takes 0.1 s of Python. Interleaved with the main thread's work it would reach Milvus that
    much later, while that work has time until Milvus answers.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def budget() -> float:
    """Return how many seconds a drain may take."""
    if is_building():
        return BUDGET_BESIDE_BUILD_SECONDS
    return min(BUDGET_SHARE * settings.EMBEDDINGS_FLUSH_SECONDS, LONGEST_BUDGET_SECONDS)


# --- Records ------------------------------------------------------------------------------------------


def write_waiting(session: DrainSession) -> Drained:
    """Write batches until none waits or the time is up. Return how many rows were written, and whether more wait.

    One batch is on its way to Milvus while the one before it is settled and the one after it made ready.
    """
    rows, sent = 0, None
    batch = next_batch(session.store)
    while batch:
        sending = partial(send, session.store, session.lease, batch.chunks)
        with session.in_writer(sending, [c.key for c in batch.chunks]) as answer:
            rows += settle(*sent) if sent else 0
            ahead = None if session.is_over() else next_batch(session.store, besides=[batch.claim])
        sent, batch = (batch, answer.result()), ahead
    rows += settle(*sent) if sent else 0
    return Drained(rows, more=session.is_over() and embedding_queue.length() > 0)


def next_batch(store: VectorStore, *, besides: Collection[str] = ()) -> Batch | None:
    """Claim records, ``besides`` those in hand, and return what of them is to be written. None when none wait."""
    claimed = embedding_queue.claim(settings.EMBEDDINGS_BATCH_ROWS, besides=besides)
    if claimed is None:
        return None
    name, records = claimed
    return Batch(name, asked_for(readable(records, store)))


def asked_for(chunks: Sequence[EmbeddedChunk]) -> list[EmbeddedChunk]:
    """Return those that the rows still ask for, with the same sentence of context.

    A chunk that left in the meantime must not come back. (Keys are made of the text, so a record of an earlier version,
    or from before a backup was restored, has not the key of its row.)
    """
    rows = Chunk.objects.live().filter(id__in=[c.chunk_id for c in chunks])
    wanted = set(rows.values_list("id", "key", "context"))
    return [c for c in chunks if (c.chunk_id, c.key, c.context) in wanted]


def readable(records: Sequence[bytes], store: VectorStore) -> list[EmbeddedChunk]:
    """Return the records made for this collection that can be stored, and keep unusable ones as dead letters.

    The chunks of those left out are embedded anew.
    """
    chunks = []
    for record in records:
        try:
            chunk = codec.unpack(record)
            if chunk.collection in ("", store.name):
                codec.require_dimension(chunk, store.dimension)
                read = f"{chunk.context}\n{chunk.text}"
                chunks.append(replace(chunk, words=chunk_weights(read, chunk.heading, chunk.title)))
        except BadRecord as error:
            logger.error("a buffered record is unusable: %s", error)
            dead_letters.bury(record, str(error))
    return chunks


def send(store: VectorStore, lease: Lease, chunks: Sequence[EmbeddedChunk]) -> Sent:
    """Write a batch and return what Milvus said. Runs in the writer's thread, which does not touch the rows."""
    started = time.perf_counter()
    does = span_attributes.upsert(store.name, len(chunks), (chunk.document_id for chunk in chunks))
    with tracing.step(does.name, SpanKind.CLIENT, does.attributes):
        refused = write(store, lease, chunks)
    seconds = time.perf_counter() - started
    INDEX_WRITE.observe(seconds)
    unwritten = {key for key, _ in refused}
    ids = [c.chunk_id for c in chunks if c.key not in unwritten]
    return Sent(ids, refused, seconds)


def write(store: VectorStore, lease: Lease, chunks: Sequence[EmbeddedChunk]) -> list[tuple[str, str]]:
    """Upsert chunks and return (key, reason) of those that Milvus refuses.

    A batch that is refused is halved until the refused row stands alone.
    """
    if not chunks:
        return []
    lease.renew()
    try:
        store.upsert(chunks)
    except PermanentError as error:
        if len(chunks) == 1:
            return [(chunks[0].key, str(error))]
        half = len(chunks) // 2
        return write(store, lease, chunks[:half]) + write(store, lease, chunks[half:])
    return []


def settle(batch: Batch, sent: Sent) -> int:
    """Mark the rows as Milvus said, then forget the claim. Return how many rows were written."""
    with transaction.atomic():
        for key, reason in sent.refused:
            Chunk.objects.filter(key=key).fail(error=reason)
        Chunk.objects.mark_indexed({c.chunk_id for c in asked_for(batch.chunks)}.intersection(sent.ids))
        charge_runs(batch.chunks, sent.seconds)
    embedding_queue.confirm(batch.claim)
    return len(sent.ids)


def charge_runs(chunks: Sequence[EmbeddedChunk], seconds: float) -> None:
    """Divide the seconds of a batch among the sources' runs by their rows."""
    for source_id, rows in Counter(c.source_id for c in chunks).items():
        spent = seconds * rows / len(chunks)
        Run.objects.active().filter(source_id=source_id).update(index_seconds=F("index_seconds") + spent)


def recover_lost(started: datetime) -> int:
    """Let chunks be embedded again whose record was lost with Redis. Return how many.

    To be called when the list is empty: then a row that was buffered before this drain ``started``, or before the clock
    was set back, and is not indexed has lost its record.
    """
    before = Q(buffered_at__lt=started) | Q(buffered_at__gt=ahead(0))
    if count := Chunk.objects.filter(before, state=Chunk.State.BUFFERED).back_to_waiting():
        logger.warning("%d records were lost with Redis, unusable or outdated; their chunks are embedded again", count)
    return count


# --- Deletions ----------------------------------------------------------------------------------------


def remove_vanished(session: DrainSession) -> bool:
    """Delete chunks that left their document, once its new ones can be found. Return True when time ran out."""
    while batch := leaving():
        Chunk.objects.filter(id__in=batch, state=Chunk.State.REMOVING).update(state=Chunk.State.DELETING)
        rows = Chunk.objects.filter(id__in=batch, state=Chunk.State.DELETING)
        keys = list(rows.values_list("key", flat=True))
        session.run(partial(session.store.delete, keys), keys)
        rows.delete()
        if session.is_over():
            return bool(leaving())
    return False


def leaving() -> list[int]:
    """Return the ids of chunks to delete next: those whose document has no chunk on its way to the index."""
    busy = Exists(Chunk.objects.filter(document=OuterRef("document"), state__in=Chunk.PENDING))
    rows = Chunk.objects.filter(~busy, state__in=Chunk.LEAVING)
    return list(rows.values_list("id", flat=True)[:DELETE_ROWS])


# --- What an earlier drain left unconfirmed -----------------------------------------------------------


def recheck_unconfirmed(session: DrainSession) -> None:
    """Delete unconfirmed keys that no row wants, and let chunks be embedded again that are not stored exactly once.

    A drain that lost its lock wrote or deleted them. Two upserts of one key at the same moment are stored twice (Milvus
    does not put them in order), and one more replaces all copies.
    """
    while keys := embedding_queue.unconfirmed(DELETE_ROWS):
        live = set(Chunk.objects.live().filter(key__in=keys).values_list("key", flat=True))
        session.run(partial(session.store.delete, set(keys) - live))
        amiss = session.run(partial(not_stored_once, session.store, list(live)))
        Chunk.objects.filter(key__in=amiss, state=Chunk.State.INDEXED).embed_again()
        embedding_queue.clear_unconfirmed(keys)


def mark_claimed_unconfirmed() -> None:
    """Mark the keys of records that are claimed already: a drain that died may have sent them.

    A Milvus that was stopped meanwhile carries out late what it was sent, so the drain after this one looks whether
    they are still wanted. (Where Redis has no room left for such notes, to empty it comes first.)
    """
    keys = []
    for record in embedding_queue.claimed():
        with suppress(BadRecord):
            keys.append(codec.unpack(record).key)
    with suppress(BufferUnavailable):
        embedding_queue.mark_unconfirmed(keys)


def not_stored_once(store: VectorStore, keys: Sequence[str]) -> Collection[str]:
    """Return the keys that Milvus lacks; all of them when one is there twice: Milvus counts, but not by key."""
    there = store.existing(keys)
    return keys if store.copies(keys) > len(there) else set(keys) - there
