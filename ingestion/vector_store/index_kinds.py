"""One kind of index of dense vectors, tried on the configured Milvus.

In: unit vectors and questions. Out: for each question the numbers of the nearest vectors and the seconds that the
search took. The collection that it is tried on is made and dropped here; those of the index are not touched. Raises the
store's errors with Milvus' own words where the server does not have the kind.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ingestion.types import FloatArray
from ingestion.vector_store.client import connect, failures_translated, library

# What Milvus' documentation takes for a million vectors, and what is searched of it: https://milvus.io/docs/index.md
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "FLAT": ({}, {}),
    "IVF_FLAT": ({"nlist": 256}, {"nprobe": 16}),
    "HNSW": ({"M": 16, "efConstruction": 200}, {"ef": 100}),
    "IVF_SQ8": ({"nlist": 256}, {"nprobe": 16}),
    "IVF_PQ": ({"nlist": 256, "m": 48, "nbits": 8}, {"nprobe": 16}),
    "DISKANN": ({}, {"search_list": 100}),
    "SCANN": ({"nlist": 256, "with_raw_data": True}, {"nprobe": 16, "reorder_k": 200}),
}
ROWS_AT_ONCE = 2000
BUILD_SECONDS = 1800.0
POLL_SECONDS = 0.5
SEARCH_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What a kind of index found: for each question the nearest vectors' numbers, and the seconds that it took."""

    found: list[list[int]]
    seconds: list[float]
    build_seconds: float


def tried(kind: str, vectors: FloatArray, questions: FloatArray, limit: int) -> Trial:
    """Build an index of this kind over the vectors, and search ``limit`` of them for each question."""
    build, search = KINDS[kind]
    with failures_translated(), filled_collection(vectors) as (client, name):
        started = time.perf_counter()
        index = client.prepare_index_params()
        index.add_index("dense", index_type=kind, metric_type="IP", params=build)
        client.create_index(name, index, timeout=BUILD_SECONDS)
        while int(client.describe_index(name, "dense", timeout=SEARCH_SECONDS).get("pending_index_rows") or 0):
            time.sleep(POLL_SECONDS)
        client.load_collection(name, timeout=BUILD_SECONDS)
        trial = Trial([], [], time.perf_counter() - started)
        for question in questions:
            started = time.perf_counter()
            [hits] = client.search(
                name, [question.tolist()], anns_field="dense", limit=limit, timeout=SEARCH_SECONDS,
                search_params={"metric_type": "IP", "params": search}, consistency_level="Strong",
            )  # fmt: skip
            trial.seconds.append(time.perf_counter() - started)
            trial.found.append([int(hit["id"]) for hit in hits])
    return trial


@contextmanager
def filled_collection(vectors: FloatArray) -> Iterator[tuple[Any, str]]:
    """Yield a client and the name of a collection that holds the vectors under their numbers, and drop it."""
    kinds, client, name = library().DataType, connect(), f"index_kinds_{secrets.token_hex(4)}"
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", kinds.INT64, is_primary=True)
    schema.add_field("dense", kinds.FLOAT_VECTOR, dim=vectors.shape[1])
    client.create_collection(name, schema=schema, timeout=SEARCH_SECONDS)
    try:
        for start in range(0, len(vectors), ROWS_AT_ONCE):
            part = enumerate(vectors[start : start + ROWS_AT_ONCE], start)
            client.insert(name, [{"id": n, "dense": vector} for n, vector in part], timeout=SEARCH_SECONDS)
        client.flush(name, timeout=BUILD_SECONDS)  # what is not flushed has no index
        yield client, name
    finally:
        client.drop_collection(name, timeout=SEARCH_SECONDS)
        client.close()
