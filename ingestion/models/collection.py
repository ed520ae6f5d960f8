"""Milvus collections: which one is searched, which one is filled, and by which model."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q, QuerySet

from ingestion.exceptions import ModelError
from ingestion.types import ModelSpec

# What a collection that is made now stores of a chunk; 1 was dense and sparse vectors, 2 words besides.
LAYOUT = 2


class CollectionQuerySet(QuerySet["Collection"]):
    """The collections that matter: searched and written are the same one unless a new one is being built."""

    def searched(self) -> Collection | None:
        """Return the collection that answers questions, or None before the first one is made."""
        return self.filter(active=True).first()

    def written(self) -> Collection | None:
        """Return the collection that new vectors go to, or None before the first one is made."""
        return self.filter(building=True).first() or self.searched()

    def of(self, model: ModelSpec) -> Collection | None:
        """Return the collection with vectors of this model in the present layout, or None when there is none."""
        return self.made_by(model).filter(layout=LAYOUT).first()

    def made_by(self, model: ModelSpec) -> CollectionQuerySet:
        """Select the collections with vectors of this model, of whatever layout."""
        return self.filter(model=model.path, pooling=model.pooling, dimension=model.dimension)

    def moved(self, model: ModelSpec, weights: str) -> CollectionQuerySet:
        """Select the collections with vectors of this model under another path, by the SHA-256 of its files."""
        same = self.filter(weights=weights, pooling=model.pooling, dimension=model.dimension)
        return same.exclude(weights="").exclude(model=model.path)


class Collection(models.Model):
    """A collection in Milvus.

    The ``active`` one is searched. The ``building`` one is filled and takes its place. One that is neither is dropped
    later. While ``checked_to`` is set, the collection is compared with the rows: the chunks up to that id are done,
    those up to ``last_chunk`` are to follow.
    """

    name = models.CharField(max_length=200, unique=True)
    model = models.CharField(max_length=500)
    pooling = models.CharField(max_length=20)
    dimension = models.PositiveIntegerField()
    weights = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the model's files, whatever its path.")
    layout = models.PositiveSmallIntegerField(default=LAYOUT)
    active = models.BooleanField(default=False)
    building = models.BooleanField(default=False)
    checked_to = models.BigIntegerField(null=True, blank=True)
    last_chunk = models.BigIntegerField(default=0)
    note = models.TextField(blank=True, help_text="Why it does not take the other one's place, if it does not.")
    audit = models.JSONField(default=dict, help_text="What the last audit found.")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True, help_text="When the comparison began.")
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = CollectionQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["active"], condition=Q(active=True), name="one_active_collection"),
            models.UniqueConstraint(fields=["building"], condition=Q(building=True), name="one_building_collection"),
        ]

    def __str__(self) -> str:
        return self.name

    def require_weights(self, found: str) -> None:
        """Raise ModelError when the files at the model's path, by their SHA-256, are not those that made the vectors.

        Nothing is said where either of them is not known ("").
        """
        if self.weights and found and found != self.weights:
            raise ModelError(
                f"The files of the model {self.model} (SHA-256 {found[:12]}…) are not those that made the vectors of "
                f"{self.name} ({self.weights[:12]}…), and vectors of two models cannot be compared. Put the old files "
                "back; or name a folder of its own for the new model in EMBED_MODEL, and all pages are embedded again."
            )

    def spec(self) -> ModelSpec:
        """Return the model that fills the collection."""
        return ModelSpec(self.model, self.pooling, self.dimension)
