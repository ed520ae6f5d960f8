"""What may start now: the one mechanism for order, fairness, bounds, retry times and recovery.

``tick`` looks at the rows, takes back what lost its lease, and says what to send; it sends nothing
itself. Beat calls it every DISPATCH_SECONDS, and workers when they run short of work. Two ticks at once are harmless.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
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
    leased = Run.objects.lease_for_listing(until=lease_end(settings.PAGE_TIME_LIMIT_SECONDS))
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
    startable = Document.objects.startable()
    sources = list(Source.objects.filter(id__in=startable.order_by().values("source")))
    chosen: list[tuple[int, int]] = []
    for left, source in zip(range(len(sources), 0, -1), sources, strict=True):
        share = -(-(room - len(chosen)) // left)
        chosen += startable.filter(source=source).values_list("id", "attempts")[:share]
    return chosen


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
