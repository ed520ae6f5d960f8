"""Where documents come from, and how its hosts are to be treated."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q, QuerySet
from django.utils import timezone

from ingestion.models.times import LONGEST_WAIT_SECONDS, beyond_its_interval, passed
from ingestion.types import CrawlPolicy, SourceSpec

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
    max_alike = models.PositiveIntegerField(
        default=500,
        help_text="Linked pages whose addresses differ in numbers, dates or parameters only, as those of calendars and "
        "filters without end (websites); 0: no bound.",
    )
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
            crawl_policy=CrawlPolicy(self.delay_seconds, self.connections),
        )


def due_sources() -> QuerySet[Source]:
    """Return the sources whose refresh interval has passed, or whose next run lies further ahead than the interval."""
    now = Q(next_run_at__lte=timezone.now()) | beyond_its_interval("next_run_at", "refresh_seconds")
    return Source.objects.filter(now, deleting=False)


def open_sources() -> QuerySet[Source]:
    """Return the sources whose hosts may be asked now."""
    now = Q(paused_until=None) | passed("paused_until", longest=LONGEST_WAIT_SECONDS)
    return Source.objects.filter(now, deleting=False)
