"""Passages: waiting → embedding → buffered → indexed | failed;  removing → deleting → (row deleted)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, QuerySet
from django.utils import timezone

from ingestion.models.times import passed


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

    def indexed(self, ids: Iterable[int]) -> int:
        """Milvus has acknowledged these chunks. ``embedding`` is possible when the drain was faster
        than the embedder's own note that the record is buffered."""
        return self.filter(id__in=list(ids), state__in=(Chunk.State.EMBEDDING, Chunk.State.BUFFERED)).update(
            state=Chunk.State.INDEXED, owner="", lease_until=None, error=""
        )

    def back_to_waiting(self, *, error: str = "") -> int:
        return self.update(state=Chunk.State.WAITING, owner="", lease_until=None, error=error)

    def not_attempted(self) -> int:
        """Back in line as if they had never been claimed."""
        return self.update(state=Chunk.State.WAITING, owner="", lease_until=None, attempts=F("attempts") - 1)

    def embed_again(self) -> int:
        """Their vectors are not where they should be: a fresh start for the embedder."""
        return self.filter(state__in=(Chunk.State.INDEXED, Chunk.State.FAILED)).update(
            state=Chunk.State.WAITING, owner="", lease_until=None, attempts=0, error=""
        )

    def found(self) -> int:
        """Milvus has their vectors already: nothing to embed."""
        return self.filter(state__in=(Chunk.State.WAITING, Chunk.State.FAILED)).update(
            state=Chunk.State.INDEXED, owner="", lease_until=None, attempts=0, error=""
        )

    def remove(self) -> int:
        """Out of the documents; the drain deletes them from Milvus, then the rows."""
        return self.live().update(state=Chunk.State.REMOVING, owner="", lease_until=None)

    def fail(self, *, error: str) -> int:
        return self.live().update(state=Chunk.State.FAILED, owner="", lease_until=None, error=error)

    def renew(self, *, owner: str, until: datetime) -> int:
        return self.filter(state=Chunk.State.EMBEDDING, owner=owner).update(lease_until=until)

    def expired(self) -> ChunkQuerySet:
        return self.filter(passed("lease_until", longest=settings.LEASE_SECONDS), state=Chunk.State.EMBEDDING)


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

    document = models.ForeignKey("ingestion.Document", on_delete=models.CASCADE, related_name="chunks")
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
            # Fresh chunks in order, and the few suspects among them without a look at the others.
            models.Index(fields=["state", "attempts", "id"], name="chunk_claim_order"),
            # With the attempts, or SQLite walks all that wait to find one source's: 60 ms among 120 000, now 13-24.
            models.Index(fields=["document", "state", "attempts"], name="chunk_document_state"),
        ]
        ordering: ClassVar = ["document_id", "position"]

    def __str__(self) -> str:
        return f"{self.document} [{self.position}]"
