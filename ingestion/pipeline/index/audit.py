"""Compares all rows with what Milvus holds, key by key, and repairs what differs.

In: Chunk rows and the collection that is written. Out: ``Report``, chunks that wait for the embedder again, and keys
deleted from Milvus. Raises VectorStoreUnavailable and BufferUnavailable when Milvus or Redis does not answer.

``missing``    the row says indexed, Milvus has no such key: the chunk waits for the embedder again
``orphan``     Milvus has a key that no row has: deleted
``duplicate``  Milvus has a key more than once: written again, which replaces all of them
``stale``      Milvus names another document or source than the row: written again

A key is a hash of where a text stands and of the text itself, so a row that Milvus holds under the right key has the
right text. Both sides are read in the order of their keys and merged, a thousand at a time, while everything else goes
on: what seems to differ is looked at once more, rows in flight are left alone, and nothing is deleted while a drain
writes.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.utils import timezone

from ingestion.coordination import circuit_breaker
from ingestion.coordination.locks import hold
from ingestion.exceptions import IngestionError
from ingestion.models import Chunk, ChunkQuerySet, Collection, ContextSentence, Source
from ingestion.pipeline.index.completeness import is_asked_for
from ingestion.pipeline.state.collections import drop_retired, written_store
from ingestion.types import Json
from ingestion.vector_store.store import Entry, VectorStore, import_without_pandas

logger = logging.getLogger(__name__)

T = TypeVar("T")
KINDS = ("missing", "orphan", "duplicate", "stale")
# Keys in one question to Milvus or the database.
KEYS_AT_ONCE = 1000
# Longer than a thousand keys take, a wait for a drain included; the lock is renewed with each thousand.
LEASE_SECONDS = 120.0
# A drain gives its lock back after 48 s at the latest.
DRAIN_PATIENCE_SECONDS = 60.0


@dataclass(slots=True)
class Report:
    """How many keys of each kind were found, in all and by source id; ``repaired`` counts keys."""

    found: Counter[str] = field(default_factory=Counter)
    sources: dict[int, Counter[str]] = field(default_factory=dict)
    repaired: int = 0

    @property
    def missing(self) -> int:
        """Return how many chunks Milvus lacked."""
        return self.found["missing"]

    @property
    def unrepaired(self) -> int:
        """Return how many findings are left."""
        return self.found.total() - self.repaired

    def add(self, kind: str, findings: Iterable[Finding]) -> None:
        """Count findings of one kind."""
        for finding in findings:
            self.found[kind] += 1
            self.sources.setdefault(finding.source_id, Counter())[kind] += 1

    def as_json(self) -> Json:
        """Return the counts of all sources, as they are stored and printed."""
        return {kind: self.found[kind] for kind in KINDS} | {"repaired": self.repaired}


class Row(NamedTuple):
    """What the database says of a key. ``expected``: Milvus should have it."""

    key: str
    source_id: int
    document_id: int
    state: str
    expected: bool


class Finding(NamedTuple):
    """A key that is not as it should be, or seems so."""

    key: str
    source_id: int


def audit(*, repair: bool, source: Source | None = None) -> Report | None:
    """Compare all keys, or those of one source, and repair what can be. None while another audit is at work.

    The result of a whole audit is noted on the collection's row.
    """
    import_without_pandas()
    with hold("audit", seconds=LEASE_SECONDS) as lease:
        if lease is None:
            return None
        store, report = written_store(), Report()
        rows = rows_by_key(Chunk.objects.filter(document__source=source) if source else Chunk.objects.all())
        entries = store.entries(source.pk if source else None)
        for pairs in batched(paired(rows, entries), KEYS_AT_ONCE):
            lease.renew()
            settle(store, pairs, report, repair=repair)
        if source is None:
            note(store, report)
        return report


def audit_if_due() -> None:
    """Drop collections that are out of use and, when an audit is due, repair and log what it found, and tidy up.

    An audit is due AUDIT_SECONDS after the last one, or as soon as chunks are known to be missing. Beat asks for this
    once a minute. Nothing is done until the drain finds Milvus well again.
    """
    if circuit_breaker.current():
        return
    import_without_pandas()
    try:
        drop_retired()
        row = Collection.objects.written()
        if row is None:
            return
        # A last audit that lies ahead was noted by a clock that was wrong.
        last = datetime.fromisoformat(row.audit["at"]) if "at" in row.audit else row.created_at
        age = (timezone.now() - last).total_seconds()
        if 0 <= age < settings.AUDIT_SECONDS and not is_asked_for(row):
            return
        report = audit(repair=True)
        ContextSentence.objects.forget_unused()
    except IngestionError as error:
        logger.warning("the audit was not finished: %s", error)
        return
    if report:
        level = logging.WARNING if report.found.total() else logging.INFO
        logger.log(level, "audit: %s", report.as_json())


def note(store: VectorStore, report: Report) -> None:
    """Leave the result on the collection's row."""
    result = report.as_json() | {"at": timezone.now().isoformat(timespec="seconds")}
    Collection.objects.filter(name=store.name).update(audit=result)


# --- Both sides in the order of their keys ------------------------------------------------------------


