"""Rows: the only truth about what is to be done and what was done.

States move by conditional updates in the QuerySets below; every caller looks at the count. A state
in flight carries a lease (``lease_until``): when it has passed, the dispatcher takes the work back.

Document: waiting → fetching → embedding → indexing → indexed | unchanged | duplicate | missing | failed
          | quarantined | gone
Chunk:    waiting → embedding → buffered → indexed | failed;  removing → deleting → (row deleted)
Run:      waiting → listing → running → finished | held | failed
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from ingestion.types import Manners, SourceSpec, Validators

WEBSITE_PAGES = 5000


class Source(models.Model):
    """A place documents come from. Deleting goes through ``deleting`` so that vectors go first."""

    class Kind(models.TextChoices):
        WEBSITE = "website", "Website"
        SITEMAP = "sitemap", "Sitemap"
        GITHUB = "github", "GitHub repository"
        FILES = "files", "Folder or file"
        URLS = "urls", "List of addresses"
        JSONL = "jsonl", "JSON lines"
        UPLOADS = "uploads", "Uploaded files"

    # Their pages come from servers of others: aliases, soft errors and politeness concern only them.
    WEB: ClassVar = (Kind.WEBSITE, Kind.SITEMAP, Kind.URLS)
    # They are read from this machine, which staff may see only below FILES_ROOTS.
    LOCAL: ClassVar = (Kind.FILES, Kind.JSONL, Kind.URLS)
    # All their requests go to one host, so that a host's pause is the source's.
    ONE_HOST: ClassVar = (Kind.WEBSITE, Kind.SITEMAP, Kind.GITHUB)

    name = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    target = models.CharField(
        max_length=2048,
        help_text="The first page of a website, a sitemap's address, github:owner/repo[@ref][/path], a folder or file.",
    )
    include = models.JSONField(default=list, blank=True, help_text="Globs; empty means everything.")
    exclude = models.JSONField(default=list, blank=True, help_text="Globs that win over include.")
    max_pages = models.PositiveIntegerField(
        null=True, blank=True, help_text="Empty: 5000 for websites, no bound for others; 0: no bound."
    )
    max_depth = models.PositiveIntegerField(default=8, help_text="Links followed from the first page (websites).")
    delay_seconds = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.0)],
        help_text="Between two requests to one host. Empty: CRAWL_DELAY_SECONDS; robots.txt may ask for more.",
    )
    connections = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests at a time to one host; 0: no bound. Empty: CRAWL_CONNECTIONS."
    )
    refresh_seconds = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: only on request.")
    next_run_at = models.DateTimeField(null=True, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True, editable=False)
    trusts_dates = models.BooleanField(
        default=True, help_text="Skip pages whose date in the sitemap is the stored one. Unset when a date lied."
    )
    deleting = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["kind", "target"], name="source_target_once")]
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def page_bound(self) -> int:
        """A website may have no end; what others list has one. 0: no bound."""
        if self.max_pages is not None:
            return self.max_pages
        return WEBSITE_PAGES if self.kind == Source.Kind.WEBSITE else 0

    def spec(self) -> SourceSpec:
        return SourceSpec(
            kind=self.kind,
            target=self.target,
            include=tuple(self.include),
            exclude=tuple(self.exclude),
            max_pages=self.page_bound(),
            max_depth=self.max_depth,
            manners=Manners(self.delay_seconds, self.connections),
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
        HELD = "held"
        FAILED = "failed"

    ACTIVE: ClassVar = (State.WAITING, State.LISTING, State.RUNNING)

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="runs")
    state = models.CharField(max_length=20, choices=State.choices, default=State.WAITING)
    error = models.TextField(blank=True)
    note = models.TextField(blank=True, help_text="Why it waits just now, if it does.")
    figures = models.JSONField(default=dict, help_text="Of the whole run, written at its end.")
    remarks = models.JSONField(default=dict, help_text="What was left out and why, each with an example.")
    complete = models.BooleanField(default=False, help_text="The listing named every document.")
    attempts = models.PositiveIntegerField(default=0, help_text="Listings that failed.")
    lease_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    copied_chunks = models.PositiveIntegerField(default=0, help_text="Chunks that took the vector of an equal text.")
    copied_tokens = models.PositiveIntegerField(default=0)
    list_seconds = models.FloatField(default=0)
    embed_seconds = models.FloatField(default=0)
    embed_tokens = models.PositiveIntegerField(default=0)
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
        now = timezone.now()
        due = Q(next_attempt_at=None) | Q(next_attempt_at__lte=now)
        open_now = Q(source__paused_until=None) | Q(source__paused_until__lte=now)
        waiting = self.filter(due, open_now, state=Document.State.WAITING, source__deleting=False)
        return waiting.order_by("depth", "id")

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

    def keep_turn(self, document_id: int, *, attempt: int, until: datetime) -> bool:
        """The host is busy: the attempt did not count, and the same message comes again before ``until``."""
        return bool(
            self.filter(id=document_id, state=Document.State.FETCHING).update(attempts=attempt, lease_until=until)
        )

    def wait_for_host(self, document_id: int, *, attempt: int, error: str, until: datetime) -> bool:
        """The host wants a longer pause; not an attempt either."""
        return bool(
            self.filter(id=document_id, state=Document.State.FETCHING).update(
                state=Document.State.WAITING, attempts=attempt, error=error, lease_until=None, next_attempt_at=until
            )
        )

    def settle(self, document_id: int, *, state: str, error: str) -> bool:
        """End an attempt without new text."""
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

    def keep(self, *, run_id: int) -> int:
        """The listing alone shows that these are unchanged."""
        figures = {"new_chunks": 0, "new_tokens": 0, "fetch_seconds": 0, "extract_seconds": 0, "chunk_seconds": 0}
        said = {"run_id": run_id, "unchanged_by": Document.Layer.LISTING, "error": "", "misses": 0, **figures}
        ids = list(self.values_list("id", flat=True))
        rows = Document.objects.filter(id__in=ids)
        return rows.filter(state=Document.State.DUPLICATE).update(updated_at=timezone.now(), **said) + rows.exclude(
            state__in=(*Document.ACTIVE, Document.State.DUPLICATE)
        ).update(state=Document.State.UNCHANGED, updated_at=timezone.now(), **said)

    def current(self, shape: str) -> DocumentQuerySet:
        """Documents whose stored text is what this shape would make, and wholly in the index; duplicates
        while the document that they repeat answers."""
        live = Chunk.objects.live().filter(document=OuterRef("pk"))
        whole = Exists(live) & ~Exists(live.exclude(state=Chunk.State.INDEXED))
        repeats = Exists(Document.objects.answering().filter(pk=OuterRef("duplicate_of")))
        return self.filter(Q(whole) | Q(repeats), shape=shape)

    def holding_text(self) -> DocumentQuerySet:
        """Documents that answers may come from."""
        return self.filter(chunk_count__gt=0).exclude(state=Document.State.GONE)

    def answering(self) -> DocumentQuerySet:
        """Documents that others may be duplicates of, also while they are looked at again."""
        return self.holding_text().exclude(state=Document.State.MISSING)

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
        DUPLICATE = "duplicate"
        MISSING = "missing"
        FAILED = "failed"
        QUARANTINED = "quarantined"
        GONE = "gone"

    class Layer(models.TextChoices):
        """What showed that a document is unchanged, cheapest first."""

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
        return Validators(self.etag, self.last_modified)


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
    digest = models.CharField(
        max_length=32, default="", blank=True, db_index=True, help_text="Of what the model reads."
    )
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
