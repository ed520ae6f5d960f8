"""How an attempt ends on the document's row when it brings no new text."""

from __future__ import annotations

import random
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from ingestion.exceptions import HostBusy, Throttled
from ingestion.models import Document, Source
from ingestion.models.times import LONGEST_WAIT_SECONDS
from ingestion.pipeline.state.removals import release_duplicates, retire
from ingestion.types import Extracted

# Up to here the same message comes again by itself; beyond, the rows remember the time, because a message that
# waits long is delivered twice by Redis.
SHORT_WAIT_SECONDS = 10.0
CRAWLED = (Source.Kind.WEBSITE, Source.Kind.SITEMAP)
KEPT = ["fetch_seconds", "extract_seconds", "chunk_seconds", "content_hash", "etag", "last_modified"]
SETTLED = ["state", "error", "misses", "unchanged_by", "new_chunks", "new_tokens", "lease_until", "updated_at"]


@transaction.atomic
def leave_unchanged(document: Document, layer: str) -> bool:
    """What is stored stands; ``layer`` showed it. False: nothing waits for the embedder."""
    now = Document.objects.select_for_update().only("duplicate_of").get(id=document.pk)
    if document.duplicate_of_id and not now.duplicate_of_id:  # set free meanwhile: it has to speak for itself
        Document.objects.retry_later(document.pk, error="", delay=timedelta())
        return False
    document.state = Document.State.DUPLICATE if document.duplicate_of_id else Document.State.UNCHANGED
    document.unchanged_by, document.error, document.misses = layer, "", 0
    document.new_chunks = document.new_tokens = 0
    document.version = document.listed_version
    document.lease_until, document.updated_at = None, timezone.now()
    document.save(update_fields=[*KEPT, *SETTLED, "version"])
    return False


def leave_shrunk(document: Document, digest: str, extracted: Extracted) -> bool:
    """Far less text than before: kept as it was until a second run finds the same again."""
    before, now = len(document.markdown), len(extracted.markdown)
    Document.objects.filter(id=document.pk).update(suspect_hash=digest)
    words = (
        f"{document.url} shrank from {before} to {now} characters; the old text is kept until the next run confirms it"
    )
    leave_suspect(document, words)
    return False


def leave_suspect(document: Document, error: str) -> None:
    """An error page, a login or a shell in a page's place never replaces good text."""
    if document.chunks.live().exists():
        Document.objects.filter(id=document.pk).update(new_chunks=0, new_tokens=0, unchanged_by="")
        Document.objects.settle(document.pk, state=Document.State.UNCHANGED, error=error)
    else:
        leave_out(document, error)


def leave_out(document: Document, error: str) -> None:
    """Something that a page links to or a sitemap names, and that is not ours to read or not readable, is no
    failure; a page that staff named is one."""
    source = document.source
    if document.depth or (source.kind in CRAWLED and document.url != source.target):
        Document.objects.settle(document.pk, state=Document.State.GONE, error=error)
        retire(Document.objects.filter(id=document.pk), run=None)
    else:
        fail(document, error)


def fail(document: Document, error: str) -> None:
    """What the document said before still answers; what was left to it for that stands for itself again."""
    Document.objects.filter(id=document.pk).update(new_chunks=0, new_tokens=0)
    Document.objects.settle(document.pk, state=Document.State.FAILED, error=error)
    if not document.chunks.live().exists():
        release_duplicates([document.pk])


def try_again(document: Document, error: str, *, wish: float | None = None) -> None:
    """Put the document back in line, later each time; after MAX_ATTEMPTS it has failed."""
    if document.attempts >= settings.MAX_ATTEMPTS:
        fail(document, error)
        return
    backoff = settings.RETRY_SECONDS * 2 ** (document.attempts - 1) * random.uniform(0.5, 1.5)  # noqa: S311
    delay = timedelta(seconds=min(max(backoff, wish or 0), LONGEST_WAIT_SECONDS))
    Document.objects.retry_later(document.pk, error=error, delay=delay)


def try_once_more(document: Document, error: str) -> None:
    """Put a document that took too long back in line for its last attempt. It was unlucky (a busy machine), or it takes
    too long each time, and each time holds a worker for as long as one may be held."""
    document.attempts = max(document.attempts, settings.MAX_ATTEMPTS - 1)
    Document.objects.filter(id=document.pk, state=Document.State.FETCHING).update(attempts=document.attempts)
    try_again(document, error)


def wait_turn(document: Document, busy: HostBusy) -> float | None:
    """Not this host's turn. Seconds until the same message should come again, or None when the row waits."""
    seconds, attempt = min(busy.retry_after or 0.0, LONGEST_WAIT_SECONDS), document.attempts - 1
    now = timezone.now()
    if seconds <= SHORT_WAIT_SECONDS:
        lease = timedelta(seconds=seconds + settings.LEASE_SECONDS)
        Document.objects.give_attempt_back(document.pk, attempt=attempt, until=now + lease)
        return seconds
    until = now + timedelta(seconds=seconds)
    Document.objects.wait_for_host(document.pk, attempt=attempt, error=str(busy), until=until)
    pause(document, busy)
    return None


def pause(document: Document, error: HostBusy | Throttled) -> None:
    """Start no more documents of a source whose one host wants to be left alone."""
    seconds = min(error.retry_after or 0.0, LONGEST_WAIT_SECONDS)
    if seconds > SHORT_WAIT_SECONDS:
        until = timezone.now() + timedelta(seconds=seconds)
        Source.objects.filter(id=document.source_id, kind__in=Source.ONE_HOST).update(paused_until=until)
