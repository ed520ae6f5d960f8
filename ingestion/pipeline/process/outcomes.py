"""How an attempt ends on the document's row when it brings no new text.

In: a document in a worker's hands and what happened. Out: its row unchanged, left out, failed or waiting again, and
what follows for its chunks, its duplicates and its source. Does not decide what happened.
"""

from __future__ import annotations

import random
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from ingestion.exceptions import HostBusy, Throttled
from ingestion.models import Document, Source
from ingestion.models.times import LONGEST_WAIT_SECONDS
from ingestion.pipeline.process.attempts import hold
from ingestion.pipeline.state.removals import note_missing, release_duplicates, retire
from ingestion.types import Extracted

# A wait up to this long is left to the message, which comes again by itself. The rows remember a longer one, because
# Redis delivers a message that waits long twice.
SHORT_WAIT_SECONDS = 10.0
CRAWLED = (Source.Kind.WEBSITE, Source.Kind.SITEMAP)
KEPT = ["fetch_seconds", "extract_seconds", "chunk_seconds", "content_hash", "etag", "last_modified", "dropped"]
SETTLED = ["state", "error", "misses", "unchanged_by", "new_chunks", "new_tokens", "lease_until", "updated_at"]


@transaction.atomic
def leave_unchanged(document: Document, layer: str) -> bool:
    """Keep what is stored; ``layer`` showed that it is current. Return False: nothing waits for the embedder."""
    now = hold(document)
    if document.duplicate_of_id and not now.duplicate_of_id:  # released meanwhile: it may need chunks of its own
        Document.objects.retry_later(document.pk, error="", delay=timedelta())
        return False
    document.state = Document.State.DUPLICATE if document.duplicate_of_id else Document.State.UNCHANGED
    document.unchanged_by, document.error, document.misses = layer, "", 0
    document.new_chunks = document.new_tokens = 0
    document.version = document.listed_version
    document.lease_until, document.updated_at = None, timezone.now()
    document.save(update_fields=[*KEPT, *SETTLED, "version"])
    return False


@transaction.atomic
def leave_shrunk(document: Document, digest: str, extracted: Extracted) -> bool:
    """Keep the old text of a page that shrank, until a second run finds the same text, told by ``digest``.

    Return False: nothing waits for the embedder.
    """
    hold(document)
    before, now = len(document.markdown), len(extracted.markdown)
    Document.objects.filter(id=document.pk).update(suspect_hash=digest)
    words = (
        f"{document.url} shrank from {before} to {now} characters; the old text is kept until the next run confirms it"
    )
    leave_error_page(document, words)
    return False


def leave_error_page(document: Document, error: str) -> None:
    """Keep good text that an error page, a login or an empty shell would replace; without any, leave the page out."""
    if document.chunks.live().exists():
        Document.objects.filter(id=document.pk).update(new_chunks=0, new_tokens=0, unchanged_by="")
        Document.objects.settle(document.pk, state=Document.State.UNCHANGED, error=error)
    else:
        leave_out(document, error)


def leave_unread(document: Document, error: str) -> None:
    """Leave out a page that cannot be had; what is indexed of it stays until a second run finds the same.

    For an hour a site may send all its readers to a login, answer with nothing or with the wrong media type, or forbid
    everything, and a network may answer for the names of all hosts.
    """
    if was_found(document) and document.chunks.live().exists():
        note_missing(document, error)
    else:
        leave_out(document, error)


def leave_out(document: Document, error: str) -> None:
    """Take a page out of the index, now.

    It is no failure when a page links to it or a sitemap names it, and one when staff named it.
    """
    if was_found(document):
        Document.objects.settle(document.pk, state=Document.State.GONE, error=error)
        retire(Document.objects.filter(id=document.pk), run=None)
    else:
        fail(document, error)


def was_found(document: Document) -> bool:
    """Return whether a page or a sitemap led to the document, rather than a person who named it."""
    source = document.source
    return bool(document.depth) or (source.kind in CRAWLED and document.url != source.target)


@transaction.atomic
def leave_out_signpost(document: Document, what_it_does: str) -> bool:
    """Leave out a page that only leads to other documents. Return False: nothing waits for the embedder.

    It is a failure only on a list of addresses, since that is read without following anything.
    """
    hold(document)
    error = f"{document.url} {what_it_does}, and has no text of its own."
    if document.source.kind == Source.Kind.URLS:
        fail(document, f"{error} List those pages instead.")
    else:
        retire(Document.objects.filter(id=document.pk), run=None, error=error)
    return False


def fail(document: Document, error: str) -> None:
    """Fail the document. Chunks that it has still answer; if it has none, its duplicates stand for themselves again."""
    Document.objects.filter(id=document.pk).update(new_chunks=0, new_tokens=0)
    Document.objects.settle(document.pk, state=Document.State.FAILED, error=error)
    if not document.chunks.live().exists():
        release_duplicates([document.pk])


def try_again(document: Document, error: str, *, at_least: float | None = None) -> None:
    """Put the document back in line, later each time; after MAX_ATTEMPTS it has failed.

    ``at_least``: seconds that the server asked to wait.
    """
    if document.attempts >= settings.MAX_ATTEMPTS:
        fail(document, error)
        return
    backoff = settings.RETRY_SECONDS * 2 ** (document.attempts - 1) * random.uniform(0.5, 1.5)  # noqa: S311
    delay = timedelta(seconds=min(max(backoff, at_least or 0), LONGEST_WAIT_SECONDS))
    Document.objects.retry_later(document.pk, error=error, delay=delay)


def try_once_more(document: Document, error: str) -> None:
    """Put a document that took too long back in line for its last attempt.

    Either it was unlucky (a busy machine), or it takes too long each time, and each time holds a worker for as long as
    one may be held.
    """
    document.attempts = max(document.attempts, settings.MAX_ATTEMPTS - 1)
    Document.objects.filter(id=document.pk, state=Document.State.FETCHING).update(attempts=document.attempts)
    try_again(document, error)


def wait_for_host(document: Document, busy: HostBusy) -> float | None:
    """Put off a document whose host is busy; the attempt does not count.

    Return the seconds until the same message should come again, or None when the row waits instead.
    """
    seconds, attempt = min(busy.retry_after or 0.0, LONGEST_WAIT_SECONDS), document.attempts - 1
    now = timezone.now()
    if seconds <= SHORT_WAIT_SECONDS:
        lease = timedelta(seconds=seconds + settings.LEASE_SECONDS)
        Document.objects.give_attempt_back(document.pk, attempt=attempt, until=now + lease)
        return seconds
    until = now + timedelta(seconds=seconds)
    Document.objects.put_off(document.pk, attempt=attempt, error=str(busy), until=until)
    pause_source(document, busy)
    return None


def pause_source(document: Document, error: HostBusy | Throttled) -> None:
    """Start no more documents of the source for as long as its one host wants to be left alone."""
    seconds = min(error.retry_after or 0.0, LONGEST_WAIT_SECONDS)
    if seconds > SHORT_WAIT_SECONDS:
        until = timezone.now() + timedelta(seconds=seconds)
        Source.objects.filter(id=document.source_id, kind__in=Source.ONE_HOST).update(paused_until=until)
