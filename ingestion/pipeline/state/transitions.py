"""States of documents and runs that follow from their parts. Safe to call at any time, any number of times."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict

from django.db.models import Q
from django.utils import timezone

from ingestion.models import Chunk, Document, Run, RunQuerySet, has_chunks, has_documents
from ingestion.pipeline.state.removals import settle_missing
from ingestion.pipeline.state.runs import summary

TO_EMBED = (Chunk.State.WAITING, Chunk.State.EMBEDDING)


def advance(document_ids: Iterable[int] | None = None) -> None:
    """Move documents on as far as their chunks allow; all documents when no ids are given.

    Most often none can move, and one query says so: the statements that move take 4 ms of a page's 40, and each would
    lock the database for writing.
    """
    scope = Document.objects.all() if document_ids is None else Document.objects.filter(id__in=list(document_ids))
    to_embed, pending = has_chunks(*TO_EMBED), has_chunks(*Chunk.PENDING)
    movable = Q(state=Document.State.EMBEDDING) & ~to_embed | Q(state=Document.State.INDEXING) & (to_embed | ~pending)
    moving = list(scope.filter(movable).order_by().values_list("id", flat=True))
    if not moving:
        return
    embedding = Document.objects.filter(id__in=moving, state=Document.State.EMBEDDING)
    indexing = Document.objects.filter(id__in=moving, state=Document.State.INDEXING)
    now = timezone.now()
    indexing.filter(to_embed).update(state=Document.State.EMBEDDING, updated_at=now)
    embedding.filter(~to_embed).update(state=Document.State.INDEXING, updated_at=now)
    ready = indexing.filter(~pending)
    # Chunks that could not be embedded fail their document; its other chunks still answer.
    for document in ready.filter(has_chunks(Chunk.State.FAILED)):
        failed = document.chunks.filter(state=Chunk.State.FAILED)
        first = failed.first()
        error = (
            f"{failed.count()} of {document.chunk_count} chunks could not be indexed: {first.error if first else ''}"
        )
        indexing.filter(id=document.pk).update(state=Document.State.FAILED, error=error, updated_at=now)
    ready.update(state=Document.State.INDEXED, indexed_at=now, updated_at=now)


def finish_runs() -> int:
    """Close the runs that have no work left. Return how many.

    Before that, the missing documents of each are removed, or held back. Removing a document can set its duplicates
    free; those keep the run going.
    """
    finished = 0
    for run in _without_work(Run.objects.all()):
        held = settle_missing(run)
        error, state = (held.explanation(), Run.State.HELD) if held else ("", Run.State.FINISHED)
        done = _without_work(Run.objects.filter(id=run.pk))
        if done.update(state=state, error=error, note="", finished_at=timezone.now()):
            finished += Run.objects.filter(id=run.pk).update(figures=asdict(summary([run.pk])))
    return finished


def _without_work(runs: RunQuerySet) -> RunQuerySet:
    """Return those of the runs that are RUNNING and have no document left to fetch, embed or index, as a query."""
    return runs.filter(~has_documents(*Document.ACTIVE), state=Run.State.RUNNING)


def explain_wait(note: str, *, source_ids: Collection[int] | None = None) -> None:
    """Write on every active run, or on those of some sources, why it waits; an empty note clears it.

    A run that is held up keeps the fault that a person has to mend.
    """
    runs = Run.objects.active().filter(held_up_until=None).exclude(note=note)
    (runs if source_ids is None else runs.filter(source_id__in=source_ids)).update(note=note)
