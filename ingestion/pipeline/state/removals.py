"""Documents that a source seems to hold no more: kept until confirmed, held back for a person when there are many.

A document is missing for certain when a complete listing leaves it out, or when a second run in a row gets 404 or 410
for it. Those leave the index at the end of the run, unless they are more than a fifth of the source: then something is
wrong with the site or with this program, and staff decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from ingestion.models import Chunk, Document, DocumentQuerySet, Run, Source, has_chunks

MISSES_UNTIL_GONE = 2
# More than this share of a source at once is held back, and never fewer than this many documents: a person looks
# through a handful faster than anybody notices that they are held back.
HELD_SHARE, HELD_LEAST = 0.2, 10


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Missing documents that were not removed because they are too many of the source's documents."""

    missing: int
    known: int

    def explanation(self) -> str:
        """Return the error of the run for staff: what was found and what to do."""
        return (
            f"{self.missing} of {self.known} pages are missing, so none was removed. Look at the site; then remove "
            "them with the action “Remove missing pages” or with `manage.py ingest TARGET --accept-missing`, or ingest "
            "again."
        )


def note_missing(document: Document, error: str) -> None:
    """Mark the document of an attempt as missing, or as gone when nothing of it is indexed.

    A page of a web site stays missing until a second run finds it missing; a file is missing for certain at once.
    """
    misses = MISSES_UNTIL_GONE if document.source.kind not in Source.WEB else document.misses + 1
    Document.objects.filter(id=document.pk).update(misses=misses, new_chunks=0, new_tokens=0)
    if not document.chunks.live().exists():
        Document.objects.settle(document.pk, state=Document.State.GONE, error=error)
        release_duplicates([document.pk])
        return
    if misses < MISSES_UNTIL_GONE:
        error += " Its last version is kept until the next run confirms that it is gone."
    Document.objects.settle(document.pk, state=Document.State.MISSING, error=error)


def note_unlisted(run: Run) -> None:
    """Mark what a complete listing does not name as missing for certain, or as gone when nothing of it is indexed."""
    error = f"{run.source.target} does not list it any more."
    rows = Document.objects.filter(source_id=run.source_id).exclude(run=run).exclude(state=Document.State.GONE)
    rows.filter(has_chunks(*Chunk.PENDING, Chunk.State.INDEXED, Chunk.State.FAILED)).update(
        state=Document.State.MISSING,
        run=run,
        misses=MISSES_UNTIL_GONE,
        lease_until=None,
        new_chunks=0,
        new_tokens=0,
        error=error,
        updated_at=timezone.now(),
    )
    retire(rows, error=error, run=run)


def settle_missing(run: Run) -> HeldBack | None:
    """Retire what is missing for certain, at the end of a run. Return what was held back instead, if it is too much."""
    missing = _missing_for_certain(run.source_id)
    count = missing.count()
    known = Document.objects.filter(source_id=run.source_id).holding_text().count()
    if count >= HELD_LEAST and count > HELD_SHARE * known:
        return HeldBack(count, known)
    retire(missing, run=run)
    return None


def accept_missing(source: Source) -> int:
    """Remove the missing documents that were held back, because a person agreed. Return how many."""
    removed = retire(_missing_for_certain(source.pk), run=None)
    Run.objects.filter(source=source, state=Run.State.HELD).update(state=Run.State.FINISHED, error="")
    return removed


def _missing_for_certain(source_id: int) -> DocumentQuerySet:
    """Return the query of a source's documents in state MISSING whose ``misses`` have come to MISSES_UNTIL_GONE."""
    return Document.objects.filter(source_id=source_id, state=Document.State.MISSING, misses__gte=MISSES_UNTIL_GONE)


def retire(documents: DocumentQuerySet, *, run: Run | None, error: str = "") -> int:
    """Take documents out of the index; the next drain deletes their chunks from Milvus. Return how many.

    They count in ``run`` and get ``error``; both stay as they are when none is given.
    """
    ids = list(documents.values_list("id", flat=True))
    changes: dict[str, Any] = {"run": run} if run else {}
    if error:
        changes["error"] = error
    with transaction.atomic():
        release_duplicates(ids)
        Chunk.objects.filter(document_id__in=ids).remove()
        return Document.objects.filter(id__in=ids).update(
            state=Document.State.GONE,
            lease_until=None,
            chunk_count=0,
            new_chunks=0,
            new_tokens=0,
            updated_at=timezone.now(),
            **changes,
        )


def release_duplicates(document_ids: list[int]) -> None:
    """Have the duplicates of these documents processed for themselves: in a run that is under way, or in the next."""
    duplicates = Document.objects.filter(duplicate_of_id__in=document_ids)
    known = list(duplicates.values_list("id", "run_id"))
    if known:
        duplicates.update(duplicate_of=None, content_hash="", text_hash="", version="", etag="", last_modified="")
    for run in Run.objects.filter(id__in={run_id for _, run_id in known}, state=Run.State.RUNNING):
        Document.objects.filter(id__in=[pk for pk, run_id in known if run_id == run.pk]).queue(run_id=run.pk)
