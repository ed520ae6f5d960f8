"""One document -> Chunk rows: fetch, extract, cut, compare with what is stored.

In: the id of a document that the dispatcher has leased, and its attempt. Out: ``Next``, and on the document's row
chunks that wait for the embedder, "unchanged", or an error that says what to do. Does not embed, and sends no message.
Only a worker that vanishes leaves a row in flight, and its lease brings it back.

Work is spared by these layers, cheapest first: the listing (before this module), the server's 304, equal bytes, equal
text, equal chunks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from ingestion.chunking.chunker import chunk, load_tokenizer
from ingestion.environment_faults import fault_behind, persistently
from ingestion.exceptions import (
    AddressRefused,
    ErrorPage,
    HostBusy,
    IndexingRefused,
    LeaseLost,
    PageGone,
    PermanentError,
    Throttled,
    TransientError,
    UnsupportedContent,
)
from ingestion.extraction.extract import extract
from ingestion.fetching import meta_refresh
from ingestion.models import Chunk, Document, Source
from ingestion.pipeline.discover.follow_links import follow_links
from ingestion.pipeline.process import duplicates, outcomes
from ingestion.pipeline.process.attempts import hold
from ingestion.pipeline.process.sync_chunks import reconcile
from ingestion.pipeline.state.fingerprints import content_hash, shape_of, text_hash
from ingestion.pipeline.state.held_up import go_on, hold_up
from ingestion.pipeline.state.removals import note_missing, release_duplicates
from ingestion.pipeline.state.transitions import advance
from ingestion.sources.registry import fetch
from ingestion.types import Extracted, Page, TextChunk, Validators
from ragproject import tracing

logger = logging.getLogger(__name__)

# A text of at least this many characters that shrinks below this share is more often an error page than an edit.
SHRINK_SHARE, SHRINK_LEAST_CHARS = 0.2, 2000
TOO_SLOW = "Divide it, exclude it, or raise PAGE_TIME_LIMIT_SECONDS."


class Next(NamedTuple):
    """What follows an attempt: chunks wait for the embedder, or the same message comes again after so many seconds."""

    embed: bool = False
    again_in: float | None = None


def process(document_id: int, attempt: int) -> Next:
    """Run one attempt and return what follows it. Do nothing when another worker has the attempt, or gets it meanwhile.

    Whatever a page provokes is noted on its row; nothing is raised. A fault of the surroundings is noted on the run,
    and the document waits as if it had not been tried.
    """
    until = timezone.now() + timedelta(seconds=settings.PAGE_TIME_LIMIT_SECONDS + settings.LEASE_SECONDS)
    if not persistently(lambda: Document.objects.start_attempt(document_id, attempt=attempt, until=until)):
        return Next()
    document = Document.objects.select_related("source", "run").filter(id=document_id).first()
    if document is None:  # its source has just been deleted
        return Next()
    try:
        return attempt_now(document)
    except LeaseLost as error:
        logger.info("document %s: %s", document_id, error)
        return Next()


def attempt_now(document: Document) -> Next:
    """Fetch and store the document, or note why that failed. Raise LeaseLost when it was taken from this worker."""
    try:
        embed = fetch_and_compare(document)
    except LeaseLost:
        raise
    except Exception as error:  # the border of the worker: one page must not end it
        if fault := fault_behind(error):
            hold_up(document, fault)
            return Next()
        return end_attempt(document, error)
    go_on(document.run)
    return Next(embed)


@transaction.atomic
def end_attempt(document: Document, error: Exception) -> Next:
    """Note on the document's row how the attempt failed. Return what follows it."""
    hold(document)
    words = str(error).encode(errors="replace").decode().replace("\0", "")  # a server's words may be among them
    match error:
        case HostBusy():
            return Next(again_in=outcomes.wait_for_host(document, error))
        case Throttled():
            outcomes.pause_source(document, error)
            outcomes.try_again(document, words, at_least=error.retry_after)
        case PageGone():
            note_missing(document, words)
        case ErrorPage():
            outcomes.leave_error_page(document, words)
        case IndexingRefused():
            outcomes.leave_out(document, words)
        case AddressRefused() | UnsupportedContent():
            outcomes.leave_unread(document, words)
        case PermanentError():
            outcomes.fail(document, words)
        case TransientError():
            outcomes.try_again(document, words, at_least=error.retry_after)
        case SoftTimeLimitExceeded():
            words = f"{document.url} took longer than {settings.PAGE_TIME_LIMIT_SECONDS} s. {TOO_SLOW}"
            outcomes.try_once_more(document, words)
        case _:
            logger.error("document %s: unexpected error", document.pk, exc_info=error)
            words = f"Unexpected {type(error).__name__}: {error}. The worker's log has the details."
            outcomes.try_again(document, words)
    return Next()


