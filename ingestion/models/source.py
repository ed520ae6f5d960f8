"""Sources: where documents come from, and how the hosts there are to be treated."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.contrib.auth.models import Group
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import DurationField, ExpressionWrapper, F, IntegerField, Q, QuerySet, Value
from django.utils import timezone

from ingestion.models.times import LONGEST_WAIT_SECONDS, ahead, passed
from ingestion.types import CrawlPolicy, SourceSpec

WEBSITE_PAGES = 5000


class Source(models.Model):
    """Where documents come from.

    A source that is to be deleted is marked ``deleting`` first; its row goes when its vectors are deleted.
    """

    class Kind(models.TextChoices):
        WEBSITE = "website", "Website"
        SITEMAP = "sitemap", "Sitemap"
        GITHUB = "github", "GitHub repository"
        FILES = "files", "Folder or file"
        URLS = "urls", "List of addresses"
        JSONL = "jsonl", "JSON lines"
        UPLOADS = "uploads", "Uploaded files"

    # Kinds whose pages come from servers of others: only these need politeness and have aliases and soft errors.
    WEB: ClassVar = (Kind.WEBSITE, Kind.SITEMAP, Kind.URLS)
    # Kinds that are read from this machine, where staff may name only what lies below FILES_ROOTS.
    LOCAL: ClassVar = (Kind.FILES, Kind.JSONL, Kind.URLS)
    # Kinds whose requests all go to one host, so that a pause of the host is one of the source.
    ONE_HOST: ClassVar = (Kind.WEBSITE, Kind.SITEMAP, Kind.GITHUB)

    name = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    target = models.CharField(
        max_length=2048,
        help_text="The first page of a website, a sitemap's address, github:owner/repo[@ref][/path], a folder or file.",
    )
    product = models.CharField(max_length=100, blank=True, help_text="What it documents, such as django.")
    version = models.CharField(
        max_length=100,
        blank=True,
        help_text="Of the product, such as 5.2. Searches read the newest version of each product, or the one that is "
        "asked for.",
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
    readers = models.ManyToManyField(
        Group, through="SourceReader", blank=True, help_text="Only these groups and staff may read it. None: everybody."
    )
    next_run_at = models.DateTimeField(null=True, blank=True)
    paused = models.BooleanField(
        default=False, help_text="Nothing of it is listed or fetched until this is unset; what it holds is still found."
    )
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
        """Return the largest number of documents to take; 0: no bound. A website has one because it may be endless."""
        if self.max_pages is not None:
            return self.max_pages
        return WEBSITE_PAGES if self.kind == Source.Kind.WEBSITE else 0

    def spec(self) -> SourceSpec:
        """Return what the source modules need to know of this row."""
        return SourceSpec(
            kind=self.kind,
            target=self.target,
            include=tuple(self.include),
            exclude=tuple(self.exclude),
            max_pages=self.page_bound(),
            max_depth=self.max_depth,
            crawl_policy=CrawlPolicy(self.delay_seconds, self.connections),
        )


class SourceReader(models.Model):
    """A group that may read a source.

    It cannot be deleted while it is one: a source that lost its last reader would be open to everybody.
    """

    source = models.ForeignKey(Source, on_delete=models.CASCADE)
    group = models.ForeignKey(Group, on_delete=models.PROTECT)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["source", "group"], name="reader_once")]

    def __str__(self) -> str:
        return f"{self.group} reads {self.source}"


def due_sources() -> QuerySet[Source]:
    """Return the sources whose refresh interval has passed, or whose next run lies further ahead than the interval."""
    seconds = ExpressionWrapper(F("refresh_seconds"), output_field=IntegerField())  # SQLite: nothing else multiplies
    interval = ExpressionWrapper(seconds * Value(timedelta(seconds=1)), output_field=DurationField())
    now = Q(next_run_at__lte=timezone.now()) | Q(next_run_at__gt=Value(ahead(0)) + interval)
    return Source.objects.filter(now, deleting=False, paused=False)


def open_sources() -> QuerySet[Source]:
    """Return the sources that nobody paused and whose hosts may be asked now."""
    now = Q(paused_until=None) | passed("paused_until", longest=LONGEST_WAIT_SECONDS)
    return Source.objects.filter(now, deleting=False, paused=False)
