"""One document -> Chunk rows: fetch, extract, cut, compare with what is stored.

Each outcome ends on the document's row: chunks that wait for the embedder, "unchanged", or an error
with what to do. Only vanished workers leave a row in flight, and its lease brings it back.
"""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from ingestion.chunker import chunk, load_tokenizer
from ingestion.exceptions import AddressRefused, PageGone, PermanentError, TransientError, UnsupportedContent
from ingestion.extractor import extract
from ingestion.models import Chunk, Document, Source
from ingestion.pipeline.listing import register
from ingestion.pipeline.progress import advance
from ingestion.sources import KINDS
from ingestion.types import Extracted, Page, TextChunk, embedding_text

logger = logging.getLogger(__name__)

# Changes whenever extraction or cutting changes what the same bytes become.
PROCESSING_VERSION = "1"
RETRY_CAP_SECONDS = 3600.0
MISSES_UNTIL_GONE = 2
CONTENT_FIELDS = ("position", "heading", "anchor", "start", "end", "tokens")


def process(document_id: int, attempt: int) -> bool:
    """Run one attempt. True when chunks now wait for the embedder."""
    until = timezone.now() + timedelta(seconds=settings.PAGE_TIME_LIMIT_SECONDS + settings.LEASE_SECONDS)
    if not Document.objects.start_attempt(document_id, attempt=attempt, until=until):
        return False
    document = Document.objects.select_related("source", "run").get(id=document_id)
    try:
        return absorb(document)
    except PageGone as error:
        note_missing(document, str(error))
    except (AddressRefused, UnsupportedContent) as error:
        leave_out(document, str(error))
    except PermanentError as error:
        Document.objects.settle(document_id, state=Document.State.FAILED, error=str(error))
    except TransientError as error:
        try_again(document, str(error), wish=error.retry_after)
    except SoftTimeLimitExceeded:
        try_again(document, f"Took longer than {settings.PAGE_TIME_LIMIT_SECONDS} s (PAGE_TIME_LIMIT_SECONDS).")
    except Exception as error:
        # The border of the worker: whatever a page provokes belongs on its row, and only there.
        logger.exception("document %s: unexpected error", document_id)
        try_again(document, f"Unexpected {type(error).__name__}: {error}. The worker's log has the details.")
    return False


def absorb(document: Document) -> bool:
    """Fetch and store what the document is now."""
    source, clock = document.source, Stopwatch()
    page = KINDS[source.kind].fetch(source.spec(), document.url)
    document.fetch_seconds = clock.lap()
    digest = content_hash(page)
    if digest == document.content_hash and source.kind == Source.Kind.FILES and is_complete(document):
        return leave_unchanged(document)
    extracted = extract(page)
    document.extract_seconds = clock.lap()
    chunks = chunk(extracted, tokenizer=load_tokenizer(settings.MODEL_PATH), max_tokens=settings.CHUNK_TOKENS)
    document.chunk_seconds = clock.lap()
    document.content_hash, document.etag, document.last_modified = digest, page.etag, page.last_modified
    return store(document, page, extracted, chunks)


@transaction.atomic
def store(document: Document, page: Page, extracted: Extracted, chunks: Sequence[TextChunk]) -> bool:
    """Write the document and its chunks in one transaction, and queue the pages it links to."""
    changed = reconcile(document, chunks)
    waiting = document.chunks.filter(state=Chunk.State.WAITING)
    sizes = list(waiting.values_list("tokens", flat=True))
    document.title = extracted.title[:500]
    document.markdown = extracted.markdown
    document.chunk_count = len(chunks)
    document.new_chunks, document.new_tokens = len(sizes), sum(sizes)
    document.state = Document.State.EMBEDDING if changed or sizes else Document.State.UNCHANGED
    document.error, document.misses, document.lease_until = "", 0, None
    document.updated_at = timezone.now()
    document.save()
    follow_links(document, page.url, extracted.links)
    advance([document.pk])
    return bool(sizes)


def reconcile(document: Document, chunks: Sequence[TextChunk]) -> bool:
    """Make the Chunk rows say what the document holds now. True when text came or went."""
    wanted = dict(zip(chunk_keys(document, chunks), enumerate(chunks), strict=True))
    stored = {row.key: row for row in document.chunks.all()}
    vanished = [row.pk for key, row in stored.items() if key not in wanted and row.state not in Chunk.LEAVING]
    Chunk.objects.filter(id__in=vanished).remove()
    kept = [revived(row, *wanted[key]) for key, row in stored.items() if key in wanted]
    Chunk.objects.bulk_update(kept, ["state", "attempts", "error", *CONTENT_FIELDS], batch_size=200)
    fresh = [new_row(document, key, *wanted[key]) for key in wanted if key not in stored]
    Chunk.objects.bulk_create(fresh, batch_size=500)
    return bool(vanished or fresh)


