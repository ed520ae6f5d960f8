"""A run's source -> Document rows that wait to be fetched."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from django.db import transaction

from ingestion.exceptions import IngestionError
from ingestion.models import Chunk, Document, Run
from ingestion.sources import KINDS

# One INSERT and one UPDATE for this many addresses; SQLite allows 32 766 parameters.
ROWS_AT_ONCE = 500


def list_run(run_id: int) -> bool:
    """List what the source holds now. True when documents wait; a failure is noted on the run."""
    run = Run.objects.select_related("source").get(id=run_id)
    if run.state != Run.State.LISTING:
        return False
    started = time.perf_counter()
    try:
        found = register(run, KINDS[run.source.kind].list_documents(run.source.spec()))
    except (IngestionError, OSError) as error:
        Run.objects.finish(run_id, state=Run.State.FAILED, error=str(error))
        return False
    if not found:
        Run.objects.finish(run_id, state=Run.State.FAILED, error=f"{run.source.target} holds nothing to index.")
        return False
    if run.source.kind == run.source.Kind.FILES:
        retire_unlisted(run)
    Run.objects.filter(id=run_id, state=Run.State.LISTING).update(
        state=Run.State.RUNNING, lease_until=None, list_seconds=time.perf_counter() - started
    )
    return True


def register(run: Run, urls: Iterable[str], *, depth: int = 0) -> int:
    """Queue these addresses for the run, creating rows for new ones. Returns how many were given."""
    total = 0
    for batch in batched(urls, ROWS_AT_ONCE):
        register_batch(run, batch, depth=depth)
        total += len(batch)
    return total


@transaction.atomic
def register_batch(run: Run, urls: list[str], *, depth: int) -> None:
    rows = [Document(source_id=run.source_id, run=run, url=url, depth=depth) for url in urls]
    Document.objects.bulk_create(rows, ignore_conflicts=True)
    known = Document.objects.filter(source_id=run.source_id, url__in=urls).exclude(run=run)
    known.queue(run_id=run.pk)


def retire_unlisted(run: Run) -> int:
    """A complete listing without a known document means that it is gone."""
    missing = Document.objects.filter(source_id=run.source_id).exclude(run=run).exclude(state=Document.State.GONE)
    ids = list(missing.values_list("id", flat=True))
    with transaction.atomic():
        Chunk.objects.filter(document_id__in=ids).remove()
        return Document.objects.filter(id__in=ids).update(state=Document.State.GONE, run=run, chunk_count=0)


def batched(items: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
