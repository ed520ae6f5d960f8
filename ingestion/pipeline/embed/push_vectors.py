"""Vectors -> records in the Redis list, then the rows that say so, then the runs' accounts.

In this order: a row that claims a record which Redis does not have would be found only by the drain. What
is pushed twice because the rows could not be written in between changes nothing.
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
    """``copied``: its vectors were made for another chunk of the same text."""

    chunk: Chunk
    vectors: Vectors
    copied: bool = False


def deliver(finished: Sequence[Embedded], *, collection: str, seconds: float) -> None:
    """Push what can be stored and mark its rows. ``seconds``: what the vectors that were not copied took."""
    if not finished:
        return
    records = [r for each in finished if (r := storable(each, collection))]
    embedding_queue.push(records)
    Chunk.objects.mark_buffered([r.chunk_id for r in records], owner=owner())
    charge_runs([each.chunk for each in finished if not each.copied], seconds)
    credit_runs([each.chunk for each in finished if each.copied])
    advance({each.chunk.document_id for each in finished})


def storable(embedded: Embedded, collection: str) -> EmbeddedChunk | None:
    """The record, or nothing and the reason on the row."""
    record = record_of(embedded.chunk, embedded.vectors, collection)
    try:
        codec.check(record)
    except BadRecord as error:
        Chunk.objects.filter(id=embedded.chunk.pk).fail(error=str(error))
        return None
    return record


def record_of(chunk: Chunk, vectors: Vectors, collection: str) -> EmbeddedChunk:
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
        collection=collection,
    )


def refuse(chunks: Iterable[Chunk], reason: str) -> None:
    """These cannot be embedded at all."""
    rows = list(chunks)
    Chunk.objects.filter(id__in=[chunk.pk for chunk in rows]).fail(error=reason)
    advance({chunk.document_id for chunk in rows})


def charge_runs(chunks: Sequence[Chunk], seconds: float) -> None:
    """Divide the embedder's time among the runs by their tokens."""
    tokens = tokens_by_run(chunks)
    for run_id, share in tokens.items():
        spent = seconds * share / max(tokens.total(), 1)
        Run.objects.filter(id=run_id).update(
            embed_seconds=F("embed_seconds") + spent, embed_tokens=F("embed_tokens") + share
        )


def credit_runs(chunks: Sequence[Chunk]) -> None:
    """Note on the runs what they did not have to embed."""
    copies = Counter(chunk.document.run_id or 0 for chunk in chunks)
    for run_id, tokens in tokens_by_run(chunks).items():
        Run.objects.filter(id=run_id).update(
            copied_chunks=F("copied_chunks") + copies[run_id], copied_tokens=F("copied_tokens") + tokens
        )


def tokens_by_run(chunks: Iterable[Chunk]) -> Counter[int]:
    tokens: Counter[int] = Counter()
    for chunk in chunks:
        tokens[chunk.document.run_id or 0] += chunk.tokens
    return tokens
