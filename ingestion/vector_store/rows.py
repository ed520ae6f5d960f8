"""Embedded chunks -> rows as Milvus stores them, in parts of a size that it accepts; its answers -> vectors."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from ingestion.types import EmbeddedChunk, FloatArray, IndexArray, Vectors

# Milvus counts VARCHAR in bytes and refuses more than 65 535.
TEXT_BYTES = 65_535
HEADING_BYTES, TITLE_BYTES, URL_BYTES = 4000, 2000, 8192
# An upsert above this is split; Milvus refuses messages of 64 MB.
UPSERT_BYTES = 8 * 1024 * 1024
# The fields of a row that are searched: the model's dense and sparse vectors, and the words' weights.
CHANNELS = ("dense", "sparse", "words")


def row_of(chunk: EmbeddedChunk, channels: Collection[str] = CHANNELS) -> dict[str, Any]:
    """Return the row of a chunk with the vectors of these channels; its texts are cut to the lengths of the columns."""
    row = {
        "key": chunk.key,
        "source_id": chunk.source_id,
        "document_id": chunk.document_id,
        "position": chunk.position,
        "url": cut(chunk.url, URL_BYTES),
        "title": cut(chunk.title, TITLE_BYTES),
        "heading": cut(chunk.heading, HEADING_BYTES),
        "text": cut(chunk.text, TEXT_BYTES),
        "dense": chunk.vectors.dense,
    }
    if "sparse" in channels:
        row["sparse"] = sparse_of(chunk.vectors.indices, chunk.vectors.weights)
    if "words" in channels:
        row["words"] = sparse_of(chunk.words.terms, chunk.words.weights)
    return row


def sparse_of(ids: IndexArray, weights: FloatArray) -> dict[int, float]:
    """Return a sparse vector as pymilvus takes it: number to weight."""
    return dict(zip(ids.tolist(), weights.tolist(), strict=True))


def vectors_of(row: dict[str, Any]) -> Vectors:
    """Return the vectors of a row that Milvus answered; a dense-only row has an empty sparse vector."""
    weights = row.get("sparse", {})
    return Vectors(
        np.asarray(row["dense"], np.float32),
        np.fromiter(weights.keys(), np.uint32, len(weights)),
        np.fromiter(weights.values(), np.float32, len(weights)),
    )


def cut(text: str, size: int) -> str:
    """Return the longest beginning of ``text`` that has at most ``size`` bytes in UTF-8."""
    return text.encode(errors="replace")[:size].decode(errors="ignore")


def parts_by_bytes(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows in lists of at most about UPSERT_BYTES each, in order."""
    part: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        weight = (
            4 * len(row["dense"])
            + 8 * (len(row.get("sparse", ())) + len(row.get("words", ())))
            + len(row["text"].encode())
        )
        if part and size + weight > UPSERT_BYTES:
            yield part
            part, size = [], 0
        part.append(row)
        size += weight
    if part:
        yield part
