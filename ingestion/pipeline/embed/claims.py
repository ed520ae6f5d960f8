"""Claims waiting chunks for this worker, and gives back or fails those that it cannot finish.

In: waiting Chunk rows. Out: rows claimed under this worker's name, with a lease. Does not embed.

Attempts are counted when a chunk is claimed, before anything is done with it, because a worker that dies cannot
count. A chunk that was in a worker's hands when that died is a suspect: suspects go in ever smaller groups and
without company, so that a chunk that kills its worker is alone the last time, and only that one fails.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from ingestion.coordination.device import device_id
from ingestion.models import Chunk, ChunkQuerySet
from ingestion.pipeline.embed.fair_share import choose_fairly
from ingestion.pipeline.state.transitions import advance

# Suspects in one group, by the attempts counted. A window of 4 000 chunks is down to one chunk after four deaths.
SUSPECTS_AT_A_TIME = {1: 64, 2: 8}
ALONE_ATTEMPTS = len(SUSPECTS_AT_A_TIME) + 2
DIED = "The embedding worker died each time it held this chunk. Look at its text, then use “ingest now”."
# Of the document only what a record needs: its Markdown may be megabytes.
FIELDS = ("key", "digest", "position", "text", "heading", "context", "tokens", "state", "owner", "attempts")
DOCUMENT_FIELDS = ("source_id", "run_id", "url", "title")


def waiting() -> ChunkQuerySet:
    """Return the chunks that wait for the embedder, without those that want a sentence of context first."""
    return Chunk.objects.filter(state=Chunk.State.WAITING, context_wanted=False)


def work_left() -> bool:
    """Return whether chunks wait, or were left by an earlier process on this device."""
    return waiting().exists() or abandoned().exists()


def claim_fresh(most: int) -> list[Chunk]:
    """Claim up to this many chunks that no worker has died of, shared fairly among the sources.

    Where another worker took all of those that were chosen, choose again.
    """
    while ids := choose_fairly(waiting().filter(attempts=0), most):
        if claimed := take(ids):
            return claimed
    return []


def claim_suspects() -> list[Chunk]:
    """Claim a group of suspects, those with the fewest attempts first."""
    rows = waiting().filter(attempts__gt=0).order_by("attempts", "id")
    attempts = rows.values_list("attempts", flat=True).first()
    if attempts is None:
        return []
    group = rows.filter(attempts=attempts)[: SUSPECTS_AT_A_TIME.get(attempts, 1)]
    return take(list(group.values_list("id", flat=True)))


def take(ids: Sequence[int]) -> list[Chunk]:
    """Claim these chunks and return those that are this worker's now, with what a record needs of their documents."""
    if not ids:
        return []
    with transaction.atomic():
        # PostgreSQL's workers on other devices take other rows at the same time, and none waits for another.
        free = waiting().filter(id__in=ids).select_for_update(skip_locked=True).order_by()
        ids = list(free.values_list("id", flat=True)) if connection.features.has_select_for_update else ids
        Chunk.objects.claim(ids, owner=owner(), until=lease_end())
    rows = mine().filter(id__in=ids).order_by("id").select_related("document")
    return list(rows.only(*FIELDS, *(f"document__{name}" for name in DOCUMENT_FIELDS)))


def mine() -> ChunkQuerySet:
    """Return the chunks that this process has claimed and not delivered."""
    return Chunk.objects.filter(state=Chunk.State.EMBEDDING, owner=owner())


def renew() -> int:
    """Renew the lease of all that this process has claimed. Return how many chunks that are."""
    return Chunk.objects.renew(owner=owner(), until=lease_end())


def abandoned() -> ChunkQuerySet:
    """Return the chunks that an earlier process on this device had claimed.

    To be called while this process holds none; the lock on the device keeps others from it.
    """
    return Chunk.objects.filter(state=Chunk.State.EMBEDDING, owner__startswith=f"{device_id()}/")


def fail_exhausted() -> int:
    """Fail chunks whose attempts are used up, the last of them alone. Return how many.

    An error that the model gave stays on the row.
    """
    spent = waiting().filter(attempts__gte=max(settings.MAX_ATTEMPTS, ALONE_ATTEMPTS))
    documents = set(spent.values_list("document_id", flat=True))
    if not documents:
        return 0
    spent.filter(error="").update(error=DIED)
    failed = spent.update(state=Chunk.State.FAILED)
    advance(documents)
    return failed


def owner() -> str:
    """Return the name under which this process claims chunks: host, device and process id."""
    return f"{device_id()}/{os.getpid()}"


def lease_end() -> datetime:
    """Return the time at which a lease that begins now ends."""
    return timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
