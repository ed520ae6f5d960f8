"""Runs: starting them, their figures, and taking a source away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, Sum
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from ingestion.models import Chunk, Document, Run, Source, due_sources
from ingestion.sources.registry import forget
from ingestion.types import Json

STAGES = ("list", "fetch", "extract", "chunk", "embed", "index")


def start_run(source: Source) -> Run:
    """A new run, or the one that is under way."""
    try:
        with transaction.atomic():
            run = Run.objects.create(source=source)
    except IntegrityError:
        run = Run.objects.active().get(source=source)
    interval = source.refresh_seconds
    due = timezone.now() + timedelta(seconds=interval) if interval else None
    Source.objects.filter(id=source.pk).update(next_run_at=due)
    return run


def start_due_runs() -> int:
    """Start sources whose refresh interval has passed. Returns how many."""
    due = list(due_sources())
    for source in due:
        start_run(source)
    return len(due)


def remove_source(source: Source) -> None:
    """Take a source out of every answer now; its vectors and rows follow in the background."""
    with transaction.atomic():
        Source.objects.filter(id=source.pk).update(deleting=True, next_run_at=None)
        Run.objects.active().filter(source=source).update(
            state=Run.State.FAILED, error="The source is being deleted.", finished_at=timezone.now()
        )
        Chunk.objects.filter(document__source=source).remove()
        Document.objects.active().filter(source=source).update(state=Document.State.GONE, lease_until=None)


def forget_removed_sources() -> int:
    """Delete the rows of sources whose vectors are gone. Returns how many."""
    chunks = Chunk.objects.filter(document__source=OuterRef("pk")).order_by()
    removed = list(Source.objects.filter(~Exists(chunks), deleting=True))
    if not removed:
        return 0
    Source.objects.filter(id__in=[source.pk for source in removed]).delete()
    for source in removed:
        forget(source.spec())
    return len(removed)


def summary(run_ids: Sequence[int]) -> Json:
    """The figures of some runs together, as `manage.py ingest --json` prints them."""
    documents = Document.objects.filter(run_id__in=run_ids)
    states = dict(documents.values_list("state").annotate(n=Count("*")))
    totals = documents.aggregate(
        chunks=Coalesce(Sum("chunk_count"), 0),
        embedded=Coalesce(Sum("new_chunks"), 0),
        tokens=Coalesce(Sum("new_tokens"), 0),
    )
    copied = Run.objects.filter(id__in=run_ids).aggregate(
        chunks=Coalesce(Sum("copied_chunks"), 0), tokens=Coalesce(Sum("copied_tokens"), 0)
    )
    embedded = max(totals["embedded"] - copied["chunks"], 0)
    return {
        "documents": sum(states.values()),
        "indexed": states.get(Document.State.INDEXED, 0),
        "unchanged": states.get(Document.State.UNCHANGED, 0),
        "duplicates": states.get(Document.State.DUPLICATE, 0),
        "missing": states.get(Document.State.MISSING, 0),
        "failed": sum(states.get(s, 0) for s in Document.UNSUCCESSFUL),
        "gone": states.get(Document.State.GONE, 0),
        "chunks": totals["chunks"],
        "embedded": embedded,
        "reused": max(totals["chunks"] - embedded, 0),
        "tokens": max(totals["tokens"] - copied["tokens"], 0),
        "seconds": elapsed(run_ids),
        "stages": stage_seconds(run_ids),
        "saved": saved(run_ids),
    }


def saved(run_ids: Sequence[int]) -> Json:
    """What a refresh did not have to do: pages by the layer that showed them unchanged, chunks that kept
    their vector or took an equal text's, and the embedder's seconds that their tokens would have cost."""
    documents = Document.objects.filter(run_id__in=run_ids)
    layers = documents.exclude(unchanged_by="").filter(state__in=(Document.State.UNCHANGED, Document.State.DUPLICATE))
    pages = dict(layers.values_list("unchanged_by").annotate(n=Count("*")))
    held = Chunk.objects.filter(document__run_id__in=run_ids).live().aggregate(n=Coalesce(Sum("tokens"), 0))["n"]
    runs = Run.objects.filter(id__in=run_ids)
    copied = runs.aggregate(chunks=Coalesce(Sum("copied_chunks"), 0), tokens=Coalesce(Sum("copied_tokens"), 0))
    fresh = documents.aggregate(n=Coalesce(Sum("new_tokens"), 0))["n"]
    tokens = max(held - fresh, 0) + copied["tokens"]
    rate = embedding_rate()
    return {
        "pages": pages,
        "vectors_copied": copied["chunks"],
        "tokens": tokens,
        "embedding_seconds": round(tokens / rate, 1) if rate else None,
    }


LAYERS = {
    Document.Layer.LISTING: "by the listing",
    Document.Layer.NOT_MODIFIED: "by the server's 304",
    Document.Layer.BYTES: "by equal bytes",
    Document.Layer.TEXT: "by equal text",
}


def saved_sentence(figures: Json) -> str:
    """The savings in words; empty when there are none."""
    pages = ", ".join(f"{n} {LAYERS[Document.Layer(layer)]}" for layer, n in sorted(figures["pages"].items()))
    parts = [f"unchanged pages: {pages}"] if pages else []
    parts += [f"{figures['vectors_copied']} vectors of equal texts"] if figures["vectors_copied"] else []
    parts += [f"about {figures['embedding_seconds']} s of embedding"] if figures["embedding_seconds"] else []
    return "; ".join(parts)


def embedding_rate() -> float:
    """Tokens a second of the embedder, over the last runs that embedded; 0 before the first."""
    runs = Run.objects.filter(embed_tokens__gt=0).order_by("-id")[:10]
    seconds = sum(run.embed_seconds for run in runs)
    return sum(run.embed_tokens for run in runs) / seconds if seconds else 0.0


def elapsed(run_ids: Sequence[int]) -> float:
    """Wall seconds from the first start to the last end, or until now."""
    ended = Max(Coalesce(F("finished_at"), Now()))
    span = Run.objects.filter(id__in=run_ids).aggregate(first=Min("created_at"), last=ended)
    return round((span["last"] - span["first"]).total_seconds(), 2) if span["first"] else 0.0


def stage_seconds(run_ids: Sequence[int]) -> dict[str, float]:
    """Seconds of work per stage, added up over all workers."""
    pages = Document.objects.filter(run_id__in=run_ids).aggregate(
        fetch=Sum("fetch_seconds"), extract=Sum("extract_seconds"), chunk=Sum("chunk_seconds")
    )
    rest = Run.objects.filter(id__in=run_ids).aggregate(
        list=Sum("list_seconds"), embed=Sum("embed_seconds"), index=Sum("index_seconds")
    )
    return {stage: round({**pages, **rest}[stage] or 0.0, 3) for stage in STAGES}


def progress(run_ids: Sequence[int]) -> Json:
    """Counts for a progress display: documents done and known, chunks indexed and known, notes."""
    documents = Document.objects.filter(run_id__in=run_ids)
    runs = Run.objects.filter(id__in=run_ids)
    done = ~Q(state__in=Document.ACTIVE)
    chunks = Chunk.objects.filter(document__run_id__in=run_ids).live().count()
    unfinished = documents.filter(state__in=(Document.State.EMBEDDING, Document.State.INDEXING))
    pending = Chunk.objects.filter(document__in=unfinished, state__in=Chunk.PENDING).count()
    retry = documents.filter(state=Document.State.WAITING).exclude(error="").first()
    return {
        "documents": documents.count(),
        "documents_done": documents.filter(done).count(),
        "chunks": chunks,
        "chunks_done": chunks - pending,
        "active": runs.active().count(),
        "notes": sorted({n for n in runs.values_list("note", flat=True) if n}),
        "retry": f"Trying again later: {retry.error}" if retry else "",
    }
