"""Which waiting chunks this worker takes next, and what becomes of those that it cannot finish.

Attempts are counted when a chunk is claimed, before anything is done with it, because a worker that dies cannot
count. A chunk that was in a worker's hands when that died is a suspect: suspects go in ever smaller groups and
without company, so that a chunk that kills its worker is alone the last time, and only that one fails.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from ingestion.coordination.device import device_id
from ingestion.models import Chunk, ChunkQuerySet
from ingestion.pipeline.embed.fair_share import in_turns
from ingestion.pipeline.state.transitions import advance

# Suspects at a time, by the attempts that were counted. A window of 4 000 is down to one chunk after four deaths.
SUSPECTS_AT_A_TIME = {1: 64, 2: 8}
ALONE_ATTEMPTS = len(SUSPECTS_AT_A_TIME) + 2
DIED = "The embedding worker died each time it held this chunk. Look at its text, then use “ingest now”."
# Of the document only what a record needs: its Markdown may be megabytes.
FIELDS = ("key", "digest", "position", "text", "heading", "tokens", "state", "owner", "attempts")
DOCUMENT_FIELDS = ("source_id", "run_id", "url", "title")


def waiting() -> ChunkQuerySet:
    return Chunk.objects.filter(state=Chunk.State.WAITING)


def work_left() -> bool:
    return waiting().exists() or abandoned().exists()


def fresh(most: int) -> list[Chunk]:
    """Claim up to this many chunks that no worker has died of."""
    return take(in_turns(waiting().filter(attempts=0), most))


def suspects() -> list[Chunk]:
    """Claim a group of suspects, those with the fewest attempts first."""
    rows = waiting().filter(attempts__gt=0).order_by("attempts", "id")
    attempts = rows.values_list("attempts", flat=True).first()
    if attempts is None:
        return []
    group = rows.filter(attempts=attempts)[: SUSPECTS_AT_A_TIME.get(attempts, 1)]
    return take(list(group.values_list("id", flat=True)))


def take(ids: Sequence[int]) -> list[Chunk]:
    if not ids:
        return []
    Chunk.objects.claim(ids, owner=owner(), until=lease_end())
    rows = mine().filter(id__in=ids).order_by("id").select_related("document")
    return list(rows.only(*FIELDS, *(f"document__{name}" for name in DOCUMENT_FIELDS)))


def mine() -> ChunkQuerySet:
    return Chunk.objects.filter(state=Chunk.State.EMBEDDING, owner=owner())


def renew() -> int:
    return Chunk.objects.renew(owner=owner(), until=lease_end())


def release_with_error(reason: str) -> int:
    """Some of what this worker holds made the model fail: the attempt counts."""
    return mine().back_to_waiting(error=reason)


def reclaim() -> int:
    """Take back what an earlier process in this place held. The attempt counts: it may have died of it."""
    return abandoned().back_to_waiting()


def abandoned() -> ChunkQuerySet:
    """Claims in this place. Called when this process holds none, and no other one shares its device."""
    return Chunk.objects.filter(state=Chunk.State.EMBEDDING, owner__startswith=f"{device_id()}/")


def fail_exhausted() -> int:
    """Fail chunks whose attempts are used up, the last of them alone; the model's own words stay on the row."""
    spent = waiting().filter(attempts__gte=max(settings.MAX_ATTEMPTS, ALONE_ATTEMPTS))
    documents = set(spent.values_list("document_id", flat=True))
    if not documents:
        return 0
    spent.filter(error="").update(error=DIED)
    failed = spent.update(state=Chunk.State.FAILED)
    advance(documents)
    return failed


def fail_waiting(error: str) -> None:
    """Without a model nothing can be embedded: say so on every document that waits for it."""
    rows = Chunk.objects.filter(state__in=(Chunk.State.WAITING, Chunk.State.EMBEDDING))
    documents = set(rows.values_list("document_id", flat=True))
    rows.fail(error=error)
    advance(documents)


def owner() -> str:
    return f"{device_id()}/{os.getpid()}"


def lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
