"""Documents, pages and files.

States: waiting → fetching → embedding → indexing → indexed | unchanged | duplicate | missing | failed | quarantined
| cancelled | gone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from ingestion.models.chunk import Chunk
from ingestion.models.run import Run
from ingestion.models.source import Source
from ingestion.models.times import LONGEST_WAIT_SECONDS, ahead, passed
from ingestion.types import Validators


class DocumentQuerySet(QuerySet["Document"]):
    """Filters and transitions of documents.

    A transition of many documents returns the number of rows that it changed; one of a single document, whether it did.
    """

    def active(self) -> DocumentQuerySet:
        """Select the documents that are still being worked on."""
        return self.filter(state__in=Document.ACTIVE)

    def due(self) -> DocumentQuerySet:
        """Select the waiting documents that may be attempted now, those few links from the first page first."""
        now = Q(next_attempt_at=None) | passed("next_attempt_at", longest=LONGEST_WAIT_SECONDS)
        now |= Q(updated_at__gt=ahead(0))  # put off before the clock was set back
        return self.filter(now, state=Document.State.WAITING).order_by("depth", "id")

    def expired(self) -> DocumentQuerySet:
        """Select the documents whose worker let its lease run out."""
        longest = float(settings.PAGE_TIME_LIMIT_SECONDS + settings.LEASE_SECONDS)
        return self.filter(passed("lease_until", longest=longest), state=Document.State.FETCHING)

    def current(self, shape: str) -> DocumentQuerySet:
        """Select the documents that need no processing while their bytes stay the same.

        Their text was made with the same ``shape`` (``fingerprints.shape_of``), and all their chunks are indexed. A
        duplicate counts while the document that it repeats answers.
        """
        live = Chunk.objects.live().filter(document=OuterRef("pk"))
        whole = Exists(live) & ~Exists(live.exclude(state=Chunk.State.INDEXED))
        repeats = Exists(Document.objects.answering().filter(pk=OuterRef("duplicate_of")))
        return self.filter(Q(whole) | Q(repeats), shape=shape)

    def holding_text(self) -> DocumentQuerySet:
        """Select the documents that answers may come from."""
        return self.filter(chunk_count__gt=0).exclude(state=Document.State.GONE)

    def answering(self) -> DocumentQuerySet:
        """Select the documents that others may be duplicates of, also while they are processed again."""
        return self.holding_text().exclude(state=Document.State.MISSING)

    def held(self, document: Document) -> DocumentQuerySet:
        """Select the document's row if the attempt that ``document`` was read for still goes on."""
        return self.filter(id=document.pk, state=Document.State.FETCHING, started_at=document.started_at)

    def lease(self, ids: Iterable[int], *, until: datetime) -> int:
        """Lease waiting documents to the CPU workers. Return how many."""
        return self.filter(id__in=list(ids), state=Document.State.WAITING).update(
            state=Document.State.FETCHING, lease_until=until, updated_at=timezone.now()
        )

    def start_attempt(self, document_id: int, *, attempt: int, until: datetime) -> bool:
        """Claim attempt number ``attempt``. Return False when another worker has it or the state has changed."""
        return bool(
            self.filter(id=document_id, state=Document.State.FETCHING, attempts=attempt).update(
                attempts=F("attempts") + 1, lease_until=until, started_at=timezone.now()
            )
        )

    def retry_later(self, document_id: int, *, error: str, delay: timedelta) -> bool:
        """End an attempt that failed; the next may start after ``delay``. Return whether the attempt still went on."""
        now = timezone.now()
        return bool(
            self.filter(id=document_id, state=Document.State.FETCHING).update(
                state=Document.State.WAITING,
                error=error,
                lease_until=None,
                next_attempt_at=now + delay,
                updated_at=now,
            )
        )

    def give_attempt_back(self, document_id: int, *, attempt: int, until: datetime) -> bool:
        """Set the count of attempts back to ``attempt`` for a message that is sent again before ``until``.

        Return whether the attempt still went on.
        """
        return bool(
            self.filter(id=document_id, state=Document.State.FETCHING).update(attempts=attempt, lease_until=until)
        )

    def put_off(self, document_id: int, *, attempt: int, error: str, until: datetime) -> bool:
        """Set the count of attempts back to ``attempt`` and let the document wait until ``until``.

        Return whether the attempt still went on.
        """
        return bool(
            self.filter(id=document_id, state=Document.State.FETCHING).update(
                state=Document.State.WAITING, attempts=attempt, error=error, lease_until=None, next_attempt_at=until
            )
        )

    def settle(self, document_id: int, *, state: str, error: str) -> bool:
        """End an attempt in the given state, without new text. Return whether the attempt still went on."""
        return bool(
            self.filter(id=document_id, state=Document.State.FETCHING).update(
                state=state, error=error, lease_until=None, updated_at=timezone.now()
            )
        )

    def queue(self, *, run_id: int) -> int:
        """Let documents wait for the run ``run_id`` with no attempts counted. Return how many.

        Those that are worked on already are left alone.
        """
        return self.exclude(state__in=Document.ACTIVE).update(
            state=Document.State.WAITING,
            run_id=run_id,
            attempts=0,
            error="",
            next_attempt_at=None,
            lease_until=None,
            updated_at=timezone.now(),
        )

    def keep(self, *, run_id: int) -> int:
        """Count documents as unchanged in ``run_id`` because the listing says so; nothing is fetched.

        Return how many.
        """
        figures = {"new_chunks": 0, "new_tokens": 0, "fetch_seconds": 0, "extract_seconds": 0, "chunk_seconds": 0}
        changes = {"run_id": run_id, "unchanged_by": Document.Layer.LISTING, "error": "", "misses": 0, **figures}
        ids = list(self.values_list("id", flat=True))
        rows = Document.objects.filter(id__in=ids)
        return rows.filter(state=Document.State.DUPLICATE).update(updated_at=timezone.now(), **changes) + rows.exclude(
            state__in=(*Document.ACTIVE, Document.State.DUPLICATE)
        ).update(state=Document.State.UNCHANGED, updated_at=timezone.now(), **changes)


