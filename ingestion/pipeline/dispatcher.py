"""Decides what may start now: order, fairness, bounds, retry times and recovery in one place.

In: the rows, the length of the queue ``gpu``, the buffer and the state of Milvus. Out: ``Work``, which says what to
send. Does not send anything itself.

Beat calls ``tick`` every DISPATCH_SECONDS; workers call ``start_documents`` when they run short of work. Two calls at
once are harmless.
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
from ingestion.models import Chunk, Document, Run, Source, has_chunks, has_documents, open_sources
from ingestion.pipeline.describe.describe_waiting import describing_wanted
from ingestion.pipeline.embed import answer_questions
from ingestion.pipeline.embed.claims import fail_exhausted, waiting
from ingestion.pipeline.state.held_up import held_up_sources
from ingestion.pipeline.state.removals import release_duplicates
from ingestion.pipeline.state.runs import forget_removed_sources, start_due_runs
from ingestion.pipeline.state.transitions import TO_EMBED, advance, explain_wait, finish_runs

DIED = (
    "The worker died each time it held this document, or was stopped 15 s after PAGE_TIME_LIMIT_SECONDS. Look at its "
    "page and its size, then use “ingest now”."
)


@dataclass(frozen=True, slots=True)
class Work:
    """What to send: runs to list, (document id, attempt) pairs to process, whether to describe, embed and drain."""

    runs: tuple[int, ...] = ()
    documents: tuple[tuple[int, int], ...] = ()
    describe: bool = False
    embed: bool = False
    drain: bool = False


def tick() -> Work:
    """Recover lost work, move documents and runs on, and return what starts now."""
    recover()
    advance()
    finish_runs()
    forget_removed_sources()
    start_due_runs()
    return Work(
        runs=tuple(runs_to_list()),
        documents=start_documents(),
        # One message is enough for all chunks that wait: none is sent while one is queued.
        embed=(waiting().exists() or answer_questions.wanted()) and queue_length("gpu") == 0,
        describe=describing_wanted(),
        drain=drain_wanted(),
    )


def recover() -> None:
    """Take back documents and chunks whose worker vanished; those without attempts left are quarantined or failed.

    It looks before it writes: an UPDATE that changes no row would lock the database for writing all the same.
    """
    expired = Document.objects.expired()
    if expired.exists():
        now = timezone.now()
        spent = list(expired.filter(attempts__gte=settings.MAX_ATTEMPTS).values_list("id", flat=True))
        expired.filter(id__in=spent).update(
            state=Document.State.QUARANTINED, error=DIED, lease_until=None, updated_at=now
        )
        held = has_chunks(*Chunk.PENDING, Chunk.State.INDEXED, Chunk.State.FAILED)
        without_text = Document.objects.filter(~held, id__in=spent)
        release_duplicates(list(without_text.values_list("id", flat=True)))
        expired.update(state=Document.State.WAITING, lease_until=None, updated_at=now)
    if Chunk.objects.expired().exists():
        Chunk.objects.expired().back_to_waiting()
    fail_exhausted()


def runs_to_list() -> Iterator[int]:
    """Lease the runs whose source may be listed now, and yield their ids."""
    leased = Run.objects.lease_for_listing(until=lease_end(settings.LIST_TIME_LIMIT_SECONDS + settings.LEASE_SECONDS))
    yield from leased.values_list("id", flat=True)


@transaction.atomic
def start_documents() -> tuple[tuple[int, int], ...]:
    """Lease as many waiting documents as the bounds allow, and return their (document id, attempts) pairs.

    Each goes to the source that has the fewest documents in flight by then, so that a source that comes late, such as
    a refresh of a few pages, catches up at once with one that has had all the room. Of a source whose run the
    surroundings hold up, one document is tried at a time.
    """
    in_flight = Document.objects.filter(state=Document.State.FETCHING).order_by()
    by_source = dict(in_flight.values_list("source").annotate(n=Count("*")))
    room = settings.MAX_DOCUMENTS_IN_FLIGHT - sum(by_source.values())
    if room <= 0:
        return ()
    held_up, to_try = held_up_sources()
    sources = startable_sources().exclude(id__in=[*sources_far_ahead(), *held_up])
    bounds = {source.pk: 1 if source.pk in to_try else flight_bound(source) for source in sources}
    queues = []
    for held, pk, bound in heapq.nsmallest(room, ((by_source.get(pk, 0), pk, bound) for pk, bound in bounds.items())):
        rows = Document.objects.due().filter(source_id=pk).values_list("id", "attempts")
        # Each document with the number that its source has in flight before it.
        queues.append([(held + n, pk, row) for n, row in enumerate(rows[: max(0, min(bound - held, room))])])
    chosen = tuple(document for _, _, document in islice(heapq.merge(*queues), room))
    Document.objects.lease([document_id for document_id, _ in chosen], until=lease_end(settings.LEASE_SECONDS))
    return chosen


def startable_sources() -> QuerySet[Source]:
    """Return the sources that have a document to fetch now and may be asked for it."""
    due = Document.objects.due().filter(source=OuterRef("pk")).order_by()
    return open_sources().filter(Exists(due))


def sources_far_ahead() -> list[int]:
    """Return the ids of sources whose fetching pauses because the embedder is far behind, and say so on their runs.

    With MAX_CHUNKS_WAITING chunks waiting, each source that has its equal share of them pauses. The others go on, so
    that at most twice as many wait.
    """
    to_embed = Chunk.objects.filter(state__in=TO_EMBED)
    if (total := to_embed.count()) < settings.MAX_CHUNKS_WAITING:
        return []
    share = settings.MAX_CHUNKS_WAITING / max(1, Run.objects.active().count())
    counted = dict(to_embed.order_by().values_list("document__source").annotate(n=Count("*")))
    ahead = [source_id for source_id, n in counted.items() if n >= share]
    explain_wait(f"Fetching pauses: {total} chunks wait for the embedder (MAX_CHUNKS_WAITING).", source_ids=ahead)
    return ahead


def flight_bound(source: Source) -> int:
    """Return how many documents of a source may be in flight: what its host takes until the next tick but one.

    More would only wait for the host, and take the room of sources that are faster.
    """
    delay = settings.CRAWL_DELAY_SECONDS if source.delay_seconds is None else source.delay_seconds
    if source.kind not in Source.WEB or not delay:
        return int(settings.MAX_DOCUMENTS_IN_FLIGHT)
    return max(1, math.ceil(2 * settings.DISPATCH_SECONDS / delay))


def runs_short_of_work() -> bool:
    """Return whether so little is in flight that documents should start before the next tick."""
    in_flight = Document.objects.filter(state=Document.State.FETCHING).count()
    return in_flight <= settings.MAX_DOCUMENTS_IN_FLIGHT // 2 and startable_sources().exists()


def drain_wanted() -> bool:
    """Return whether a drain should start now.

    One should when a full batch waits, when a run or everything has nothing left to embed while records or deletions
    wait, or when it is time to look whether Milvus answers again.
    """
    if known := circuit_breaker.current():
        return not known.pauses()
    if embedding_queue.length() >= settings.EMBEDDINGS_BATCH_ROWS:
        return True
    # A run whose vectors are all made only has to be written: a small one does not wait for a large one.
    made = has_documents(Document.State.INDEXING)
    earlier = has_documents(Document.State.WAITING, Document.State.FETCHING, Document.State.EMBEDDING)
    if Run.objects.filter(made, ~earlier, state=Run.State.RUNNING).order_by().exists():
        return True
    if Chunk.objects.filter(state__in=TO_EMBED).exists():
        return False
    unfinished = (Chunk.State.BUFFERED, *Chunk.LEAVING)
    return Chunk.objects.filter(state__in=unfinished).exists()


def lease_end(seconds: float) -> datetime:
    """Return the time at which a lease of so many seconds that begins now ends."""
    return timezone.now() + timedelta(seconds=seconds)
