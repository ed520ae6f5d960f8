"""Rows: the only truth about what is to be done and what was done.

States move by conditional updates in the QuerySets below; every caller looks at the count. A state
in flight carries a lease (``lease_until``): when it has passed, the dispatcher takes the work back.

Document: waiting → fetching → embedding → indexing → indexed | unchanged | failed | quarantined | gone
Chunk:    waiting → embedding → buffered → indexed | failed;  removing → deleting → (row deleted)
Run:      waiting → listing → running → finished | failed
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from ingestion.types import SourceSpec


class Source(models.Model):
    """A place documents come from. Deleting goes through ``deleting`` so that vectors go first."""

    class Kind(models.TextChoices):
        FILES = "files", "Folder or file"
        WEBSITE = "website", "Website"

    name = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    target = models.CharField(max_length=2048, help_text="A folder, a file, or the first page of a website.")
    include = models.JSONField(default=list, blank=True, help_text="Globs; empty means everything.")
    exclude = models.JSONField(default=list, blank=True, help_text="Globs that win over include.")
    max_pages = models.PositiveIntegerField(default=5000)
    max_depth = models.PositiveIntegerField(default=8, help_text="Links followed from the first page (websites).")
    refresh_seconds = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: only on request.")
    next_run_at = models.DateTimeField(null=True, blank=True)
    deleting = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["kind", "target"], name="source_target_once")]
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def spec(self) -> SourceSpec:
        return SourceSpec(
            kind=self.kind,
            target=self.target,
            include=tuple(self.include),
            exclude=tuple(self.exclude),
            max_pages=self.max_pages,
            max_depth=self.max_depth,
        )


class RunQuerySet(QuerySet["Run"]):
    """Transitions of runs."""

    def active(self) -> RunQuerySet:
        return self.filter(state__in=Run.ACTIVE)

    def lease_for_listing(self, *, until: datetime) -> RunQuerySet:
        """Mark what may be listed now: new runs, and runs whose lister vanished."""
        now = timezone.now()
        ready = Q(state=Run.State.WAITING) | Q(state=Run.State.LISTING, lease_until__lt=now)
        ids = list(self.filter(ready).values_list("id", flat=True))
        self.filter(ready, id__in=ids).update(state=Run.State.LISTING, lease_until=until)
        return self.filter(id__in=ids)

    def finish(self, run_id: int, *, state: str, error: str = "") -> bool:
        return bool(
            self.active()
            .filter(id=run_id)
            .update(state=state, error=error, note="", finished_at=timezone.now(), lease_until=None)
        )


class Run(models.Model):
    """One pass over a source."""

    class State(models.TextChoices):
        WAITING = "waiting"
        LISTING = "listing"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"

    ACTIVE: ClassVar = (State.WAITING, State.LISTING, State.RUNNING)

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="runs")
    state = models.CharField(max_length=20, choices=State.choices, default=State.WAITING)
    error = models.TextField(blank=True)
    note = models.TextField(blank=True, help_text="Why it waits just now, if it does.")
    lease_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    list_seconds = models.FloatField(default=0)
    embed_seconds = models.FloatField(default=0)
    index_seconds = models.FloatField(default=0)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["source"],
                condition=Q(state__in=("waiting", "listing", "running")),
                name="one_active_run_per_source",
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} #{self.pk}"


class DocumentQuerySet(QuerySet["Document"]):
    """Transitions of documents; each returns how many rows it changed."""

    def active(self) -> DocumentQuerySet:
        return self.filter(state__in=Document.ACTIVE)

    def startable(self) -> DocumentQuerySet:
        """Waiting documents whose time has come, shallow pages first."""
        due = Q(next_attempt_at=None) | Q(next_attempt_at__lte=timezone.now())
        return self.filter(due, state=Document.State.WAITING, source__deleting=False).order_by("depth", "id")

    def lease(self, ids: Iterable[int], *, until: datetime) -> int:
        return self.filter(id__in=list(ids), state=Document.State.WAITING).update(
            state=Document.State.FETCHING, lease_until=until, updated_at=timezone.now()
        )

    def start_attempt(self, document_id: int, *, attempt: int, until: datetime) -> bool:
        """Claim one attempt; false when another worker has it or the row moved on."""
        return bool(
            self.filter(id=document_id, state=Document.State.FETCHING, attempts=attempt).update(
                attempts=F("attempts") + 1, lease_until=until, started_at=timezone.now()
            )
        )

    def retry_later(self, document_id: int, *, error: str, delay: timedelta) -> bool:
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

    def settle(self, document_id: int, *, state: str, error: str) -> bool:
        """End an attempt without new text: failed, quarantined or gone."""
        return bool(
            self.filter(id=document_id, state=Document.State.FETCHING).update(
                state=state, error=error, lease_until=None, updated_at=timezone.now()
            )
        )

    def queue(self, *, run_id: int) -> int:
        """Put documents (back) in line for ``run_id`` with a fresh count of attempts."""
        return self.exclude(state__in=Document.ACTIVE).update(
            state=Document.State.WAITING,
            run_id=run_id,
            attempts=0,
            error="",
            next_attempt_at=None,
            lease_until=None,
            updated_at=timezone.now(),
        )

    def with_pending_chunks(self, *states: str) -> DocumentQuerySet:
        return self.filter(_has_chunks(states))

    def without_pending_chunks(self, *states: str) -> DocumentQuerySet:
        return self.exclude(_has_chunks(states))


class Document(models.Model):
    """One page or file. ``markdown`` is what the chunks' offsets refer to."""

    class State(models.TextChoices):
        WAITING = "waiting"
        FETCHING = "fetching"
        EMBEDDING = "embedding"
        INDEXING = "indexing"
        INDEXED = "indexed"
        UNCHANGED = "unchanged"
        FAILED = "failed"
        QUARANTINED = "quarantined"
        GONE = "gone"

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
    content_hash = models.CharField(
        max_length=64, blank=True, help_text="Of the fetched bytes and the settings that shape chunks."
    )
    misses = models.PositiveIntegerField(default=0, help_text="Runs in a row that found the page missing.")
    etag = models.CharField(max_length=512, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)
    markdown = models.TextField(blank=True)
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
        ]
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return self.title or self.url


