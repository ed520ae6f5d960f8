"""Chunks: waiting → embedding → buffered → indexed | failed;  removing → deleting → (row deleted)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Case, F, QuerySet, Value, When
from django.utils import timezone

from ingestion.models.times import passed


class ChunkQuerySet(QuerySet["Chunk"]):
    """Filters and transitions of chunks; each transition returns the number of rows that it changed."""

    def live(self) -> ChunkQuerySet:
        """Leave out the chunks that are being removed from the index."""
        return self.exclude(state__in=Chunk.LEAVING)

    def expired(self) -> ChunkQuerySet:
        """Select the chunks whose embedding worker let its lease run out."""
        return self.filter(passed("lease_until", longest=settings.LEASE_SECONDS), state=Chunk.State.EMBEDDING)

    def claim(self, ids: Iterable[int], *, owner: str, until: datetime) -> int:
        """Claim waiting chunks for the worker ``owner``, and count an attempt of each. Return how many."""
        return self.filter(id__in=list(ids), state=Chunk.State.WAITING).update(
            state=Chunk.State.EMBEDDING, owner=owner, lease_until=until, attempts=F("attempts") + 1
        )

    def renew(self, *, owner: str, until: datetime) -> int:
        """Extend the lease of everything that the worker ``owner`` has claimed. Return how many chunks that are."""
        return self.filter(state=Chunk.State.EMBEDDING, owner=owner).update(lease_until=until)

    def mark_buffered(self, ids: Iterable[int], *, owner: str) -> int:
        """Note that the records of these chunks of the worker ``owner`` are in the buffer. Return how many changed."""
        return self.filter(id__in=list(ids), state=Chunk.State.EMBEDDING, owner=owner).update(
            state=Chunk.State.BUFFERED, owner="", lease_until=None, attempts=0, buffered_at=timezone.now()
        )

    def mark_indexed(self, ids: Iterable[int]) -> int:
        """Note that Milvus has acknowledged these chunks. Return how many changed.

        A chunk is still ``embedding`` here when the drain was faster than the embedder's own ``mark_buffered``.
        """
        return self.filter(id__in=list(ids), state__in=(Chunk.State.EMBEDDING, Chunk.State.BUFFERED)).update(
            state=Chunk.State.INDEXED, owner="", lease_until=None, error=""
        )

    def mark_found(self) -> int:
        """Note that Milvus has the vectors of these chunks already, so that nothing is left to embed.

        Return how many changed.
        """
        return self.filter(state__in=(Chunk.State.WAITING, Chunk.State.FAILED)).update(
            state=Chunk.State.INDEXED, owner="", lease_until=None, attempts=0, error=""
        )

    def back_to_waiting(self, *, error: str = "") -> int:
        """Let the chunks wait for the embedder again; their attempts stay counted. Return how many."""
        return self.update(state=Chunk.State.WAITING, owner="", lease_until=None, error=error)

    def give_back(self) -> int:
        """Let claimed chunks wait again, without counting the attempt for which they were claimed. Return how many."""
        return self.update(state=Chunk.State.WAITING, owner="", lease_until=None, attempts=F("attempts") - 1)

    def embed_again(self) -> int:
        """Let chunks whose vectors are missing wait for the embedder, with no attempts counted. Return how many."""
        return self.filter(state__in=(Chunk.State.INDEXED, Chunk.State.FAILED)).update(
            state=Chunk.State.WAITING, owner="", lease_until=None, attempts=0, error=""
        )

    def remove(self) -> int:
        """Take chunks out of their documents, and return how many. The drain deletes them from Milvus, then the rows.

        Only of those that were indexed is the vector there for certain, should their text come back before that.
        """
        leaving = Case(
            When(state=Chunk.State.INDEXED, then=Value(Chunk.State.REMOVING)), default=Value(Chunk.State.DELETING)
        )
        return self.live().update(state=leaving, owner="", lease_until=None)

    def fail(self, *, error: str) -> int:
        """Mark chunks as failed with this error. Return how many."""
        return self.live().update(state=Chunk.State.FAILED, owner="", lease_until=None, error=error)


class Chunk(models.Model):
    """A piece of ``Document.markdown``, from ``start`` to ``end``; ``key`` is its primary key in Milvus.

    ``text`` is what readers see of it: a piece of a table begins with the table's header, one of a fence is a fence.
    """

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
    context = models.CharField(max_length=400, blank=True, help_text="A sentence that is searched and never shown.")
    context_model = models.CharField(max_length=32, blank=True, help_text="Hash of what wrote it, or tried to.")
    context_error = models.CharField(max_length=300, blank=True, help_text="Why there is no sentence.")
    context_wanted = models.BooleanField(default=False, help_text="The sentence is asked for before it is embedded.")

    objects = ChunkQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            # New chunks in order, and the few suspects among them without reading the others.
            models.Index(fields=["state", "attempts", "id"], name="chunk_claim_order"),
            # Without the attempts SQLite reads all waiting chunks to find those of one source: 60 ms among 120 000
            # instead of 13-24 ms.
            models.Index(fields=["document", "state", "attempts"], name="chunk_document_state"),
            models.Index(fields=["id"], condition=models.Q(context_wanted=True), name="chunk_context_wanted"),
            models.Index(fields=["id"], condition=~models.Q(context_error=""), name="chunk_context_error"),
        ]
        ordering: ClassVar = ["document_id", "position"]

    def __str__(self) -> str:
        return f"{self.document} [{self.position}]"
