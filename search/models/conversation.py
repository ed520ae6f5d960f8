"""Questions that follow on one another, of one reader."""

from __future__ import annotations

from django.db import models


class Conversation(models.Model):
    """Its turns are the stored answers that name it; they go when it goes."""

    reader = models.CharField(max_length=32, db_index=True, help_text="Who asked: a random word of a browser session.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Conversation {self.pk}"