def fetch_and_compare(document: Document) -> bool:
    """Fetch the document and store what is new about it. Return whether chunks wait for the embedder."""
    source, clock = document.source, Stopwatch()
    shape = shape_of(source)
    # A new document has no shape yet, which spares the query.
    current = document.shape == shape and Document.objects.filter(id=document.pk).current(shape).exists()
    page = fetch(source.spec(), document.url, document.validators() if current else Validators())
    document.fetch_seconds, document.extract_seconds, document.chunk_seconds = clock.lap(), 0, 0
    if page is None:
        return outcomes.leave_unchanged(document, Document.Layer.NOT_MODIFIED)
    if source.kind == Source.Kind.GITHUB:  # what was read may be older than what was listed: say which it is
        document.listed_version = page.etag or document.listed_version
    before, document.content_hash = document.content_hash, content_hash(page)
    document.etag, document.last_modified = page.etag[:512], page.last_modified[:100]
    if current and document.content_hash == before:
        return outcomes.leave_unchanged(document, Document.Layer.BYTES)
    # Those of web sites were followed by the fetcher.
    if source.kind not in Source.WEB and (target := meta_refresh.target(page)):
        return outcomes.leave_out_signpost(document, f"only sends its readers on to {target}")
    with tracing.step("extract", attributes={"ragproject.page.bytes": len(page.body)}):
        extracted = extract(page)
    document.extract_seconds = clock.lap()
    return compare_text(document, page, extracted, clock, current=current)


def compare_text(document: Document, page: Page, extracted: Extracted, clock: Stopwatch, *, current: bool) -> bool:
    """Decide whether the text is refused, unchanged, too short to be true, another document's, or new.

    ``current``: the stored text is wholly in the index. Return whether chunks wait for the embedder. Raise
    IndexingRefused when the page asks not to be indexed.
    """
    source, title = document.source, page.title or extracted.title
    digest = text_hash(title, extracted)
    if extracted.frames:
        follow_links(document, page.url, (*extracted.frames, *extracted.links))
        return outcomes.leave_out_signpost(document, f"is a frameset for {', '.join(extracted.frames[:5])}")
    if not extracted.indexable:
        follow_links(document, page.url, extracted.links)
        raise IndexingRefused(f"{document.url} asks not to be indexed (meta robots or X-Robots-Tag)")
    document.dropped = {each.rule: each.words for each in extracted.dropped}
    if current and digest == document.text_hash:
        follow_links(document, page.url, extracted.links)
        return outcomes.leave_unchanged(document, Document.Layer.TEXT)
    length_before = len(document.markdown) if source.kind in Source.WEB else 0
    shrank = length_before >= SHRINK_LEAST_CHARS and len(extracted.markdown) < SHRINK_SHARE * length_before
    if shrank and document.suspect_hash != digest:
        return outcomes.leave_shrunk(document, digest, extracted)
    document.shape, document.text_hash, document.suspect_hash = shape_of(source), digest, ""
    document.title = title[:500]
    if current and document.version and document.version == document.listed_version:
        # New text under the old date: this site's dates cannot spare us requests any more.
        Source.objects.filter(id=document.source_id, kind__in=Source.WEB).update(trusts_dates=False)
    if original := duplicates.find_original(document, page, extracted):
        follow_links(document, page.url, extracted.links)
        return duplicates.mark_duplicate(document, original)
    tokenizer = load_tokenizer(settings.MODEL_PATH)
    with tracing.step("chunk"):
        chunks = chunk(replace(extracted, title=title), tokenizer=tokenizer, max_tokens=settings.CHUNK_TOKENS)
    document.chunk_seconds = clock.lap()
    return store(document, page, extracted, chunks)


@transaction.atomic
def store(document: Document, page: Page, extracted: Extracted, chunks: Sequence[TextChunk]) -> bool:
    """Write the document and its chunks in one transaction, and queue the pages it links to.

    Another worker may have stored the same text under another address meanwhile: then this one is its duplicate. Return
    whether chunks wait for the embedder.
    """
    duplicates.one_at_a_time(document)
    hold(document)
    if original := duplicates.find_same_text(document):
        follow_links(document, page.url, extracted.links)
        return duplicates.mark_duplicate(document, original)
    changed = reconcile(document, chunks)
    waiting = document.chunks.filter(state=Chunk.State.WAITING)
    sizes = list(waiting.values_list("tokens", flat=True))
    document.markdown = extracted.markdown
    document.chunk_count = len(chunks)
    document.new_chunks, document.new_tokens = len(sizes), sum(sizes)
    document.state = Document.State.EMBEDDING if changed or sizes else Document.State.UNCHANGED
    document.unchanged_by = "" if changed or sizes else Document.Layer.TEXT
    document.version, document.duplicate_of = document.listed_version, None
    document.error, document.misses, document.lease_until = "", 0, None
    document.updated_at = timezone.now()
    document.save()
    release_duplicates([document.pk])
    follow_links(document, page.url, extracted.links)
    if not sizes:  # nothing to embed, so chunks that leave are all that it may wait for
        advance([document.pk])
    return bool(sizes)


class Stopwatch:
    """Measures the seconds between calls of ``lap``."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since the call before, or since the stopwatch was made."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        return seconds
