"""A question → what each channel of the index is asked.

In: the question, the model's vectors of it, the channels that the collection holds, and how often terms occur. Out: a
vector for each channel that the question's mode asks for. The frequencies are read again whenever they have been
counted anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from django.conf import settings

from ingestion.models import TermFrequencies
from ingestion.types import Hits, Vectors
from ingestion.vector_store.rows import CHANNELS, sparse_of
from ingestion.words.vocabulary import Vocabulary
from ingestion.words.weights import Frequencies, question_weights, share_of_names
from search.retrieval.fusion import Pools, fuse, toward_words

if TYPE_CHECKING:
    from ingestion.vector_store.store import QueryVector, QueryVectors

HYBRID = "hybrid"


class Counted(NamedTuple):
    """What the last count of terms found, and when it was made, as ``searched`` has it."""

    at: object = None
    frequencies: Frequencies = Frequencies()
    vocabulary: Vocabulary = Vocabulary()


_counted = Counted()


def query_vectors(
    text: str, mode: str, vectors: Vectors, held: Iterable[str], weights: Mapping[str, float], frequencies: Frequencies
) -> QueryVectors:
    """Return the question's vectors for the channels that the mode asks for, of those that the collection holds.

    Only dense ones where it holds none of them. A hybrid search asks all channels that have a weight. A text without
    words has no vector for them.
    """
    words = question_weights(text, frequencies)
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


def fused(pools: Pools, text: str, weights: Mapping[str, float]) -> Hits:
    """Return the candidates of a hybrid search for this question under these weights, best first."""
    return fuse(pools, toward_words(weights, share_of_names(text)))


def last_count(counted_at: object) -> Counted:
    """Return the result of the last count of terms, which was made at ``counted_at``.

    It is read from the database once and then kept in memory.
    """
    global _counted
    if counted_at != _counted.at:
        row = TermFrequencies.objects.first()
        _counted = read(row, counted_at) if row else Counted()
    return _counted


def read(row: TermFrequencies, counted_at: object) -> Counted:
    """Return the count of terms and the vocabulary that a row holds."""
    frequencies = Frequencies(row.sampled, np.frombuffer(row.terms, "<u4"), np.frombuffer(row.counts, "<u4"))
    return Counted(counted_at, frequencies, Vocabulary.unpacked(bytes(row.vocabulary)))
