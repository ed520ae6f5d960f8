"""One pass over a source: waiting → listing → running → finished | held | failed | cancelled."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q, QuerySet
from django.utils import timezone

from ingestion.models.source import Source
from ingestion.models.times import LONGEST_WAIT_SECONDS, passed


class RunQuerySet(QuerySet["Run"]):
    """Filters and transitions of runs."""

    def active(self) -> RunQuerySet:
        """Select the runs that have not ended."""
        return self.filter(state__in=Run.ACTIVE)

    def lease_for_listing(self, *, until: datetime) -> RunQuerySet:
        """Lease and return the runs that may be listed now: new ones, and those whose worker let its lease run out."""
        # A listing is leased for its time limit, or put off because its host asks for a pause.
        longest = max(LONGEST_WAIT_SECONDS, float(settings.LIST_TIME_LIMIT_SECONDS + settings.LEASE_SECONDS))
        ready = Q(state=Run.State.WAITING) | Q(passed("lease_until", longest=longest), state=Run.State.LISTING)
        ids = list(self.filter(ready, source__paused=False).values_list("id", flat=True))
        if not ids:
            return self.none()
        self.filter(ready, id__in=ids).update(state=Run.State.LISTING, lease_until=until)
        return self.filter(id__in=ids)

    def finish(self, run_id: int, *, state: str, error: str = "") -> bool:
        """End an active run in the given state. Return False when it is not active any more."""
        return bool(
            self.active()
            .filter(id=run_id)
            .update(state=state, error=error, note="", held_up_until=None, finished_at=timezone.now(), lease_until=None)
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
        CANCELLED = "cancelled"

    ACTIVE: ClassVar = (State.WAITING, State.LISTING, State.RUNNING)

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="runs")
    state = models.CharField(max_length=20, choices=State.choices, default=State.WAITING)
    error = models.TextField(blank=True)
    note = models.TextField(blank=True, help_text="Why it waits just now, if it does.")
    figures = models.JSONField(default=dict, help_text="Of the whole run, written at its end.")
    remarks = models.JSONField(default=dict, help_text="What was left out and why, each with an example.")
    complete = models.BooleanField(default=False, help_text="The listing named every document.")
    attempts = models.PositiveIntegerField(default=0, help_text="Listings begun; the host's own pauses do not count.")
    held_up_until = models.DateTimeField(
        null=True, blank=True, help_text="Set while what it needs is missing or full, as its note says: the next try."
    )
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