class ChunkQuerySet(QuerySet["Chunk"]):
    """Transitions of chunks; each returns how many rows it changed."""

    def live(self) -> ChunkQuerySet:
        """What belongs to the index now or soon; the rest is on its way out."""
        return self.exclude(state__in=Chunk.LEAVING)

    def claim(self, ids: Iterable[int], *, owner: str, until: datetime) -> int:
        return self.filter(id__in=list(ids), state=Chunk.State.WAITING).update(
            state=Chunk.State.EMBEDDING, owner=owner, lease_until=until, attempts=F("attempts") + 1
        )

    def buffered(self, ids: Iterable[int], *, owner: str) -> int:
        """The records of these chunks are in the Redis list."""
        return self.filter(id__in=list(ids), state=Chunk.State.EMBEDDING, owner=owner).update(
            state=Chunk.State.BUFFERED, owner="", lease_until=None, attempts=0, buffered_at=timezone.now()
        )

    def indexed(self, keys: Iterable[str]) -> int:
        """Milvus has acknowledged these keys. ``embedding`` is possible when the drain was faster
        than the embedder's own note that the record is buffered."""
        return self.filter(key__in=list(keys), state__in=(Chunk.State.EMBEDDING, Chunk.State.BUFFERED)).update(
            state=Chunk.State.INDEXED, owner="", lease_until=None, error=""
        )

    def back_to_waiting(self, *, error: str = "") -> int:
        return self.update(state=Chunk.State.WAITING, owner="", lease_until=None, error=error)

    def remove(self) -> int:
        """Out of the documents; the drain deletes them from Milvus, then the rows."""
        return self.live().update(state=Chunk.State.REMOVING, owner="", lease_until=None)

    def fail(self, *, error: str) -> int:
        return self.live().update(state=Chunk.State.FAILED, owner="", lease_until=None, error=error)

    def renew(self, *, owner: str, until: datetime) -> int:
        return self.filter(state=Chunk.State.EMBEDDING, owner=owner).update(lease_until=until)

    def expired(self) -> ChunkQuerySet:
        return self.filter(state=Chunk.State.EMBEDDING, lease_until__lt=timezone.now())


class Chunk(models.Model):
    """A passage and its place in ``Document.markdown``. ``key`` is its primary key in Milvus."""

    class State(models.TextChoices):
        WAITING = "waiting"
        EMBEDDING = "embedding"
        BUFFERED = "buffered"
        INDEXED = "indexed"
        FAILED = "failed"
        REMOVING = "removing"
        DELETING = "deleting"

    PENDING: ClassVar = (State.WAITING, State.EMBEDDING, State.BUFFERED)
    LEAVING: ClassVar = (State.REMOVING, State.DELETING)

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks")
    key = models.CharField(max_length=32, unique=True)
    position = models.PositiveIntegerField()
    text = models.TextField()
    heading = models.CharField(max_length=1000, blank=True)
    anchor = models.CharField(max_length=500, blank=True)
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    tokens = models.PositiveIntegerField()
    state = models.CharField(max_length=20, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    owner = models.CharField(max_length=200, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    buffered_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    objects = ChunkQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["state", "id"], name="chunk_state_order"),
            models.Index(fields=["document", "state"], name="chunk_document_state"),
        ]
        ordering: ClassVar = ["document_id", "position"]

    def __str__(self) -> str:
        return f"{self.document} [{self.position}]"


def _has_chunks(states: Iterable[str]) -> Exists:
    return Exists(Chunk.objects.filter(document=OuterRef("pk"), state__in=list(states)))


class Collection(models.Model):
    """Which Milvus collection is searched, and the model that filled it."""

    name = models.CharField(max_length=200, unique=True)
    model = models.CharField(max_length=500)
    dimension = models.PositiveIntegerField()
    active = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["active"], condition=Q(active=True), name="one_active_collection")
        ]

    def __str__(self) -> str:
        return self.name
