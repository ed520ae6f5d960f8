"""Rows and records that several tests need."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.conf import settings

from ingestion.models import Chunk, Document, Run, Source
from ingestion.types import EmbeddedChunk, Vectors


def make_source(name: str = "docs", **fields: Any) -> Source:
    return Source.objects.create(**{"name": name, "kind": "files", "target": f"/{name}", **fields})


def make_document(source: Source, url: str = "file:///docs/a.txt", **fields: Any) -> Document:
    run = Run.objects.filter(source=source).first() or Run.objects.create(source=source, state=Run.State.RUNNING)
    return Document.objects.create(**{"source": source, "run": run, "url": url, **fields})


def make_chunk(document: Document, position: int, **fields: Any) -> Chunk:
    defaults = {
        "key": f"{document.pk:016x}{position:016x}",
        "text": f"text {position}",
        "start": 0,
        "end": 6,
        "tokens": 5,
    }
    return Chunk.objects.create(document=document, position=position, **{**defaults, **fields})


def record(chunk: Chunk) -> EmbeddedChunk:
    """What the embedder would push for a chunk; the vector depends on the position."""
    vector = np.zeros(settings.EMBED_DIMENSION, np.float32)
    vector[chunk.position % settings.EMBED_DIMENSION] = 1
    lexical = np.array([chunk.position + 1], np.uint32), np.ones(1, np.float32)
    document = chunk.document
    return EmbeddedChunk(
        chunk.key, chunk.pk, document.pk, document.source_id, document.url, document.title, chunk.heading,
        chunk.position, chunk.text, Vectors(vector, *lexical),
    )  # fmt: skip
