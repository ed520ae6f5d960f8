"""Runs: starting them, their figures, and taking a source away."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Sum
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from ingestion.exceptions import IngestionError
from ingestion.models import Chunk, Document, DocumentQuerySet, Run, Source, due_sources
from ingestion.sources.registry import forget

logger = logging.getLogger(__name__)

PAUSED = "It is paused: resume it in the admin."
STAGES = ("list", "fetch", "extract", "chunk", "embed", "index")


@dataclass(frozen=True, slots=True)
class Savings:
    """The work that a refresh did not have to do."""

    pages: dict[str, int]  # unchanged documents by the evidence for it (``Document.Layer``)
    vectors_copied: int  # chunks that took the vector of an equal text
    tokens: int  # in chunks that kept or copied their vector
    embedding_seconds: float | None  # for those tokens at the embedder's rate; None while no rate is known


@dataclass(frozen=True, slots=True)
class RunFigures:
    """The figures of one run or of some together.

    ``Run.figures`` and `manage.py ingest --json` hold these names as keys.
    """

    documents: int
    indexed: int
    unchanged: int
    duplicates: int
    missing: int
    failed: int  # quarantined ones included
    gone: int
    chunks: int
    embedded: int  # chunks
    reused: int  # chunks
    tokens: int  # embedded
    seconds: float  # by the clock, from the first start to the last end or until now
    stages: dict[str, float]  # seconds of work per stage, added up over all workers
    saved: Savings
    dropped: dict[str, int]  # words that each rule of the readers left out, the most first


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far some runs are, for a display of progress."""

    documents: int
    documents_done: int
    chunks: int
    chunks_done: int
    active: int  # runs
    notes: tuple[str, ...]  # why runs wait
    retry_error: str  # of one document that is tried again later; empty when there is none


def start_run(source: Source) -> Run:
    """Start a run of the source and return it, or return the run that is under way."""
    try:
        with transaction.atomic():
            run = Run.objects.create(source=source)
    except IntegrityError:
        under_way = Run.objects.active().filter(source=source).first()
        if not under_way:  # it has just ended, or the source is gone
            return start_run(Source.objects.get(id=source.pk))
        run = under_way
    interval = source.refresh_seconds
    due = timezone.now() + timedelta(seconds=interval) if interval else None
    Source.objects.filter(id=source.pk).update(next_run_at=due)
    return run


def start_due_runs() -> int:
    """Start runs of the sources whose refresh interval has passed. Return how many."""
    due = list(due_sources())
    for source in due:
        with suppress(Source.DoesNotExist):  # it was deleted a moment ago
            start_run(source)
    return len(due)


def remove_source(source: Source) -> None:
    """Take a source out of every answer now; its vectors and rows are deleted in the background."""
    with transaction.atomic():
        Source.objects.filter(id=source.pk).update(deleting=True, next_run_at=None)
        Run.objects.active().filter(source=source).update(
            state=Run.State.FAILED, error="The source is being deleted.", finished_at=timezone.now()
        )
        # Documents first: a worker that stores one has its row until its chunks are there.
        Document.objects.active().filter(source=source).update(state=Document.State.GONE, lease_until=None)
        Chunk.objects.filter(document__source=source).remove()


def forget_removed_sources() -> int:
    """Delete the files, then the rows of removed sources whose vectors are deleted. Return how many.

    One whose files cannot be deleted stays until they can.
    """
    chunks = Chunk.objects.filter(document__source=OuterRef("pk")).order_by()
    forgotten = []
    for source in Source.objects.filter(~Exists(chunks), deleting=True):
        try:
            forget(source.spec())
        except IngestionError as error:
            logger.warning("the source %s is not deleted yet: %s", source, error)
        else:
            forgotten.append(source.pk)
    if forgotten:
        Source.objects.filter(id__in=forgotten).delete()
    return len(forgotten)


def embedding_rate() -> float:
    """Return the embedder's tokens a second over the last ten runs that embedded; 0 before the first."""
    runs = Run.objects.filter(embed_tokens__gt=0).order_by("-id")[:10]
    seconds = sum(run.embed_seconds for run in runs)
    return sum(run.embed_tokens for run in runs) / seconds if seconds else 0.0


