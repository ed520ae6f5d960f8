"""Sentences of context that a language model has written, so that none is paid for twice."""

from __future__ import annotations

from django.db import models


class ContextSentence(models.Model):
    """A sentence under the hash of what it was made of: the model, the prompt's version, title, heading and text."""

    key = models.CharField(max_length=32, primary_key=True)
    text = models.CharField(max_length=400)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.text
