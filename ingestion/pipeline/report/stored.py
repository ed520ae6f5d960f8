"""What is stored of a source, in the terms of an estimate of it."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Sum

from ingestion.models import Chunk, Document, Source

READ = (Document.State.INDEXED, Document.State.UNCHANGED)


@dataclass(frozen=True, slots=True)
class Stored:
    """The truth beside an estimate. Seconds are those that the embedder would take for all tokens at its own speed."""

    pages: int
    chunks: int
    tokens: int
    embed_seconds: float


def stored(source: Source | None) -> Stored | None:
    """Return what is stored of the source; None before a run of it has ended."""
    if source is None or not source.runs.exclude(finished_at=None).exists():
        return None
    chunks = Chunk.objects.filter(document__source=source, state=Chunk.State.INDEXED)
    tokens = chunks.aggregate(tokens=Sum("tokens"))["tokens"] or 0
    spent = source.runs.aggregate(seconds=Sum("embed_seconds"), tokens=Sum("embed_tokens"))
    seconds = tokens * spent["seconds"] / spent["tokens"] if spent["tokens"] else 0.0
    pages = Document.objects.filter(source=source, state__in=READ).count()
    return Stored(pages, chunks.count(), tokens, seconds)
