"""How things stand: rows, queues, buffer and index in one object, for `manage.py status` and staff."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

from django.conf import settings
from django.db.models import Count, Max, Sum
from django.utils import timezone

from ingestion.buffer import dead_letters, embedding_queue
from ingestion.coordination import circuit_breaker, heartbeat
from ingestion.coordination.celery_queues import queue_length
from ingestion.exceptions import IngestionError
from ingestion.models import Chunk, Collection, Document, Run, Source, open_sources
from ingestion.pipeline.report.alerts import troubles
from ingestion.pipeline.state.collections import build_progress, last_audit
from ingestion.pipeline.state.runs import embedding_rate
from ingestion.pipeline.state.transitions import TO_EMBED
from ingestion.types import Json
from ingestion.vector_store.store import open_store

SAMPLED_CHUNKS = 1000


def status() -> Json:
    """All figures; a service that does not answer appears with its reason instead of a figure."""
    runs, chunks = run_states(), chunk_states()
    sources = source_states(runs)
    tokens, rate = tokens_waiting(), embedding_rate()
    return {
        "documents": dict(sum(sources.values(), Counter())),
        "chunks": chunks,
        "depths": depths(sources, chunks),
        "sources": every_source(sources, runs, tokens),
        "queues": answer_of(lambda: {q: queue_length(q) for q in ("cpu", "gpu", "index")}),
        "buffer": answer_of(
            lambda: {
                "records": embedding_queue.length(),
                "bytes": embedding_queue.size_bytes(),
                "unusable": dead_letters.count(),
            }
        ),
        "embedders": answer_of(lambda: {f"{w['host']}/{w['device']}": w for w in heartbeat.workers()}),
        "index": answer_of(index_status),
        "building": build_progress(),
        "audit": last_audit(),
        "tokens_waiting": tokens,
        "tokens_per_second": round(rate, 1),
        "eta_seconds": round(tokens / rate) if rate and tokens else None,
        "jobs": answer_of(lambda: {name: round(age, 1) for name, age in heartbeat.job_ages().items()}),
        "troubles": troubles(),
        "waits_because": sorted({n for n in Run.objects.active().values_list("note", flat=True) if n}),
    }


def run_states() -> dict[int, dict[str, int]]:
    """Documents per run that they were last part of, and state. Rows are counted, not ids: 8 ms for 100 000 instead
    of 12."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for run_id, state, n in Document.objects.order_by().values_list("run_id", "state").annotate(n=Count("*")):
        if run_id:
            found[run_id][state] = n
    return found


def source_states(runs: dict[int, dict[str, int]]) -> dict[int, Counter[str]]:
    """The same per source: those of its runs, and the few whose run is gone."""
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for run_id, source_id in Run.objects.filter(id__in=runs).values_list("id", "source_id"):
        found[source_id].update(runs[run_id])
    rows = Document.objects.order_by().filter(run=None)
    for source_id, state, n in rows.values_list("source_id", "state").annotate(n=Count("*")):
        found[source_id][state] += n
    return found


def chunk_states() -> dict[str, int]:
    """The many that are indexed are what is left over: an index counts the others at once."""
    others = Chunk.objects.filter(state__in=set(Chunk.State) - {Chunk.State.INDEXED}).order_by()
    found = dict(others.values_list("state").annotate(n=Count("*")))
    indexed = Chunk.objects.count() - sum(found.values())
    return {**found, Chunk.State.INDEXED.value: indexed} if indexed else found


def tokens_waiting() -> int:
    """From the first thousand chunks, exact up to there; reading 20 000 rows would take 30 ms."""
    waiting = Chunk.objects.filter(state__in=TO_EMBED).order_by()
    sampled = waiting[:SAMPLED_CHUNKS].aggregate(n=Count("*"), tokens=Sum("tokens"))
    return round(waiting.count() * sampled["tokens"] / sampled["n"]) if sampled["n"] else 0


# --- Three lines to wait in: for a CPU worker, for the embedder, for Milvus ---------------------------------


