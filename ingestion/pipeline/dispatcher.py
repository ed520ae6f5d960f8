"""What may start now: the one mechanism for order, fairness, bounds, retry times and recovery.

``tick`` looks at the rows, takes back what lost its lease, and says what to send; it sends nothing
itself. Beat calls it every DISPATCH_SECONDS, and workers when they run short of work. Two ticks at once are harmless.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils import timezone

from ingestion.buffer import embedding_queue
from ingestion.coordination import circuit_breaker
from ingestion.coordination.celery_queues import queue_length
from ingestion.models import Chunk, Document, DocumentQuerySet, Run, RunQuerySet, Source, has_documents, open_sources
from ingestion.pipeline.embed.claims import fail_exhausted
from ingestion.pipeline.state.runs import forget_removed_sources, start_due_runs
from ingestion.pipeline.state.transitions import TO_EMBED, advance, explain_wait, finish_runs

DIED = (
    "The worker died each time it held this document, or was stopped 15 s after PAGE_TIME_LIMIT_SECONDS. Look at its "
    "page and its size, then use “ingest now”."
)


@dataclass(frozen=True, slots=True)
class Work:
    """What to send: runs to list, (document, attempt) pairs to process, and whether to embed and drain."""

    runs: tuple[int, ...] = ()
    documents: tuple[tuple[int, int], ...] = ()
    embed: bool = False
    drain: bool = False


def tick() -> Work:
    """Recover, settle, and choose what starts."""
    recover()
    advance()
    finish_runs()
    forget_removed_sources()
    start_due_runs()
    return Work(
        runs=tuple(runs_to_list()),
        documents=start_documents(),
        embed=embedding_wanted(),
        drain=drain_wanted(),
    )


def recover() -> None:
    """Take back documents and chunks whose worker vanished. It looks first: a statement that changes nothing would lock
    the database for writing all the same."""
    expired = Document.objects.expired()
    if expired.exists():
        take_back(expired)
    if Chunk.objects.expired().exists():
        Chunk.objects.expired().back_to_waiting()
    fail_exhausted()


def take_back(expired: DocumentQuerySet) -> None:
    """Back in line, or quarantined after too many attempts."""
    now = timezone.now()
    expired.filter(attempts__gte=settings.MAX_ATTEMPTS).update(
        state=Document.State.QUARANTINED, error=DIED, lease_until=None, updated_at=now
    )
    expired.update(state=Document.State.WAITING, lease_until=None, updated_at=now)


def runs_to_list() -> Iterator[int]:
    leased = Run.objects.lease_for_listing(until=lease_end(settings.LIST_TIME_LIMIT_SECONDS + settings.LEASE_SECONDS))
    yield from leased.values_list("id", flat=True)


def start_documents() -> tuple[tuple[int, int], ...]:
    """Lease waiting documents, as many as the bounds allow."""
    with transaction.atomic():
        chosen = choose_documents()
        Document.objects.lease([d for d, _ in chosen], until=lease_end(settings.LEASE_SECONDS))
    return tuple(chosen)


def choose_documents() -> list[tuple[int, int]]:
    """Each goes to the source that has fewest in flight by then, so that one that comes late, a refresh of a few
    pages, catches up at once with one that has had all the room."""
    flying = in_flight_by_source()
    room = settings.MAX_DOCUMENTS_IN_FLIGHT - sum(flying.values())
    if room <= 0:
        return []
    line = heapq.nsmallest(room, ((flying.get(s.pk, 0), s.pk, allowance(s)) for s in ready_sources()))
    turns = heapq.merge(*(places(pk, held, min(limit, held + room)) for held, pk, limit in line))
    return [document for _, _, document in islice(turns, room)]


def places(source_id: int, held: int, limit: int) -> list[tuple[int, int, tuple[int, int]]]:
    """A source's next documents, each with the number that it has in flight before that one."""
    rows = Document.objects.due().filter(source_id=source_id).values_list("id", "attempts")
    return [(held + n, source_id, row) for n, row in enumerate(rows[: max(0, limit - held)])]


def ready_sources() -> QuerySet[Source]:
    return startable_sources().exclude(id__in=far_ahead())


def startable_sources() -> QuerySet[Source]:
    """Those that have a page to fetch now and may be asked for it."""
    due = Document.objects.due().filter(source=OuterRef("pk")).order_by()
    return open_sources().filter(Exists(due))


def far_ahead() -> list[int]:
    """While the embedder is far behind, the sources that have filled their share of its line; the others go on,
    so that the line is at most twice as long as MAX_CHUNKS_WAITING."""
    waiting = Chunk.objects.filter(state__in=TO_EMBED)
    if (total := waiting.count()) < settings.MAX_CHUNKS_WAITING:
        return []
    share = settings.MAX_CHUNKS_WAITING / max(1, Run.objects.active().count())
    counted = dict(waiting.order_by().values_list("document__source").annotate(n=Count("*")))
    ahead = [source_id for source_id, n in counted.items() if n >= share]
    explain_wait(f"Fetching pauses: {total} chunks wait for the embedder (MAX_CHUNKS_WAITING).", source_ids=ahead)
    return ahead


def in_flight_by_source() -> dict[int, int]:
    rows = Document.objects.filter(state=Document.State.FETCHING).order_by()
    return dict(rows.values_list("source").annotate(n=Count("*")))


def allowance(source: Source) -> int:
    """How many documents of a source may be in flight: what its host takes until the next tick but one. More
    would only stand in line, and take the room of sources that are faster."""
    delay = settings.CRAWL_DELAY_SECONDS if source.delay_seconds is None else source.delay_seconds
    if source.kind not in Source.WEB or not delay:
        return int(settings.MAX_DOCUMENTS_IN_FLIGHT)
    return max(1, math.ceil(2 * settings.DISPATCH_SECONDS / delay))


def runs_short_of_work() -> bool:
    """Whether so little is in flight that a worker should not wait for the next beat."""
    in_flight = Document.objects.filter(state=Document.State.FETCHING).count()
    return in_flight <= settings.MAX_DOCUMENTS_IN_FLIGHT // 2 and startable_sources().exists()


def embedding_wanted() -> bool:
    """Chunks wait and no message says so yet."""
    waiting = Chunk.objects.filter(state=Chunk.State.WAITING).exists()
    return waiting and queue_length("gpu") == 0


def drain_wanted() -> bool:
    """A full batch waits, or a run or everything has nothing left to embed while records or deletions wait, or it is
    time to look whether Milvus answers again."""
    if known := circuit_breaker.current():
        return not known.pauses()
    if embedding_queue.length() >= settings.EMBEDDINGS_BATCH_ROWS or runs_to_index().exists():
        return True
    if Chunk.objects.filter(state__in=TO_EMBED).exists():
        return False
    unfinished = (Chunk.State.BUFFERED, *Chunk.LEAVING)
    return Chunk.objects.filter(state__in=unfinished).exists()


def runs_to_index() -> RunQuerySet:
    """Runs whose vectors are all made and only have to be written: a small one does not wait for a large one."""
    made = has_documents(Document.State.INDEXING)
    earlier = has_documents(Document.State.WAITING, Document.State.FETCHING, Document.State.EMBEDDING)
    return Run.objects.filter(made, ~earlier, state=Run.State.RUNNING).order_by()


def lease_end(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)
