"""Records in the buffer -> Milvus -> rows marked indexed; vanished chunks leave Milvus, then the rows.

One drain runs at a time, by a lease that is renewed before every write. The order is what makes it
lossless: Milvus acknowledges, the rows say so, and only then the record is forgotten. A drain that dies
anywhere leaves claims that the next one repeats, and repeating changes nothing. While Milvus takes one batch, the one
before is marked in the rows and the next is claimed and unpacked.

When Milvus cannot be reached, nothing is tried again before the pause in ``outage`` is over; then one drain only looks
whether it answers.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from ingestion.buffer import codec, dead_letters, embedding_queue
from ingestion.coordination import circuit_breaker
from ingestion.coordination.locks import Lease, hold
from ingestion.exceptions import (
    BadRecord,
    BufferUnavailable,
    IngestionError,
    PermanentError,
    VectorStoreUnavailable,
)
from ingestion.models import Chunk, Run
from ingestion.pipeline.state.collections import is_building, written_store
from ingestion.pipeline.state.transitions import advance, explain_wait, finish_runs
from ingestion.types import EmbeddedChunk
from ingestion.vector_store.store import VectorStore, import_without_pandas

logger = logging.getLogger(__name__)

T = TypeVar("T")

# What a drain that was killed makes the next one wait for; it is renewed six times as often.
LEASE_SECONDS = 30.0
RENEW_SECONDS = 5.0
# Of the period; what is left then goes to the next drain, which is sent at once.
BUDGET_SHARE, LONGEST_BUDGET_SECONDS = 0.8, 48.0
# A new collection is filled in turn with the drain, and the embedder must not run dry meanwhile.
BUDGET_BESIDE_BUILD_SECONDS = 5.0
DELETE_ROWS = 1000
UNDIVIDED_SECONDS = 0.1


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
class Turn:
    """One drain's turn: where it writes, its lease, the thread that speaks to Milvus, and when it has to end."""

    store: VectorStore
    lease: Lease
    writer: ThreadPoolExecutor
    ends: float

    def over(self) -> bool:
        return time.monotonic() >= self.ends

    @contextmanager
    def asking(self, work: Callable[[], T], keys: Collection[str] = ()) -> Iterator[Future[T]]:
        """Do this in the thread, beside what the block does; it is finished behind the block. Whatever ends the drain
        meanwhile, another one may have deleted by then what this one writes, or the other way round: the next looks at
        these ``keys`` again. (A claim would tell it, too, but Redis may be emptied.)"""
        self.lease.renew()
        asked = self.writer.submit(work)
        try:
            yield asked
            self.await_answer(asked)
        except BaseException:
            wait([asked])
            if not isinstance(asked.exception(), PermanentError):  # which means refused: nothing is on its way
                with suppress(BufferUnavailable):
                    embedding_queue.mark_unconfirmed(keys)
            raise

    def await_answer(self, asked: Future[T]) -> None:
        """The lease stays alive meanwhile, and is this drain's at the end. Raises what the work raised."""
        while not wait([asked], RENEW_SECONDS).done:
            self.lease.renew()
        asked.result()
        self.lease.renew()

    def run(self, work: Callable[[], T], keys: Collection[str] = ()) -> T:
        with self.asking(work, keys) as asked:
            pass
        return asked.result()


def drain() -> Drained:
    """Write what waits, as long as the budget allows. Nothing while another drain is at it or Milvus is down."""
    import_without_pandas()  # before any thread starts
    try:
        return take_turn()
    except IngestionError as error:
        logger.warning("%s", error)
        explain_wait(str(error))
        return Drained()


def take_turn() -> Drained:
    if (known := circuit_breaker.current()) and known.pauses():
        explain_wait(str(known))
        return Drained()
    with hold("drain", seconds=LEASE_SECONDS) as lease:
        if lease is None:
            return Drained()
        try:
            return write_all(lease)
        except VectorStoreUnavailable as error:
            raise VectorStoreUnavailable(str(circuit_breaker.note(str(error)))) from error


def write_all(lease: Lease) -> Drained:
    started, store = timezone.now(), written_store()
    if settles := circuit_breaker.answered():
        explain_wait(str(settles))
        return Drained()
    with long_switch_interval(), ThreadPoolExecutor(1, "milvus") as writer:
        turn = Turn(store, lease, writer, time.monotonic() + budget())
        remove_doubtful(turn)
        doubt_claimed()
        written = write_waiting(turn)
        if not written.more:
            recover_lost(started)
        more = remove_vanished(turn) or written.more
    explain_wait("")
    advance()
    finish_runs()
    return Drained(written.rows, more)


