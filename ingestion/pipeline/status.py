"""How things stand: rows, queues, buffer and index in one object, for `manage.py status` and staff."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils import timezone

from ingestion import buffer
from ingestion.exceptions import IngestionError
from ingestion.models import Chunk, Collection, Document, Run, Source
from ingestion.types import Json
from ingestion.vector_store import open_store

RATE_WINDOW_SECONDS = 60


def status() -> Json:
    """All figures; a service that does not answer appears with its reason instead of a figure."""
    waiting = Chunk.objects.filter(state__in=(Chunk.State.WAITING, Chunk.State.EMBEDDING))
    tokens = waiting.aggregate(n=Sum("tokens"))["n"] or 0
    rate = tokens_per_second()
    return {
        "documents": counts(Document.objects.all()),
        "chunks": counts(Chunk.objects.all()),
        "sources": [source_status(s) for s in Source.objects.all()],
        "queues": answer_of(lambda: {q: buffer.queue_length(q) for q in ("cpu", "gpu", "index")}),
        "buffer": answer_of(
            lambda: {
                "records": buffer.length(),
                "bytes": buffer.size_bytes(),
                "unusable": buffer.dead_length(),
            }
        ),
        "index": answer_of(index_status),
        "tokens_waiting": tokens,
        "tokens_per_second": round(rate, 1),
        "eta_seconds": round(tokens / rate) if rate and tokens else None,
        "waits_because": sorted({n for n in Run.objects.active().values_list("note", flat=True) if n}),
    }


def counts(rows: Any) -> dict[str, int]:
    return dict(rows.order_by().values_list("state").annotate(n=Count("id")))


def source_status(source: Source) -> Json:
    run = source.runs.first()
    return {
        "name": source.name,
        "kind": source.kind,
        "target": source.target,
        "state": "deleting" if source.deleting else run.state if run else "new",
        "documents": counts(source.documents),
        "error": run.error if run else "",
        "waits_because": pause_of(source) or (run.note if run else ""),
        "left_out": run.remarks if run else {},
        "next_run_at": source.next_run_at.isoformat() if source.next_run_at else None,
    }


def pause_of(source: Source) -> str:
    if source.paused_until is None or source.paused_until <= timezone.now():
        return ""
    return f"Its host wants to be left alone until {source.paused_until:%H:%M:%S} UTC."


def index_status() -> Json:
    row = Collection.objects.filter(active=True).first()
    if row is None:
        return {"collection": None, "rows": 0}
    return {"collection": row.name, "model": row.model, "rows": open_store(row.name, row.dimension).count()}


def tokens_per_second() -> float:
    """Over the chunks that entered the buffer in the last minute."""
    since = timezone.now() - timedelta(seconds=RATE_WINDOW_SECONDS)
    recent = Chunk.objects.filter(Q(buffered_at__gte=since))
    return (recent.aggregate(n=Sum("tokens"))["n"] or 0) / RATE_WINDOW_SECONDS


def answer_of(question: Callable[[], Json]) -> Json:
    try:
        return question()
    except IngestionError as error:
        return {"error": str(error)}