def depths(sources: dict[int, Counter[str]], chunks: dict[str, int]) -> Json:
    """What stands in each, and its bound."""
    flying = sum(states.get(Document.State.FETCHING, 0) for states in sources.values())
    waiting = sum(states.get(Document.State.WAITING, 0) for states in sources.values())
    embedding = sum(chunks.get(state, 0) for state in TO_EMBED)
    return {
        "cpu": {"documents_waiting": waiting, "documents": flying, "bound": settings.MAX_DOCUMENTS_IN_FLIGHT},
        "gpu": {"chunks": embedding, "bound": settings.MAX_CHUNKS_WAITING},
        "milvus": {
            "chunks": chunks.get(Chunk.State.BUFFERED, 0),
            **answer_of(lambda: {"bytes": embedding_queue.size_bytes()}),
            "bound": settings.EMBEDDINGS_MAX_BYTES,
        },
    }


# States of a document as the line that it stands in.
LINES = {
    Document.State.WAITING: "pages wait for their turn: at most {bound} of all sources are in flight",
    Document.State.FETCHING: "pages are with the CPU workers",
    Document.State.EMBEDDING: "pages wait for the embedder, {tokens} tokens of all sources",
    Document.State.INDEXING: "pages wait to be written to Milvus",
}


def why(states: dict[str, int], tokens: int) -> str:
    """Where most of a source's unfinished pages stand. ``tokens``: of all sources, waiting for the embedder."""
    standing = {state: states[state] for state in LINES if states.get(state)}
    if not standing:
        return ""
    longest = max(standing, key=lambda state: standing[state])
    words = LINES[longest].format(bound=settings.MAX_DOCUMENTS_IN_FLIGHT, tokens=tokens)
    return f"{standing[longest]} {words}."


def time_left(run: Run, states: dict[str, int], of_run: dict[str, int]) -> int | None:
    """At the pace of the run so far; what is left of the source is left of its run."""
    left = sum(states.get(state, 0) for state in Document.ACTIVE)
    done = sum(of_run.values()) - left if left else 0
    return round(left * (timezone.now() - run.created_at).total_seconds() / done) if done > 0 else None


# --- Sources ------------------------------------------------------------------------------------------------


def every_source(sources: dict[int, Counter[str]], runs: dict[int, dict[str, int]], tokens: int) -> list[Json]:
    newest = Run.objects.order_by().values("source").annotate(newest=Max("id")).values("newest")
    last = {run.source_id: run for run in Run.objects.filter(id__in=newest)}
    return [
        source_status(source, last.get(source.pk), sources.get(source.pk, {}), runs, tokens)
        for source in Source.objects.all()
    ]


def source_status(
    source: Source, run: Run | None, documents: dict[str, int], runs: dict[int, dict[str, int]], tokens: int
) -> Json:
    return {
        "name": source.name,
        "kind": source.kind,
        "target": source.target,
        "state": "deleting" if source.deleting else run.state if run else "new",
        "documents": dict(documents),
        "error": run.error if run else "",
        "waits_because": pause_of(source) or (run.note if run else "") or why(documents, tokens),
        "eta_seconds": time_left(run, documents, runs.get(run.pk, {})) if run else None,
        "left_out": run.remarks if run else {},
        "next_run_at": source.next_run_at.isoformat() if source.next_run_at else None,
    }


def pause_of(source: Source) -> str:
    if source.paused_until is None or open_sources().filter(pk=source.pk).exists():
        return ""
    return f"Its host wants to be left alone until {source.paused_until:%H:%M:%S} UTC."


def index_status() -> Json:
    """A Milvus that is known to be silent is not asked."""
    row = Collection.objects.searched()
    if row is None:
        return {"collection": None, "rows": 0}
    store = open_store(row.name, row.dimension, settings.SERVICE_TIMEOUT_SECONDS)
    with circuit_breaker.interactive():
        sides = "hybrid" if store.sparse else "dense-only"
        return {"collection": row.name, "model": row.model, "rows": store.count(), "search": sides}


def answer_of(question: Callable[[], Json]) -> Json:
    try:
        return question()
    except IngestionError as error:
        return {"error": str(error)}
