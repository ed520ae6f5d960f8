"""An embedder without a model: texts are their own tokens, and a test decides what happens before each batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from django.conf import settings

from ingestion.embedding.embedder import EmbedderFigures
from ingestion.exceptions import ChunkTooLarge
from ingestion.types import Vectors


class FakeEmbedder:
    device = "fake"

    def __init__(self) -> None:
        self.batch = 100
        self.batches: list[list[str]] = []
        self.before_batch: Callable[[list[str]], object] = lambda texts: None
        self.too_large = "no text holds this"
        self.computing = threading.Event()
        self.turn = threading.Lock()

    def tokenise(self, texts: Sequence[str]) -> list[str]:
        return list(texts)

    def embed_tokens(self, ids: Sequence[str]) -> Iterator[tuple[list[int], list[Vectors]]]:
        with self.turn:
            for start in range(0, len(ids), self.batch):
                places = list(range(start, min(start + self.batch, len(ids))))
                yield places, self.run([ids[place] for place in places], start)

    def run(self, texts: list[str], start: int) -> list[Vectors]:
        self.computing.set()
        self.batches.append(texts)
        self.before_batch(texts)
        for offset, text in enumerate(texts):
            if self.too_large in text:
                raise ChunkTooLarge("The text alone exhausts the device's memory.", start + offset)
        self.computing.clear()
        return [vectors_of(text) for text in texts]

    def figures(self) -> EmbedderFigures:
        read = sum(map(len, self.batches))
        return EmbedderFigures(texts=read, tokens=read, padded_tokens=2 * read, peak_bytes=7)

    def read(self) -> list[str]:
        return [text for batch in self.batches for text in batch]


def vectors_of(text: str) -> Vectors:
    dense = np.zeros(settings.EMBED_DIMENSION, np.float32)
    dense[len(text) % settings.EMBED_DIMENSION] = 1
    return Vectors(dense, np.array([len(text)], np.uint32), np.ones(1, np.float32))
