"""What people do to a source that exists: pause, resume, cancel, try again, embed again.

In: a source. Out: its rows, changed at once; the workers follow the rows. What the admin's lists and first page, the
REST interface and the commands offer is this, so that it does the same everywhere. Does not send messages, and does not
ask who may do it.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from ingestion.models import Chunk, Document, Run, Source
from ingestion.pipeline.state.runs import start_run

CANCELLED = "Its run was cancelled before it was fetched; the next run fetches it."
NOT_FETCHED = (Document.State.WAITING, Document.State.FETCHING)


def pause(source: Source) -> None:
    """List and fetch nothing of the source until it is resumed."""
    Source.objects.filter(pk=source.pk).update(paused=True)


def resume(source: Source) -> None:
    """Let a paused source be listed and fetched again."""
    Source.objects.filter(pk=source.pk).update(paused=False)


def cancel(source: Source) -> int | None:
    """End the run that is under way. Return how many documents it leaves unfetched, or None when none is under way.

    What was fetched is still embedded and indexed, and nothing is removed from the index.
    """
    with transaction.atomic():
        run = Run.objects.active().filter(source=source).first()
        if run is None or not Run.objects.finish(run.pk, state=Run.State.CANCELLED, error="Cancelled by staff."):
            return None
        return Document.objects.filter(source=source, state__in=NOT_FETCHED).update(
            state=Document.State.CANCELLED, error=CANCELLED, lease_until=None, updated_at=timezone.now()
        )


def retry_failed(source: Source) -> int:
    """Queue the failed documents of the source again. Return how many."""
    failed = Document.objects.filter(source=source, state__in=Document.UNSUCCESSFUL)
    return failed.queue(run_id=start_run(source).pk)


def embed_again(source: Source) -> int:
    """Have the vectors of all chunks of the source made again; the old ones answer until then. Return how many."""
    return Chunk.objects.filter(document__source=source).embed_again()