def revived(row: Chunk, position: int, piece: TextChunk) -> Chunk:
    """A stored chunk at its place in the new text. A row that was leaving stays; once its vector may
    be gone, or was never made, it waits for the embedder again."""
    if row.state == Chunk.State.REMOVING:
        row.state = Chunk.State.INDEXED
    elif row.state in (Chunk.State.DELETING, Chunk.State.FAILED):
        row.state, row.attempts, row.error = Chunk.State.WAITING, 0, ""
    place(row, position, piece)
    return row


def new_row(document: Document, key: str, position: int, piece: TextChunk) -> Chunk:
    row = Chunk(document=document, key=key, text=piece.text)
    place(row, position, piece)
    return row


def place(row: Chunk, position: int, piece: TextChunk) -> None:
    row.position, row.start, row.end, row.tokens = position, piece.start, piece.end, piece.tokens
    row.heading, row.anchor = piece.heading[:1000], piece.anchor[:500]


def chunk_keys(document: Document, chunks: Sequence[TextChunk]) -> list[str]:
    """128 bits of BLAKE2b over where the text stands, what the model reads, and which repetition it is.
    The position is not part of it: a paragraph added above leaves all other keys as they are."""
    seen: Counter[str] = Counter()
    keys = []
    for piece in chunks:
        text = embedding_text(piece.heading, piece.text)
        seen[text] += 1
        parts = f"{document.source_id}\0{document.url}\0{text}\0{seen[text]}"
        keys.append(hashlib.blake2b(parts.encode(errors="replace"), digest_size=16).hexdigest())
    return keys


def content_hash(page: Page) -> str:
    """Of the bytes and of everything that shapes their chunks."""
    shape = f"{PROCESSING_VERSION}\0{settings.MODEL_PATH}\0{settings.CHUNK_TOKENS}\0{page.content_type}\0"
    return hashlib.blake2b(shape.encode() + page.body, digest_size=32).hexdigest()


def is_complete(document: Document) -> bool:
    """Whether every chunk is in Milvus, so that equal bytes need no further work."""
    rows = document.chunks.live()
    return rows.exists() and not rows.exclude(state=Chunk.State.INDEXED).exists()


def leave_unchanged(document: Document) -> bool:
    document.new_chunks = document.new_tokens = 0
    document.extract_seconds = document.chunk_seconds = 0
    document.state, document.error, document.misses = Document.State.UNCHANGED, "", 0
    document.lease_until, document.updated_at = None, timezone.now()
    document.save()
    return False


def follow_links(document: Document, page_url: str, links: Sequence[str]) -> None:
    source, run = document.source, document.run
    if run is None or document.depth >= source.max_depth:
        return
    found = KINDS[source.kind].follow(source.spec(), page_url, links)
    room = source.max_pages - Document.objects.filter(run=run).count()
    register(run, found[: max(room, 0)], depth=document.depth + 1)


def note_missing(document: Document, error: str) -> None:
    """A page that was never indexed, or a missing file, is gone at once; an indexed page only when a
    second run misses it too, and it answers until then."""
    misses = document.misses + 1
    certain = document.source.kind == Source.Kind.FILES or not document.chunks.live().exists()
    Document.objects.filter(id=document.pk).update(misses=misses, new_chunks=0, new_tokens=0)
    if certain or misses >= MISSES_UNTIL_GONE:
        document.chunks.all().remove()
        Document.objects.settle(document.pk, state=Document.State.GONE, error=error)
        return
    kept = f"{error} Its last version is kept until the next run confirms that it is gone."
    Document.objects.settle(document.pk, state=Document.State.UNCHANGED, error=kept)


def leave_out(document: Document, error: str) -> None:
    """Something a page merely links to, and that is not ours to read or not readable, is no failure."""
    state = Document.State.GONE if document.depth else Document.State.FAILED
    if document.depth:
        document.chunks.all().remove()
    Document.objects.settle(document.pk, state=state, error=error)


def try_again(document: Document, error: str, *, wish: float | None = None) -> None:
    """Put the document back in line, later each time; after MAX_ATTEMPTS it has failed."""
    if document.attempts >= settings.MAX_ATTEMPTS:
        Document.objects.settle(document.pk, state=Document.State.FAILED, error=error)
        return
    backoff = settings.RETRY_SECONDS * 2 ** (document.attempts - 1) * random.uniform(0.5, 1.5)  # noqa: S311
    delay = timedelta(seconds=min(max(backoff, wish or 0), RETRY_CAP_SECONDS))
    Document.objects.retry_later(document.pk, error=error, delay=delay)


class Stopwatch:
    """Seconds between calls of ``lap``."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        return seconds
