"""A run's source -> Document rows that wait to be fetched, or that are known to be unchanged already.

In: the id of a run that the dispatcher has leased. Out: rows, and the run's state: running, failed, or still listing
when it is to be tried again. Does not fetch documents.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F, Q
from django.utils import timezone

from ingestion.environment_faults import fault_behind, persistently
from ingestion.exceptions import EnvironmentFault, FetchFailed, HostBusy, IngestionError, Throttled, TransientError
from ingestion.models import Document, DocumentQuerySet, Run, Source
from ingestion.models.times import LONGEST_WAIT_SECONDS
from ingestion.pipeline.state.fingerprints import shape_of
from ingestion.pipeline.state.held_up import next_probe
from ingestion.pipeline.state.removals import note_unlisted, retire
from ingestion.sources.registry import BULK, list_documents, prepare
from ingestion.sources.web.url_scope import document_of, template
from ingestion.types import Listed, Listing

# Addresses in one INSERT and one UPDATE; SQLite allows 32 766 parameters.
ROWS_AT_ONCE = 500
# SQLite lets one process write at a time, and one that waits looks again every 0.1 s: without a gap of that
# length between two batches the listing of a huge source would keep everybody else from writing. The first rows are
# written without gaps, in 2 s at most: if a large source's first pages were started before a small source's rows are
# there, the small one would wait.
GAP_SECONDS, ROWS_IN_ONE_GO = 0.1, 5000
# This share of the pages whose date in the sitemap is unchanged is fetched all the same: a site that forgets to
# change its dates is noticed within a few runs, and 95 % of the requests are still saved.
SAMPLE_SHARE = 0.05
DIED = "The worker died each time it listed this source. Look at its size, then ingest it again."


def list_run(run_id: int) -> bool:
    """List what the source of the run holds now. Return True when documents wait; a failure is noted on the run."""
    run = Run.objects.select_related("source").filter(id=run_id, state=Run.State.LISTING).first()
    if run is None:  # it has ended meanwhile, or its source is gone
        return False
    if run.attempts >= settings.MAX_ATTEMPTS:
        return fail(run, DIED)
    Run.objects.filter(id=run_id).update(attempts=F("attempts") + 1)
    started = time.perf_counter()
    try:
        found = register_listing(run, list_and_prepare(run))
    except SoftTimeLimitExceeded:
        # What took too long once most likely does so again: the next attempt is the last. (This one is counted below.)
        run.attempts = max(run.attempts, settings.MAX_ATTEMPTS - 2)
        words = (
            f"Listing {run.source.target} took longer than {settings.LIST_TIME_LIMIT_SECONDS} s. Divide the source, "
            f"name a part of it, or raise LIST_TIME_LIMIT_SECONDS."
        )
        return list_later(run, FetchFailed(words))
    except (IngestionError, OSError, DatabaseError) as error:
        if fault := fault_behind(error):
            return persistently(lambda: list_later(run, fault))
        if isinstance(error, TransientError):
            return list_later(run, error)
        if isinstance(error, DatabaseError):
            raise
        return fail(run, str(error))
    if not found:
        return fail(run, f"{run.source.target} holds nothing to index.")
    seconds = time.perf_counter() - started
    Run.objects.filter(id=run_id, state=Run.State.LISTING).update(
        state=Run.State.RUNNING, lease_until=None, held_up_until=None, note="", list_seconds=seconds
    )
    return True


def list_and_prepare(run: Run) -> Listing:
    """Return the source's listing, and download a source that comes as a whole if any of its documents changed."""
    spec = run.source.spec()
    listing = list_documents(spec)
    if spec.kind in BULK:
        known = Document.objects.filter(source_id=run.source_id).current(shape_of(run.source))
        versions = set(known.values_list("url", "version"))
        if any((each.url, each.version) not in versions for each in listing.documents):
            prepare(spec)
    return listing


def fail(run: Run, error: str) -> bool:
    """End the run with this error. Return False: no documents wait."""
    Run.objects.finish(run.pk, state=Run.State.FAILED, error=error)
    return False


def list_later(run: Run, error: TransientError) -> bool:
    """Put the next attempt off, or fail the run when its attempts are used up. Return False: no documents wait.

    The run's lease ends when it is time for the next attempt, and then the dispatcher takes it up again. An attempt
    that the host put off, or that the surroundings prevented, does not count.
    """
    is_held_up = isinstance(error, EnvironmentFault)
    attempts = run.attempts + (0 if is_held_up or isinstance(error, HostBusy | Throttled) else 1)
    if attempts >= settings.MAX_ATTEMPTS:
        return fail(run, str(error))
    seconds = max(error.retry_after or 0, settings.RETRY_SECONDS * 2**run.attempts)
    until = timezone.now() + timedelta(seconds=min(seconds, LONGEST_WAIT_SECONDS))
    if is_held_up:
        until = next_probe()
    Run.objects.filter(id=run.pk, state=Run.State.LISTING).update(
        lease_until=until, held_up_until=until if is_held_up else None, note=str(error), attempts=attempts
    )
    return False


