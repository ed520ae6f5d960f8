"""Waiting chunks -> records in the buffer: what the GPU worker does.

Chunks of many documents are claimed at once, with a lease, so that batches are filled by tokens and
not by page. Records are pushed at least once a second, then the rows are marked. A chunk whose
batch failed twice is embedded alone; one that fails ``MAX_ATTEMPTS`` times is failed with the reason.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from ingestion import buffer
from ingestion.embedder import Embedder, load_model
from ingestion.exceptions import BadRecord, ModelError
from ingestion.models import Chunk, ChunkQuerySet, Run
from ingestion.pipeline.progress import advance, explain_wait
from ingestion.pipeline.twins import credit_runs, known_vectors
from ingestion.types import EmbeddedChunk, Vectors, embedding_text

logger = logging.getLogger(__name__)

# Long enough that starting a task costs nothing, short enough for a stop between two tasks.
TIME_SLICE_SECONDS = 20.0
PUSH_EVERY_SECONDS = 1.0
# From this attempt on a chunk is suspected of killing its batch and goes alone.
SUSPECT_ATTEMPTS = 2


def embed_waiting() -> bool:
    """Embed for one time slice. True when chunks still wait and there is room for their vectors."""
    if not Chunk.objects.filter(state=Chunk.State.WAITING).exists() and not orphaned().exists():
        return False
    try:
        embedder = load_model(settings.EMBED_DEVICE)
    except ModelError as error:
        fail_waiting(str(error))
        return False
    orphaned().back_to_waiting()
    deadline = time.monotonic() + TIME_SLICE_SECONDS
    while time.monotonic() < deadline:
        if not has_room() or not embed_claim(embedder):
            return False
    return True


def has_room() -> bool:
    """Whether the buffer is below its cap; otherwise the runs say what they wait for."""
    if buffer.size_bytes() < settings.EMBEDDINGS_MAX_BYTES:
        return True
    explain_wait("Embedding pauses: the buffer is full. It goes on when Milvus has taken vectors.")
    return False


def embed_claim(embedder: Embedder) -> int:
    """Claim chunks, embed them, push their records. Returns how many were claimed.

    When the model fails, its claim goes back with the reason on the rows, and the error goes on up.
    """
    give_up()
    chunks = claim()
    try:
        embed_and_deliver(embedder, chunks)
    except RuntimeError as error:
        mine = Chunk.objects.filter(state=Chunk.State.EMBEDDING, owner=owner())
        mine.back_to_waiting(error=f"{type(error).__name__}: {error}")
        raise
    return len(chunks)


def embed_and_deliver(embedder: Embedder, chunks: Sequence[Chunk]) -> None:
    """Embed each text once; chunks whose text has a vector already, here or in the index, take that one."""
    known = known_vectors(chunks)
    copies = [chunk for chunk in chunks if chunk.digest in known]
    deliver([(chunk, known[chunk.digest]) for chunk in copies], seconds=0.0, copied=True)
    alike: dict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        if chunk.digest not in known:
            alike[chunk.digest or chunk.key].append(chunk)
    embed_groups(embedder, list(alike.values()))


def embed_groups(embedder: Embedder, groups: Sequence[Sequence[Chunk]]) -> None:
    """One text a group. Records are pushed at least once a second."""
    texts = [embedding_text(group[0].heading, group[0].text) for group in groups]
    outbox: list[tuple[Chunk, Vectors]] = []
    twins: list[tuple[Chunk, Vectors]] = []
    last = time.monotonic()
    for positions, vectors in embedder.embed_batches(texts):
        for position, vector in zip(positions, vectors, strict=True):
            first, *others = groups[position]
            outbox.append((first, vector))
            twins += [(other, vector) for other in others]
        if time.monotonic() - last >= PUSH_EVERY_SECONDS:
            deliver(outbox, seconds=time.monotonic() - last)
            outbox, last = [], time.monotonic()
    deliver(outbox, seconds=time.monotonic() - last)
    deliver(twins, seconds=0.0, copied=True)


def give_up() -> int:
    """Fail chunks whose attempts are used up; the model's own words stay on the row."""
    spent = Chunk.objects.filter(state=Chunk.State.WAITING, attempts__gte=settings.MAX_ATTEMPTS)
    documents = list(spent.values_list("document_id", flat=True))
    if documents:
        spent.filter(error="").update(error="The embedding worker died each time it held this chunk.")
        failed = spent.update(state=Chunk.State.FAILED)
        advance(documents)
        return failed
    return 0