def summary(run_ids: Sequence[int]) -> RunFigures:
    """Return the figures of these runs together; of a run that goes on, those until now."""
    documents, runs = Document.objects.filter(run_id__in=run_ids), Run.objects.filter(id__in=run_ids)
    states = dict(documents.values_list("state").annotate(n=Count("*")))
    pages = documents.aggregate(
        chunks=Coalesce(Sum("chunk_count"), 0),
        new_chunks=Coalesce(Sum("new_chunks"), 0),
        new_tokens=Coalesce(Sum("new_tokens"), 0),
        fetch=Sum("fetch_seconds"),
        extract=Sum("extract_seconds"),
        chunk=Sum("chunk_seconds"),
    )
    whole = runs.aggregate(
        copied_chunks=Coalesce(Sum("copied_chunks"), 0),
        copied_tokens=Coalesce(Sum("copied_tokens"), 0),
        list=Sum("list_seconds"),
        embed=Sum("embed_seconds"),
        index=Sum("index_seconds"),
        first=Min("created_at"),
        last=Max(Coalesce(F("finished_at"), Now())),
    )
    embedded = max(pages["new_chunks"] - whole["copied_chunks"], 0)
    seconds = (whole["last"] - whole["first"]).total_seconds() if whole["first"] else 0.0
    return RunFigures(
        documents=sum(states.values()),
        indexed=states.get(Document.State.INDEXED, 0),
        unchanged=states.get(Document.State.UNCHANGED, 0),
        duplicates=states.get(Document.State.DUPLICATE, 0),
        missing=states.get(Document.State.MISSING, 0),
        failed=sum(states.get(state, 0) for state in Document.UNSUCCESSFUL),
        gone=states.get(Document.State.GONE, 0),
        chunks=pages["chunks"],
        embedded=embedded,
        reused=max(pages["chunks"] - embedded, 0),
        tokens=max(pages["new_tokens"] - whole["copied_tokens"], 0),
        seconds=round(seconds, 2),
        stages={stage: round({**pages, **whole}[stage] or 0.0, 3) for stage in STAGES},
        saved=_savings(
            run_ids, new_tokens=pages["new_tokens"], copied=(whole["copied_chunks"], whole["copied_tokens"])
        ),
        dropped=_dropped(documents),
    )


def _dropped(documents: DocumentQuerySet) -> dict[str, int]:
    """Return how many words each rule of the readers left out of these documents, the most first.

    The rows are added up here: the databases have no common way, and 100 000 documents with three rules each take
    1.1 s.
    """
    words: Counter[str] = Counter()
    for found in documents.exclude(dropped={}).order_by().values_list("dropped", flat=True).iterator():
        words.update(found)
    return dict(words.most_common())


def _savings(run_ids: Sequence[int], *, new_tokens: int, copied: tuple[int, int]) -> Savings:
    """Return what these runs saved; ``copied`` counts chunks and tokens that took the vector of an equal text."""
    unchanged = Document.objects.filter(
        run_id__in=run_ids, state__in=(Document.State.UNCHANGED, Document.State.DUPLICATE)
    ).exclude(unchanged_by="")
    held = Chunk.objects.filter(document__run_id__in=run_ids).live().aggregate(n=Coalesce(Sum("tokens"), 0))["n"]
    copied_chunks, copied_tokens = copied
    tokens = max(held - new_tokens, 0) + copied_tokens
    rate = embedding_rate()
    return Savings(
        pages=dict(unchanged.values_list("unchanged_by").annotate(n=Count("*"))),
        vectors_copied=copied_chunks,
        tokens=tokens,
        embedding_seconds=round(tokens / rate, 1) if rate else None,
    )


def stored_savings(run: Run) -> Savings | None:
    """Return what a finished run saved, from its row; None while it goes on."""
    return Savings(**run.figures["saved"]) if run.figures else None


def progress(run_ids: Sequence[int]) -> RunProgress:
    """Return how far these runs are, and what those that have not ended wait for."""
    documents = Document.objects.filter(run_id__in=run_ids)
    runs = Run.objects.filter(id__in=run_ids)
    chunks = Chunk.objects.filter(document__run_id__in=run_ids).live().count()
    unfinished = documents.filter(state__in=(Document.State.EMBEDDING, Document.State.INDEXING))
    pending = Chunk.objects.filter(document__in=unfinished, state__in=Chunk.PENDING).count()
    retried = documents.filter(state=Document.State.WAITING).exclude(error="").first()
    notes = {note for note in runs.values_list("note", flat=True) if note}
    if runs.active().filter(source__paused=True).exists():
        notes.add(PAUSED)
    return RunProgress(
        documents=documents.count(),
        documents_done=documents.exclude(state__in=Document.ACTIVE).count(),
        chunks=chunks,
        chunks_done=chunks - pending,
        active=runs.active().count(),
        notes=tuple(sorted(notes)),
        retry_error=retried.error if retried else "",
    )
