"""A question → what each channel of the index is asked.

In: the question, the model's vectors of it, and the channels that the collection holds. Out: a vector for each channel
that the question's mode asks for. The frequencies of terms are read again whenever they have been counted anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings

from ingestion.models import TermFrequencies
from ingestion.types import Hit, Vectors
from ingestion.vector_store.rows import CHANNELS, sparse_of
from ingestion.words.weights import Frequencies, question_weights, share_of_names
from search.retrieval.fusion import Pools, fuse, toward_words

if TYPE_CHECKING:
    from ingestion.vector_store.store import QueryVector, QueryVectors

HYBRID = "hybrid"

_frequencies: tuple[datetime | None, Frequencies] = None, Frequencies()


def query_vectors(
    text: str, mode: str, vectors: Vectors, held: Iterable[str], weights: Mapping[str, float]
) -> QueryVectors:
    """Return the vectors of the channels that the mode asks for; dense where none of them is held.

    A hybrid search asks all channels that have a weight. A text without words has no vector for them.
    """
    words = question_weights(text, term_frequencies())
    found: dict[str, QueryVector] = {
        "dense": vectors.dense.tolist(),
        "sparse": sparse_of(vectors.indices, vectors.weights),
        "words": sparse_of(words.terms, words.weights),
    }
    wanted = [c for c in held if c == mode or (mode == HYBRID and weights[c])]
    return {channel: found[channel] for channel in wanted or ["dense"] if found[channel]}


def channel_weights() -> dict[str, float]:
    """Return each channel's weight in the settings."""
    return dict(zip(CHANNELS, settings.SEARCH_WEIGHTS, strict=True))


def fused(pools: Pools, text: str, weights: Mapping[str, float]) -> list[Hit]:
    """Return the candidates of a hybrid search for this question under these weights, best first."""
    return fuse(pools, toward_words(weights, share_of_names(text)))


def term_frequencies() -> Frequencies:
    """Return the frequencies of the last count."""
    global _frequencies
    counted_at = TermFrequencies.objects.values_list("counted_at", flat=True).first()
    if counted_at != _frequencies[0]:
        row = TermFrequencies.objects.first()
        _frequencies = (row.counted_at, read(row)) if row else (None, Frequencies())
    return _frequencies[1]


def read(row: TermFrequencies) -> Frequencies:
    """Return the frequencies that a row holds."""
    return Frequencies(row.sampled, np.frombuffer(row.terms, "<u4"), np.frombuffer(row.counts, "<u4"))