class Document(models.Model):
    """One page or file; the offsets of its chunks refer to ``markdown``."""

    class State(models.TextChoices):
        WAITING = "waiting"
        FETCHING = "fetching"
        EMBEDDING = "embedding"
        INDEXING = "indexing"
        INDEXED = "indexed"
        UNCHANGED = "unchanged"
        DUPLICATE = "duplicate"
        MISSING = "missing"
        FAILED = "failed"
        QUARANTINED = "quarantined"
        CANCELLED = "cancelled"
        GONE = "gone"

    class Layer(models.TextChoices):
        """The evidence that a document is unchanged, cheapest first."""

        LISTING = "listing"
        NOT_MODIFIED = "304"
        BYTES = "bytes"
        TEXT = "text"

    ACTIVE: ClassVar = (State.WAITING, State.FETCHING, State.EMBEDDING, State.INDEXING)
    UNSUCCESSFUL: ClassVar = (State.FAILED, State.QUARANTINED)

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="documents")
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, related_name="documents")
    url = models.CharField(max_length=2048)
    title = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=20, choices=State.choices, default=State.WAITING)
    depth = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    unchanged_by = models.CharField(max_length=20, choices=Layer.choices, blank=True)
    duplicate_of = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="duplicates"
    )
    template = models.CharField(max_length=300, blank=True, help_text="The address without its variable parts.")
    listed_version = models.CharField(max_length=200, blank=True, help_text="What the last listing said.")
    version = models.CharField(max_length=200, blank=True, help_text="What the listing said of the stored text.")
    shape = models.CharField(max_length=32, blank=True, help_text="Hash of everything but the bytes that makes chunks.")
    text_hash = models.CharField(max_length=64, blank=True)
    suspect_hash = models.CharField(max_length=64, blank=True, help_text="Of a far shorter text, seen once.")
    content_hash = models.CharField(
        max_length=64, blank=True, help_text="Of the fetched bytes and the settings that shape chunks."
    )
    misses = models.PositiveIntegerField(default=0, help_text="Runs in a row that found the page missing.")
    etag = models.CharField(max_length=512, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)
    markdown = models.TextField(blank=True)
    dropped = models.JSONField(default=dict, blank=True, help_text="Words that rules left out of the text, by rule.")
    chunk_count = models.PositiveIntegerField(default=0)
    new_chunks = models.PositiveIntegerField(default=0, help_text="Chunks that had to be embedded in the last run.")
    new_tokens = models.PositiveIntegerField(default=0)
    fetch_seconds = models.FloatField(default=0)
    extract_seconds = models.FloatField(default=0)
    chunk_seconds = models.FloatField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    indexed_at = models.DateTimeField(null=True, blank=True)

    objects = DocumentQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["source", "url"], name="document_url_once")]
        indexes: ClassVar = [
            models.Index(fields=["source", "state", "depth", "id"], name="document_start_order"),
            models.Index(fields=["state", "lease_until"], name="document_lease"),
            models.Index(fields=["run", "state"], name="document_run_state"),
            models.Index(fields=["run", "template"], name="document_template"),
            models.Index(fields=["source", "text_hash"], name="document_text"),
        ]
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return self.title or self.url

    def validators(self) -> Validators:
        """Return the HTTP validators of the last fetch."""
        return Validators(self.etag, self.last_modified)


@functools.cache
def has_chunks(*states: str) -> Exists:
    """Return the condition that a document has a chunk in one of these states.

    Cached, as is ``has_documents``: making them anew took 3 of the 20 ms of a dispatcher's tick.
    """
    return Exists(Chunk.objects.filter(document=OuterRef("pk"), state__in=states).order_by())


@functools.cache
def has_documents(*states: str) -> Exists:
    """Return the condition that a run has a document in one of these states."""
    return Exists(Document.objects.filter(run=OuterRef("pk"), state__in=states).order_by())
