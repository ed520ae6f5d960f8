"""Which Milvus collection is searched."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q


class Collection(models.Model):
    """Which Milvus collection is searched, and the model that filled it."""

    name = models.CharField(max_length=200, unique=True)
    model = models.CharField(max_length=500)
    dimension = models.PositiveIntegerField()
    active = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["active"], condition=Q(active=True), name="one_active_collection")
        ]

    def __str__(self) -> str:
        return self.name