def rows_by_key(scope: ChunkQuerySet) -> Iterator[Row]:
    """Yield every row in the order of keys, read a thousand at a time, so that no reader is open for long.

    While a collection is being filled, only what has been compared with it is expected there.
    """
    filled = Collection.objects.written()
    bound = filled.checked_to if filled and filled.checked_to != filled.last_chunk else None
    fields = ("key", "document__source_id", "document_id", "state", "id")
    ordered = scope.order_by("key").values_list(*fields)
    last = ""
    while page := list(ordered.filter(key__gt=last)[:KEYS_AT_ONCE]):
        for key, source_id, document_id, state, pk in page:
            expected = state == Chunk.State.INDEXED and (bound is None or pk <= bound)
            yield Row(key, source_id, document_id, state, expected)
        last = page[-1][0]


def paired(rows: Iterable[Row], entries: Iterable[Entry]) -> Iterator[tuple[Row | None, Entry | None]]:
    """Yield the row and the entry of each key; one of them may be missing. Both must come in the order of keys."""
    merged = merge(((r.key, 0, r) for r in rows), ((e.key, 1, e) for e in entries), key=itemgetter(0))
    for _, both in groupby(merged, key=itemgetter(0)):
        sides: dict[int, Any] = {side: value for _, side, value in both}
        yield sides.get(0), sides.get(1)


# --- What differs -------------------------------------------------------------------------------------


def settle(
    store: VectorStore, pairs: Sequence[tuple[Row | None, Entry | None]], report: Report, *, repair: bool
) -> None:
    """Look once more at what seems to differ, count in ``report`` what does differ and, with ``repair``, repair it."""
    for kind, findings in differences(store, pairs).items():
        certain = CONFIRM[kind](store, findings) if findings else []
        report.add(kind, certain)
        if certain and repair:
            report.repaired += REPAIR[kind](store, certain)


def differences(store: VectorStore, pairs: Sequence[tuple[Row | None, Entry | None]]) -> dict[str, list[Finding]]:
    """Return kind -> keys that seem to differ in that way."""
    found: dict[str, list[Finding]] = {kind: [] for kind in KINDS}
    both = []
    for row, entry in pairs:
        if row is None and entry is not None:
            found["orphan"].append(Finding(entry.key, entry.source_id))
        elif row is not None and entry is None and row.expected:
            found["missing"].append(Finding(row.key, row.source_id))
        elif row is not None and entry is not None:
            both.append(Finding(row.key, row.source_id))
            named_alike = (entry.source_id, entry.document_id) == (row.source_id, row.document_id)
            if row.state == Chunk.State.INDEXED and not named_alike:  # others are about to be written anyway
                found["stale"].append(both[-1])
    found["duplicate"] = duplicated(store, both)
    return found


def duplicated(store: VectorStore, findings: list[Finding]) -> list[Finding]:
    """Return the keys that are stored more than once; halves are looked into only where the count is too large."""
    if store.copies([f.key for f in findings]) <= len(findings):
        return []
    if len(findings) == 1:
        return findings
    half = len(findings) // 2
    return duplicated(store, findings[:half]) + duplicated(store, findings[half:])


def still_missing(store: VectorStore, findings: list[Finding]) -> list[Finding]:
    """Return what Milvus still lacks and the rows still say is indexed.

    Milvus is asked first: a chunk leaves Milvus only after its row has stopped saying indexed.
    """
    held = store.existing([f.key for f in findings])
    return [f for f in still_indexed(store, findings) if f.key not in held]


def still_orphans(store: VectorStore, findings: list[Finding]) -> list[Finding]:
    """Return what still has no row and is still in Milvus."""
    known = set(Chunk.objects.filter(key__in=[f.key for f in findings]).values_list("key", flat=True))
    held = store.existing([f.key for f in findings if f.key not in known])
    return [f for f in findings if f.key in held]


def still_indexed(store: VectorStore, findings: list[Finding]) -> list[Finding]:
    """Return what the rows still say is indexed."""
    rows = Chunk.objects.filter(key__in=[f.key for f in findings], state=Chunk.State.INDEXED)
    indexed = set(rows.values_list("key", flat=True))
    return [f for f in findings if f.key in indexed]


def embed_again(store: VectorStore, findings: list[Finding]) -> int:
    """Let indexed chunks wait for the embedder again. Return how many."""
    return Chunk.objects.filter(key__in=[f.key for f in findings], state=Chunk.State.INDEXED).embed_again()


def delete_orphans(store: VectorStore, findings: list[Finding]) -> int:
    """Delete keys without a row from Milvus, and return how many; none when a drain keeps its lock for too long.

    The drain's lock is held meanwhile, so that a text that came back is not deleted right after it was written.
    """
    deadline = time.monotonic() + DRAIN_PATIENCE_SECONDS
    while True:
        with hold("drain", seconds=LEASE_SECONDS) as lease:
            if lease:
                certain = still_orphans(store, findings)
                lease.renew()
                store.delete([f.key for f in certain])
                return len(certain)
        if time.monotonic() > deadline:
            logger.warning("%d orphans are left for the next audit: a drain is at work", len(findings))
            return 0
        time.sleep(0.1)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items, the last one shorter; ``itertools`` has this from Python 3.12 on."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


CONFIRM = {
    "missing": still_missing,
    "orphan": still_orphans,
    "duplicate": still_indexed,
    "stale": still_indexed,
}
REPAIR = {
    "missing": embed_again,
    "orphan": delete_orphans,
    "duplicate": embed_again,
    "stale": embed_again,
}
