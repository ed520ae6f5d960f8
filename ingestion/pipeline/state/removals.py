"""Documents that a source seems to hold no more: kept until confirmed, held for a person when there are many.

A page is missing for certain when a complete listing leaves it out, or when a second run in a row gets
404 or 410 for it. Certain ones leave the index at the end of the run, unless they are more than a fifth
of the source: then something is wrong with the site or with us, and staff decide.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from ingestion.models import Chunk, Document, DocumentQuerySet, Run, Source, has_chunks

MISSES_UNTIL_GONE = 2
# More than this share of a source at once is held, and never fewer than this many pages: a person looks a
# handful over faster than anybody notices that they are held.
HELD_SHARE, HELD_LEAST = 0.2, 10


def note_missing(document: Document, error: str) -> None:
    """A page that was never indexed, or a missing file, leaves at once; an indexed page stays until it is certain."""
    misses = MISSES_UNTIL_GONE if document.source.kind not in Source.WEB else document.misses + 1
    indexed = document.chunks.live().exists()
    state = Document.State.MISSING if indexed else Document.State.GONE
    kept = (
        "" if misses >= MISSES_UNTIL_GONE else " Its last version is kept until the next run confirms that it is gone."
    )
    Document.objects.filter(id=document.pk).update(misses=misses, new_chunks=0, new_tokens=0)
    Document.objects.settle(document.pk, state=state, error=error + kept if indexed else error)
    if not indexed:
        release_duplicates([document.pk])


def unlisted(run: Run) -> None:
    """After a complete listing: what it does not name is missing for certain."""
    rows = Document.objects.filter(source_id=run.source_id).exclude(run=run).exclude(state=Document.State.GONE)
    rows.filter(has_chunks(*Chunk.PENDING, Chunk.State.INDEXED, Chunk.State.FAILED)).update(
        state=Document.State.MISSING,
        run=run,
        misses=MISSES_UNTIL_GONE,
        lease_until=None,
        new_chunks=0,
        new_tokens=0,
        error=f"{run.source.target} does not list it any more.",
        updated_at=timezone.now(),
    )
    retire(rows, error=f"{run.source.target} does not list it any more.", run=run)


def certain(source_id: int) -> DocumentQuerySet:
    return Document.objects.filter(source_id=source_id, state=Document.State.MISSING, misses__gte=MISSES_UNTIL_GONE)


def settle_missing(run: Run) -> str:
    """At the end of a run: retire what is certainly gone. Returns why not, when that is too much at once."""
    missing = certain(run.source_id)
    count = missing.count()
    known = Document.objects.filter(source_id=run.source_id).holding_text().count()
    if count >= HELD_LEAST and count > HELD_SHARE * known:
        return (
            f"{count} of {known} pages are missing, so none was removed. Look at the site; then remove them with the "
            "action “Remove missing pages” or with `manage.py ingest TARGET --accept-missing`, or ingest again."
        )
    retire(missing, run=run)
    return ""


def retire(documents: DocumentQuerySet, *, run: Run | None, error: str = "") -> int:
    """Take documents out of the index; their chunks are deleted from Milvus by the next drain."""
    ids = list(documents.values_list("id", flat=True))
    said: dict[str, Any] = {"run": run} if run else {}
    said |= {"error": error} if error else {}
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
            **said,
        )


def release_duplicates(document_ids: list[int]) -> None:
    """What was left out because these documents say the same is looked at again."""
    twins = Document.objects.filter(duplicate_of_id__in=document_ids)
    known = list(twins.values_list("id", "run_id"))
    if known:
        twins.update(duplicate_of=None, content_hash="", text_hash="", version="", etag="", last_modified="")
    for pk, run_id in known:
        if run_id and Run.objects.filter(id=run_id, state=Run.State.RUNNING).exists():
            Document.objects.filter(id=pk).queue(run_id=run_id)


def accept_missing(source: Source) -> int:
    """A person has looked: remove what is missing. Returns how many documents left."""
    removed = retire(certain(source.pk), run=None)
    Run.objects.filter(source=source, state=Run.State.HELD).update(state=Run.State.FINISHED, error="")
    return removed
