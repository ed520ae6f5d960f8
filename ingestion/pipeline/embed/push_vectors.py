"""Vectors -> records in the Redis list, then the rows that say so, then the runs' accounts.

In: chunks with their vectors, claimed by this process. Out: records, rows marked buffered or failed, and what each run
has used. Raises BufferUnavailable when Redis does not take the records.

The order matters: a row that says it has a record which Redis does not have would be found only by the drain. What is
pushed twice, because the rows could not be written in between, changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.db.models import F

from ingestion.buffer import codec, embedding_queue
from ingestion.exceptions import BadRecord
from ingestion.models import Chunk, Run
from ingestion.pipeline.embed.claims import owner
from ingestion.pipeline.state.transitions import advance
from ingestion.types import EmbeddedChunk, Vectors


class Embedded(NamedTuple):
    """A chunk with its vectors. ``copied``: they were made for another chunk of the same text."""

    chunk: Chunk
    vectors: Vectors
    copied: bool = False


def deliver(finished: Sequence[Embedded], *, collection: str, seconds: float) -> None:
    """Push the records that can be stored into the buffer, and mark the rows of their chunks.

    ``seconds``: computing time of the vectors that were not copied.
    """
    if not finished:
        return
    records = [r for each in finished if (r := storable_record(each, collection))]
    embedding_queue.push(records)
    Chunk.objects.mark_buffered([r.chunk_id for r in records], owner=owner())
    charge_runs(finished, seconds)
    advance({each.chunk.document_id for each in finished})


def storable_record(embedded: Embedded, collection: str) -> EmbeddedChunk | None:
    """Return the record for this collection; None when it cannot be stored, and the row has failed with the reason."""
    record = record_of(embedded, collection)
    try:
        codec.check(record)
    except BadRecord as error:
        Chunk.objects.filter(id=embedded.chunk.pk).fail(error=str(error))
        return None
    return record


def record_of(embedded: Embedded, collection: str) -> EmbeddedChunk:
    """Return a chunk as it travels to this collection, whether or not it can be stored there."""
    chunk, document = embedded.chunk, embedded.chunk.document
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
        vectors=embedded.vectors,
        collection=collection,
        context=chunk.context,
    )


def refuse(chunks: Iterable[Chunk], reason: str) -> None:
    """Fail chunks that cannot be embedded at all, with the reason on their rows."""
    rows = list(chunks)
    Chunk.objects.filter(id__in=[chunk.pk for chunk in rows]).fail(error=reason)
    advance({chunk.document_id for chunk in rows})


def charge_runs(finished: Iterable[Embedded], seconds: float) -> None:
    """Divide the embedder's time among the runs by their tokens, and count what they did not have to embed."""
    computed: Counter[int] = Counter()
    copied: Counter[int] = Counter()
    copies: Counter[int] = Counter()
    for chunk, _, is_copy in finished:
        run_id = chunk.document.run_id or 0  # no run has the id 0
        if is_copy:
            copies[run_id] += 1
            copied[run_id] += chunk.tokens
        else:
            computed[run_id] += chunk.tokens
    for run_id, tokens in computed.items():
        spent = seconds * tokens / max(computed.total(), 1)
        Run.objects.filter(id=run_id).update(
            embed_seconds=F("embed_seconds") + spent, embed_tokens=F("embed_tokens") + tokens
        )
    for run_id, tokens in copied.items():
        Run.objects.filter(id=run_id).update(
            copied_chunks=F("copied_chunks") + copies[run_id], copied_tokens=F("copied_tokens") + tokens
        )
