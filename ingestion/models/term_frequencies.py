"""How many chunks hold each term, as the last count found."""

from __future__ import annotations

from django.db import models


class TermFrequencies(models.Model):
    """The one row of the last count: ``terms`` and ``counts`` are little-endian uint32, terms in ascending order.

    ``sampled`` chunks were counted of the ``chunks`` that there were. ``vocabulary`` is a packed ``Vocabulary`` without
    the words of sources that were restricted to groups then; ``restricted`` is a hash of their ids, empty for none.
    """

    chunks = models.PositiveIntegerField()
    sampled = models.PositiveIntegerField()
    terms = models.BinaryField()
    counts = models.BinaryField()
    vocabulary = models.BinaryField(default=bytes)
    restricted = models.CharField(max_length=32, default="", blank=True)
    counted_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.sampled} of {self.chunks} chunks"
