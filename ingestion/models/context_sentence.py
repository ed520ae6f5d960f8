"""Sentences of context that a language model has written, so that none is paid for twice."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils import timezone

from ingestion.models.chunk import Chunk

# A text that was gone comes back within this time, or hardly ever.
KEPT = timedelta(days=90)


class ContextSentenceQuerySet(models.QuerySet["ContextSentence"]):
    """Sentences, whoever has them."""

    def forget_unused(self) -> None:
        """Delete the sentences that no chunk was seen to have for KEPT; those in use are seen once in a third of it."""
        now, used = timezone.now(), Chunk.objects.exclude(context="").order_by().values("context")
        self.filter(seen_at__lt=now - KEPT / 3, text__in=used).update(seen_at=now)
        self.filter(seen_at__lt=now - KEPT).delete()


class ContextSentence(models.Model):
    """A sentence under the hash of what it was made of: the model, the prompt's version, title, heading and text."""

    key = models.CharField(max_length=32, primary_key=True)
    text = models.CharField(max_length=400)
    seen_at = models.DateTimeField(auto_now_add=True)

    objects = ContextSentenceQuerySet.as_manager()

    def __str__(self) -> str:
        return self.text
