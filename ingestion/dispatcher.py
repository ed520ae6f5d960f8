"""What may start now: the one mechanism for order, fairness, bounds, retry times and recovery.

``tick`` looks at the rows, takes back what lost its lease, and says what to send; it sends nothing
itself. Beat calls it every DISPATCH_SECONDS, and workers when they run short of work. Two ticks at once are harmless.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from ingestion import buffer
from ingestion.models import Chunk, Document, Run, Source
from ingestion.pipeline.embedding import give_up
from ingestion.pipeline.progress import TO_EMBED, advance, explain_wait, finish_runs
from ingestion.pipeline.runs import forget_removed_sources, start_due_runs

DIED = "The worker died each time it held this document. Look at its page and its size, then use “ingest now”."


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
    """Take back documents and chunks whose worker vanished; too many attempts mean quarantine."""
    expired = Document.objects.filter(state=Document.State.FETCHING, lease_until__lt=timezone.now())
    now = timezone.now()
    expired.filter(attempts__gte=settings.MAX_ATTEMPTS).update(
        state=Document.State.QUARANTINED, error=DIED, lease_until=None, updated_at=now
    )
    expired.update(state=Document.State.WAITING, lease_until=None, updated_at=now)
    Chunk.objects.expired().back_to_waiting()
    give_up()


def runs_to_list() -> Iterator[int]:
    leased = Run.objects.lease_for_listing(until=lease_end(settings.LIST_TIME_LIMIT_SECONDS + settings.LEASE_SECONDS))
    yield from leased.values_list("id", flat=True)


def start_documents() -> tuple[tuple[int, int], ...]:
    """Lease waiting documents: the same number for each source, as far as the bounds allow."""
    with transaction.atomic():
        chosen = choose_documents(room())
        Document.objects.lease([d for d, _ in chosen], until=lease_end(settings.LEASE_SECONDS))
    return tuple(chosen)


def room() -> int:
    """How many more documents may be in flight; none while the embedder is far behind."""
    waiting = Chunk.objects.filter(state__in=TO_EMBED).count()
    if waiting >= settings.MAX_CHUNKS_WAITING:
        explain_wait(f"Fetching pauses: {waiting} chunks wait for the embedder (MAX_CHUNKS_WAITING).")
        return 0
    in_flight = Document.objects.filter(state=Document.State.FETCHING).count()
    return max(0, int(settings.MAX_DOCUMENTS_IN_FLIGHT) - in_flight)


def choose_documents(room: int) -> list[tuple[int, int]]:
    """Those that may take least choose first, so that what they leave goes to the others."""
    startable = Document.objects.startable()
    flying = in_flight_by_source()
    sources = Source.objects.filter(id__in=startable.order_by().values("source"))
    limits = sorted((allowance(source) - flying.get(source.pk, 0), source.pk) for source in sources)
    chosen: list[tuple[int, int]] = []
    for left, (limit, source_id) in zip(range(len(limits), 0, -1), limits, strict=True):
        share = min(-(-(room - len(chosen)) // left), limit)
        chosen += startable.filter(source_id=source_id).values_list("id", "attempts")[: max(share, 0)]
    return chosen


def in_flight_by_source() -> dict[int, int]:
    rows = Document.objects.filter(state=Document.State.FETCHING).order_by()
    return dict(rows.values_list("source").annotate(n=Count("id")))


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
    return in_flight <= settings.MAX_DOCUMENTS_IN_FLIGHT // 2 and Document.objects.startable().exists()


def embedding_wanted() -> bool:
    """Chunks wait and no message says so yet."""
    waiting = Chunk.objects.filter(state=Chunk.State.WAITING).exists()
    return waiting and buffer.queue_length("gpu") == 0


def drain_wanted() -> bool:
    """A full batch waits, or nothing is left to embed while records or deletions wait."""
    if buffer.length() >= settings.EMBEDDINGS_BATCH_ROWS:
        return True
    if Chunk.objects.filter(state__in=TO_EMBED).exists():
        return False
    unfinished = (Chunk.State.BUFFERED, *Chunk.LEAVING)
    return Chunk.objects.filter(state__in=unfinished).exists()


def lease_end(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)