def claim() -> list[Chunk]:
    """Lease waiting chunks to this process: a full claim of fresh ones, or one suspect."""
    waiting = Chunk.objects.filter(state=Chunk.State.WAITING).order_by("id")
    fresh = waiting.filter(attempts__lt=SUSPECT_ATTEMPTS)[: settings.EMBED_CLAIM_CHUNKS]
    ids = list(fresh.values_list("id", flat=True)) or list(waiting[:1].values_list("id", flat=True))
    Chunk.objects.claim(ids, owner=owner(), until=lease_end())
    mine = Chunk.objects.filter(id__in=ids, owner=owner(), state=Chunk.State.EMBEDDING)
    return list(mine.select_related("document"))


def deliver(outbox: Sequence[tuple[Chunk, Vectors]], *, seconds: float, copied: bool = False) -> None:
    """Push records, mark their rows, renew the lease on what is still to be embedded."""
    if not outbox:
        return
    records = []
    for chunk, vectors in outbox:
        record = record_of(chunk, vectors)
        try:
            buffer.check(record)
        except BadRecord as error:
            Chunk.objects.filter(id=chunk.pk).fail(error=str(error))
        else:
            records.append(record)
    buffer.push(records)
    Chunk.objects.buffered([r.chunk_id for r in records], owner=owner())
    Chunk.objects.renew(owner=owner(), until=lease_end())
    chunks = [chunk for chunk, _ in outbox]
    if copied:
        credit_runs(chunks)
    else:
        charge_runs(chunks, seconds)
    advance({chunk.document_id for chunk in chunks})


def record_of(chunk: Chunk, vectors: Vectors) -> EmbeddedChunk:
    document = chunk.document
    return EmbeddedChunk(
        key=chunk.key,
        chunk_id=chunk.pk,
        document_id=document.pk,
        source_id=document.source_id,
        url=document.url,
        title=document.title,
        heading=chunk.heading,
        position=chunk.position,
        text=chunk.text,
        vectors=vectors,
    )


def charge_runs(chunks: Sequence[Chunk], seconds: float) -> None:
    """Divide the embedder's time among the runs by their tokens."""
    tokens: Counter[int] = Counter()
    for chunk in chunks:
        tokens[chunk.document.run_id or 0] += chunk.tokens
    for run_id, share in tokens.items():
        spent = seconds * share / max(tokens.total(), 1)
        Run.objects.filter(id=run_id).update(
            embed_seconds=F("embed_seconds") + spent, embed_tokens=F("embed_tokens") + share
        )


def fail_waiting(error: str) -> None:
    """Without a model nothing can be embedded: say so on every document that waits for it."""
    logger.error("%s", error)
    waiting = Chunk.objects.filter(state__in=(Chunk.State.WAITING, Chunk.State.EMBEDDING))
    documents = set(waiting.values_list("document_id", flat=True))
    waiting.fail(error=error)
    advance(documents)


def worker_place() -> str:
    """Host and device: at most one embedding process owns it."""
    return f"{socket.gethostname()}/{settings.EMBED_DEVICE}"


def owner() -> str:
    return f"{worker_place()}/{os.getpid()}"


def orphaned() -> ChunkQuerySet:
    """Claims of earlier processes in this place: with one embedding process per device they are dead."""
    mine = Chunk.objects.filter(state=Chunk.State.EMBEDDING, owner__startswith=f"{worker_place()}/")
    return mine.exclude(owner=owner())


def lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