@contextmanager
def long_switch_interval() -> Iterator[None]:
    """Of two threads that both have something to do in Python, the one that is at it goes on until it waits. To make a
    request ready takes 0.1 s; divided in slices of 5 ms among both it would reach Milvus so much later, while all
    that the other thread does has time until Milvus answers."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(UNDIVIDED_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def budget() -> float:
    if is_building():
        return BUDGET_BESIDE_BUILD_SECONDS
    return min(BUDGET_SHARE * settings.EMBEDDINGS_FLUSH_SECONDS, LONGEST_BUDGET_SECONDS)


def write_waiting(turn: Turn) -> Drained:
    """Batch after batch: one on its way to Milvus, the one before it settled, the one after it made ready."""
    rows, sent = 0, None
    batch = next_batch(turn.store)
    while batch:
        sending = partial(send, turn.store, turn.lease, batch.chunks)
        with turn.asking(sending, [c.key for c in batch.chunks]) as answer:
            rows += settle(*sent) if sent else 0
            ahead = None if turn.over() else next_batch(turn.store, besides=[batch.claim])
        sent, batch = (batch, answer.result()), ahead
    rows += settle(*sent) if sent else 0
    return Drained(rows, more=turn.over() and embedding_queue.length() > 0)


def next_batch(store: VectorStore, *, besides: Collection[str] = ()) -> Batch | None:
    claimed = embedding_queue.claim(settings.EMBEDDINGS_BATCH_ROWS, besides=besides)
    return Batch(claimed[0], wanted(readable(claimed[1], store))) if claimed else None


def readable(records: Sequence[bytes], store: VectorStore) -> list[EmbeddedChunk]:
    """The records made for this collection that can be stored; unusable ones are buried with the reason. The rows of
    those left out are embedded anew."""
    chunks = []
    for record in records:
        try:
            chunk = codec.unpack(record)
            if chunk.collection in ("", store.name):
                codec.require_dimension(chunk, store.dimension)
                chunks.append(chunk)
        except BadRecord as error:
            logger.error("a buffered record is unusable: %s", error)
            dead_letters.bury(record, str(error))
    return chunks


def wanted(chunks: Sequence[EmbeddedChunk]) -> list[EmbeddedChunk]:
    """Only what the rows still ask for: a chunk that left in the meantime must not come back. (Keys are made of the
    text, so a record of an earlier version, or from before a backup was restored, has not the key of its row.)"""
    rows = Chunk.objects.live().filter(id__in=[c.chunk_id for c in chunks])
    live = set(rows.values_list("id", "key"))
    return [c for c in chunks if (c.chunk_id, c.key) in live]


def live_among(keys: Collection[str]) -> set[str]:
    return set(Chunk.objects.live().filter(key__in=keys).values_list("key", flat=True))


def send(store: VectorStore, lease: Lease, chunks: Sequence[EmbeddedChunk]) -> Sent:
    """In the writer's thread, which has nothing to do with the rows."""
    started = time.perf_counter()
    refused = write(store, lease, chunks)
    unwritten = {key for key, _ in refused}
    ids = [c.chunk_id for c in chunks if c.key not in unwritten]
    return Sent(ids, refused, time.perf_counter() - started)


def write(store: VectorStore, lease: Lease, chunks: Sequence[EmbeddedChunk]) -> list[tuple[str, str]]:
    """Upsert; when Milvus refuses a batch, halve it until the refused row stands alone. Returns what it refused."""
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
    """The rows say what Milvus said, then the claim is forgotten. Returns how many rows were written."""
    with transaction.atomic():
        for key, reason in sent.refused:
            Chunk.objects.filter(key=key).fail(error=reason)
        Chunk.objects.mark_indexed(sent.ids)
        charge_runs(batch.chunks, sent.seconds)
    embedding_queue.confirm(batch.claim)
    return len(sent.ids)


def charge_runs(chunks: Sequence[EmbeddedChunk], seconds: float) -> None:
    """Divide the seconds of a batch among the sources' runs by their rows."""
    for source_id, rows in Counter(c.source_id for c in chunks).items():
        spent = seconds * rows / len(chunks)
        Run.objects.active().filter(source_id=source_id).update(index_seconds=F("index_seconds") + spent)


def recover_lost(started: datetime) -> int:
    """The list is empty now, so a row that was buffered before this drain began and is not indexed
    has lost its record (Redis was wiped): embed it again."""
    lost = Chunk.objects.filter(state=Chunk.State.BUFFERED, buffered_at__lt=started)
    if count := lost.back_to_waiting():
        logger.warning("%d records were lost with Redis or unusable; their chunks are embedded again", count)
    return count


def remove_vanished(turn: Turn) -> bool:
    """Delete what left its document, once the document's new chunks can be found. True when time ran out."""
    while batch := leaving():
        Chunk.objects.filter(id__in=batch, state=Chunk.State.REMOVING).update(state=Chunk.State.DELETING)
        rows = Chunk.objects.filter(id__in=batch, state=Chunk.State.DELETING)
        keys = list(rows.values_list("key", flat=True))
        turn.run(partial(turn.store.delete, keys), keys)
        rows.delete()
        if turn.over():
            return bool(leaving())
    return False


def leaving() -> list[int]:
    busy = Exists(Chunk.objects.filter(document=OuterRef("document"), state__in=Chunk.PENDING))
    rows = Chunk.objects.filter(~busy, state__in=Chunk.LEAVING)
    return list(rows.values_list("id", flat=True)[:DELETE_ROWS])


def remove_doubtful(turn: Turn) -> None:
    """A drain that lost its turn wrote or deleted these. What has no row must not be found, and what has one must be,
    once: two upserts of one key at the same moment are stored twice (Milvus does not put them in order), and one more
    replaces all copies."""
    while keys := embedding_queue.unconfirmed(DELETE_ROWS):
        live = live_among(keys)
        turn.run(partial(turn.store.delete, set(keys) - live))
        amiss = turn.run(partial(not_stored_once, turn.store, list(live)))
        Chunk.objects.filter(key__in=amiss, state=Chunk.State.INDEXED).embed_again()
        embedding_queue.clear_unconfirmed(keys)


def doubt_claimed() -> None:
    """A drain that died may have sent these, and a Milvus that was stopped meanwhile carries out late what it was
    sent: the drain after this one looks whether they are still wanted. (Where Redis has no room left for such notes,
    to empty it comes first.)"""
    keys = []
    for record in embedding_queue.claimed():
        with suppress(BadRecord):
            keys.append(codec.unpack(record).key)
    with suppress(BufferUnavailable):
        embedding_queue.mark_unconfirmed(keys)


def not_stored_once(store: VectorStore, keys: Sequence[str]) -> Collection[str]:
    """Those that are not there; all, when one of them is there twice: Milvus counts, but does not say which."""
    there = store.existing(keys)
    return keys if store.copies(keys) > len(there) else set(keys) - there
