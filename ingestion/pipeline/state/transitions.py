"""States of documents and runs that follow from their parts. Safe to call at any time, any number of times."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db.models import Q
from django.utils import timezone

from ingestion.models import Chunk, Document, DocumentQuerySet, Run, RunQuerySet, has_chunks, has_documents
from ingestion.pipeline.state.removals import settle_missing
from ingestion.pipeline.state.runs import summary

TO_EMBED = (Chunk.State.WAITING, Chunk.State.EMBEDDING)


def advance(document_ids: Iterable[int] | None = None) -> None:
    """Move documents on as far as their chunks allow; all documents when no ids are given.

    Most often none moves, and one question says so: the five statements that move take 4 ms of a page's 40, and each
    would lock the database for writing."""
    scope = Document.objects.all() if document_ids is None else Document.objects.filter(id__in=list(document_ids))
    if moving := list(movable(scope).order_by().values_list("id", flat=True)):
        move_on(Document.objects.filter(id__in=moving))


def movable(scope: DocumentQuerySet) -> DocumentQuerySet:
    to_embed, pending = has_chunks(*TO_EMBED), has_chunks(*Chunk.PENDING)
    embedded = Q(state=Document.State.EMBEDDING) & ~to_embed
    return scope.filter(embedded | Q(state=Document.State.INDEXING) & (to_embed | ~pending))


def move_on(scope: DocumentQuerySet) -> None:
    embedding = scope.filter(state=Document.State.EMBEDDING)
    indexing = scope.filter(state=Document.State.INDEXING)
    move(indexing.filter(has_chunks(*TO_EMBED)), Document.State.EMBEDDING)
    move(embedding.filter(~has_chunks(*TO_EMBED)), Document.State.INDEXING)
    ready = indexing.filter(~has_chunks(*Chunk.PENDING))
    fail_incomplete(ready.filter(has_chunks(Chunk.State.FAILED)))
    ready.update(state=Document.State.INDEXED, indexed_at=timezone.now(), updated_at=timezone.now())


def move(documents: DocumentQuerySet, state: str) -> int:
    return documents.update(state=state, updated_at=timezone.now())


def fail_incomplete(documents: DocumentQuerySet) -> None:
    """Chunks that could not be embedded fail their document; its other chunks still answer."""
    for document in documents:
        failed = document.chunks.filter(state=Chunk.State.FAILED)
        first = failed.first()
        reason = (
            f"{failed.count()} of {document.chunk_count} chunks could not be indexed: {first.error if first else ''}"
        )
        Document.objects.filter(id=document.pk, state=Document.State.INDEXING).update(
            state=Document.State.FAILED, error=reason, updated_at=timezone.now()
        )


def finish_runs() -> int:
    """Close runs without work left. Returns how many."""
    return sum(map(finish, without_work(Run.objects.all())))


def finish(run: Run) -> int:
    """Remove what is certainly gone, or hold it; a document that this sets free keeps the run open."""
    held = settle_missing(run)
    done = without_work(Run.objects.filter(id=run.pk))
    state = Run.State.HELD if held else Run.State.FINISHED
    if not done.update(state=state, error=held, note="", finished_at=timezone.now()):
        return 0
    return Run.objects.filter(id=run.pk).update(figures=summary([run.pk]))


def without_work(runs: RunQuerySet) -> RunQuerySet:
    return runs.filter(~has_documents(*Document.ACTIVE), state=Run.State.RUNNING)


def explain_wait(note: str, *, source_ids: Collection[int] | None = None) -> None:
    """Say on every active run, or on those of some sources, why it waits; an empty note clears it."""
    runs = Run.objects.active() if source_ids is None else Run.objects.active().filter(source_id__in=source_ids)
    runs.exclude(note=note).update(note=note)
