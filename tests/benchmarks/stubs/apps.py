"""Vectors that cost nothing: every other part of the stack is the real one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from django.apps import AppConfig
from django.conf import settings

from ingestion.types import Vectors

BATCH = 64
WORDS = 30  # lexical weights of a chunk; more would only make larger records


class StubEmbedder:
    """What the pipeline asks of an embedder, answered from a text's checksum."""

    device = "stub"
    max_tokens = 8192

    def __init__(self) -> None:
        self.dimension = int(settings.EMBED_DIMENSION)
        self.noise = np.random.default_rng(1).standard_normal((256, self.dimension)).astype(np.float32)
        self.noise /= np.linalg.norm(self.noise, axis=1, keepdims=True)

    def tokenise(self, texts: Sequence[str]) -> list[Any]:
        return list(texts)

    def embed(self, texts: Sequence[str]) -> list[Vectors]:
        return [self.vectors(zlib.crc32(text.encode())) for text in texts]

    def check(self) -> None:
        """Always well."""

    def figures(self) -> Any:
        from ingestion.embedding.embedder import EmbedderFigures

        return EmbedderFigures()

    def embed_tokens(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[Vectors]]]:
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            yield list(range(start, start + len(batch))), self.embed(batch)

    def vectors(self, number: int) -> Vectors:
        words = np.arange(number % 20_000, number % 20_000 + WORDS, dtype=np.uint32)
        return Vectors(self.noise[number % 256], words, np.ones(WORDS, np.float32))


class StubsConfig(AppConfig):
    name = "tests.benchmarks.stubs"

    def ready(self) -> None:
        from ingestion.embedding import loading

        stub = StubEmbedder()
        loading.load_model = lambda *_, **__: stub  # type: ignore[assignment]