# --- Rows ---------------------------------------------------------------------------------------------


def register_listing(run: Run, listing: Listing) -> int:
    """Queue what is listed, then deal with known documents that are not. Return how many were listed."""
    Run.objects.filter(id=run.pk).update(complete=listing.complete, remarks=dict.fromkeys(listing.notes, ""))
    found = register_all(run, listing.documents)
    if found and not listing.complete:
        # It says nothing of what it leaves out: that is fetched too, unless the source does not cover it any more.
        register_all(run, still_covered(run))
    if found:
        settle_unlisted(run, complete=listing.complete)
    return found


@transaction.atomic
def settle_unlisted(run: Run, *, complete: bool) -> None:
    """Mark what a complete listing does not name as missing, or retire what the source does not cover any more.

    A run that has ended meanwhile has not taken up what it lists, so that nothing follows from what it lacks.
    """
    if not Run.objects.active().filter(id=run.pk).select_for_update().first():
        return
    if complete:
        note_unlisted(run)
    else:
        retire(not_taken_up(run), error=f"{run.source.target} does not cover this address any more.", run=run)


def still_covered(run: Run) -> Iterator[Listed]:
    """Yield the documents that have not come into the run and that its source covers as it is set now.

    What is gone from a website is looked at again: a page that links to it and has not changed does not name it anew.
    What its robots.txt forbids now is told by the document itself, as it may do so for an hour only.
    """
    if run.source.kind != Source.Kind.WEBSITE:
        yield from map(Listed, list(not_taken_up(run).values_list("url", flat=True)))
        return
    spec = run.source.spec()
    for url in list(outside_run(run).values_list("url", flat=True)):
        if covered := document_of(spec, url):
            yield Listed(covered)


def not_taken_up(run: Run) -> DocumentQuerySet:
    """Return the documents of the run's source that have not come into the run, without those that are gone."""
    return outside_run(run).exclude(state=Document.State.GONE)


def outside_run(run: Run) -> DocumentQuerySet:
    """Return the documents of the run's source that have not come into the run."""
    return Document.objects.filter(source_id=run.source_id).filter(Q(run=None) | ~Q(run=run))


def register_all(run: Run, documents: Iterable[Listed]) -> int:
    """Queue a whole listing, however long, and let others write in between. Return how many documents it had."""
    total = 0
    for batch in batched(documents, ROWS_AT_ONCE):
        if total >= ROWS_IN_ONE_GO:
            time.sleep(GAP_SECONDS)
        register_batch(run, batch, depth=0)
        total += len(batch)
    return total


def register(run: Run, documents: Iterable[Listed], *, depth: int = 0) -> None:
    """Queue these documents for the run without a pause, so that it can be part of a transaction."""
    for batch in batched(documents, ROWS_AT_ONCE):
        register_batch(run, batch, depth=depth)


@transaction.atomic
def register_batch(run: Run, listed: list[Listed], *, depth: int) -> None:
    """Create rows for new documents, and queue the known ones that the listing does not show to be unchanged.

    A run that has ended meanwhile, because staff cancelled it, takes no more.
    """
    if not Run.objects.active().filter(id=run.pk).exists():
        return
    versions = {each.url: each.version[:200] for each in listed}
    # Only pages that were found by links can be a crawler's trap, so that only they are counted by their form.
    has_form = depth and run.source.kind in Source.WEB
    rows = [
        Document(
            source_id=run.source_id,
            run=run,
            url=url,
            depth=depth,
            listed_version=version,
            template=template(url)[:300] if has_form else "",
        )
        for url, version in versions.items()
    ]
    Document.objects.bulk_create(rows, ignore_conflicts=True)
    known = Document.objects.filter(source_id=run.source_id, url__in=versions).exclude(run=run)
    changed = [row for row in known.only("id", "url", "listed_version") if row.listed_version != versions[row.url]]
    for row in changed:
        row.listed_version = versions[row.url]
    Document.objects.bulk_update(changed, ["listed_version"], batch_size=ROWS_AT_ONCE)
    known.active().update(run_id=run.pk)  # what a cancelled run had fetched is embedded in this one
    known.filter(id__in=unchanged_by_listing(run, known)).keep(run_id=run.pk)
    known.queue(run_id=run.pk)


def unchanged_by_listing(run: Run, known: DocumentQuerySet) -> list[int]:
    """Return the ids of documents whose listed version is the stored one.

    Where the versions are a site's dates, a sample is left out, and all are once a date has been false.
    """
    dated = run.source.kind in Source.WEB
    if dated and not run.source.trusts_dates:
        return []
    same = known.current(shape_of(run.source)).filter(version=F("listed_version")).exclude(version="")
    ids = list(same.values_list("id", flat=True))
    return [i for i in ids if random.random() >= SAMPLE_SHARE] if dated else ids  # noqa: S311


def batched(items: Iterable[Listed], size: int) -> Iterator[list[Listed]]:
    """Yield lists of ``size`` items, the last one shorter; ``itertools`` has this from Python 3.12 on."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
