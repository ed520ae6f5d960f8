"""An embedder whose vectors are made of a hash of the text: every killed process that embeds is back at once, where
importing the real one takes 7 s and more, and a vector shows whose it is.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence

import numpy as np
from django.conf import settings

from ingestion.embedding.embedder import EmbedderFigures, TokenIds
from ingestion.types import FloatArray, Vectors

TEXTS_AT_ONCE = 4
# About what a small model takes for so many short texts, so that there is something to interrupt.
BATCH_SECONDS = 0.1

Found = Iterator[tuple[list[int], list[Vectors]]]


class StubEmbedder:
    """As much of an ``Embedder`` as the pipeline knows; a text's tokens are the bytes of its hash."""

    device = "cpu"

    def tokenise(self, texts: Sequence[str]) -> list[TokenIds]:
        return [np.array(tokens(text), np.int32) for text in texts]

    def embed_tokens(self, ids: Sequence[TokenIds]) -> Found:
        for start in range(0, len(ids), TEXTS_AT_ONCE):
            time.sleep(BATCH_SECONDS)
            positions = list(range(start, min(start + TEXTS_AT_ONCE, len(ids))))
            yield positions, [vectors(ids[position].tolist()) for position in positions]

    def figures(self) -> EmbedderFigures:
        return EmbedderFigures()


def tokens(text: str) -> list[int]:
    return list(hashlib.blake2b(text.encode(), digest_size=16).digest())


def vectors(ids: Sequence[int]) -> Vectors:
    indices = np.array(sorted(set(ids)), np.uint32)
    return Vectors(dense(ids), indices, np.ones(len(indices), np.float32))


def dense(ids: Sequence[int]) -> FloatArray:
    drawn = np.random.default_rng(list(ids)).standard_normal(settings.EMBED_DIMENSION).astype(np.float32)
    return drawn / np.linalg.norm(drawn)


def dense_of(text: str) -> FloatArray:
    return dense(tokens(text))
