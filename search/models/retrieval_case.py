"""Questions whose right pages staff have named, and how they fared each time that all were asked."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class RetrievalCase(models.Model):
    """A question, and the addresses of the pages that answer it."""

    question = models.CharField(max_length=2000)
    source = models.CharField(max_length=200, blank=True, help_text="The name of the one source to search; empty: all.")
    pages = models.JSONField(help_text="Addresses of the pages that answer it.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["question", "id"]

    def __str__(self) -> str:
        return self.question


class CaseRun(models.Model):
    """All cases asked once.

    ``places`` has, by the case's id, the place of its first right page among the pages that were found, from 1 on; 0
    where none was.
    """

    class Reason(models.TextChoices):
        STAFF = "staff", "asked for"
        MODEL = "model", "the model changed"

    reason = models.CharField(max_length=10, choices=Reason.choices)
    collection = models.CharField(max_length=200)
    model = models.CharField(max_length=500)
    places = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["collection"], condition=models.Q(reason="model"), name="cases_run_once_per_collection"
            )
        ]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M}, {self.get_reason_display()}"

    def before(self) -> CaseRun | None:
        """Return the run before this one."""
        return CaseRun.objects.filter(id__lt=self.pk).first()
