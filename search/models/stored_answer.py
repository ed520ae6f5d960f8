"""An answer as a reader was given it, with its passages, for follow-ups, links, feedback and statistics.

Nothing about the reader is stored but a random word that the browser's session holds, too.
"""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import QuerySet
from django.utils import timezone

from ingestion.models import Document, Source
from search.models.conversation import Conversation

NOTE_CHARS = 2000
KEY = re.compile(r"[A-Za-z0-9_-]{1,32}")


def new_key() -> str:
    """Return a name that nobody can guess: 128 random bits."""
    return secrets.token_urlsafe(16)


class StoredAnswerQuerySet(QuerySet["StoredAnswer"]):
    """Filters of stored answers."""

    def of_reader(self, reader: str) -> StoredAnswerQuerySet:
        """Select a reader's own answers; a reader without a name has none."""
        return self.filter(reader=reader) if reader else self.none()

    def named(self, key: str) -> StoredAnswerQuerySet:
        """Select the answer of this name, if it is one: a client may send what no database takes."""
        return self.filter(key=key) if KEY.fullmatch(key) else self.none()

    def shared(self) -> StoredAnswerQuerySet:
        """Select the answers with a link that everybody may follow."""
        return self.exclude(shared_at=None) if settings.SHARED_ANSWERS else self.none()

    def end_links_to(self, source: Source) -> None:
        """End the links of answers from this source, and of answers from documents that are gone.

        Before the last restricted source is deleted: afterwards nothing says that these were not for everybody.
        """
        for answer in self.exclude(shared_at=None).only("passages").iterator():
            documents = {passage["document"] for passage in answer.passages}
            if Document.objects.filter(id__in=documents).exclude(source=source).count() < len(documents):
                self.filter(pk=answer.pk).update(shared_at=None)

    def outdated(self) -> StoredAnswerQuerySet:
        """Select the answers that have been kept for long enough; those with a link stay."""
        return self.filter(shared_at=None, created_at__lt=timezone.now() - timedelta(days=settings.ANSWERS_KEPT_DAYS))

    def poor(self) -> StoredAnswerQuerySet:
        """Select the answers that readers had nothing from: those that say so, and those rated badly."""
        return self.filter(models.Q(outcome=StoredAnswer.Outcome.UNANSWERED) | models.Q(rating=StoredAnswer.Rating.BAD))


class StoredAnswer(models.Model):
    """One question of a reader and what the page answered."""

    class Outcome(models.TextChoices):
        ANSWERED = "answered"
        UNANSWERED = "unanswered"  # nothing was found, or the passages do not say it

    class Rating(models.IntegerChoices):
        GOOD = 1
        BAD = -1

    key = models.CharField(max_length=32, unique=True, default=new_key, editable=False)
    reader = models.CharField(max_length=32, blank=True, db_index=True)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, null=True, blank=True, related_name="answers"
    )
    question = models.TextField()
    read_as = models.TextField(blank=True, help_text="What was searched for, of a follow-up.")
    source = models.CharField(max_length=200, blank=True, help_text="The source that was searched; empty: all.")
    version = models.CharField(max_length=100, blank=True, help_text="The version that was asked for, if any.")
    mode = models.CharField(max_length=20, help_text="Who answered: llm or extractive.")
    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    passages = models.JSONField(default=list, help_text="As they were when the answer was given.")
    pieces = models.JSONField(default=list, help_text="The answer: text, citations and what was found unsupported.")
    timings = models.JSONField(default=dict, help_text="Milliseconds per stage.")
    versions = models.JSONField(default=dict, help_text="What made the answer: models, prompt, collection.")
    rating = models.SmallIntegerField(choices=Rating.choices, null=True, blank=True)
    note = models.TextField(blank=True, max_length=NOTE_CHARS, help_text="What the reader says about the answer.")
    shared_at = models.DateTimeField(null=True, blank=True, help_text="When a link to it was made.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    objects = StoredAnswerQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return self.question[:80]

    @property
    def markdown(self) -> str:
        """Return the answer as Markdown, citations as numbers in brackets."""
        return "".join(fields["text"] for kind, fields in self.pieces if kind == "Token")
