"""Kinds of indexes of dense vectors, tried on the configured Milvus one after another.

In: unit vectors and questions. Out: for each question the numbers of the nearest vectors and the seconds that the
search took. The collection that they are tried on is filled once and dropped here; those of the index are not touched.
Raises the store's errors with Milvus' own words where the server does not have a kind.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ingestion.exceptions import IngestionError, PermanentError
from ingestion.types import FloatArray
from ingestion.vector_store.client import connect, failures_translated, library

logger = logging.getLogger(__name__)

# What Milvus' documentation takes for a million vectors, and what is searched of it: https://milvus.io/docs/index.md
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "FLAT": ({}, {}),
    "IVF_FLAT": ({"nlist": 256}, {"nprobe": 16}),
    "HNSW": ({"M": 16, "efConstruction": 200}, {"ef": 100}),
    "IVF_SQ8": ({"nlist": 256}, {"nprobe": 16}),
    "IVF_PQ": ({"nlist": 256, "nbits": 8}, {"nprobe": 16}),
    "SCANN": ({"nlist": 256}, {"nprobe": 16, "reorder_k": 200}),
    "DISKANN": ({}, {"search_list": 100}),  # last: a server that cannot do it may end
}
# Of so many numbers IVF_PQ makes a code of ``nbits`` bits; the vector's length has to be a multiple of it.
NUMBERS_PER_CODE = 8
ROWS_AT_ONCE = 2000
# A server that lacks a kind, or cannot build it here, may try for ever; others index 500 rows a second at least.
BUILD_SECONDS, ROWS_A_SECOND = 60.0, 500
POLL_SECONDS = 0.1
SEARCH_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What a kind of index found: for each question the nearest vectors' numbers, and the seconds that it took."""

    found: list[list[int]]
    seconds: list[float]
    build_seconds: float


@dataclass(frozen=True, slots=True)
class TrialCollection:
    """A collection that holds vectors under their numbers, and one index after another."""

    client: Any
    name: str
    dimension: int
    build_seconds: float

    def tried(self, kind: str, questions: FloatArray, limit: int) -> Trial:
        """Build an index of this kind in place of the one before, and search the ``limit`` nearest of each question."""
        build, search = KINDS[kind]
        if kind == "IVF_PQ":
            build = {**build, "m": self.dimension // NUMBERS_PER_CODE}
        with failures_translated():
            self.client.release_collection(self.name, timeout=SEARCH_SECONDS)
            for index in self.client.list_indexes(self.name):
                self.client.drop_index(self.name, index, timeout=SEARCH_SECONDS)
            started = time.perf_counter()
            wanted = self.client.prepare_index_params()
            wanted.add_index("dense", index_type=kind, metric_type="IP", params=build)
            self.client.create_index(self.name, wanted, timeout=SEARCH_SECONDS, sync=False)
            while int(
                self.client.describe_index(self.name, "dense", timeout=SEARCH_SECONDS)["pending_index_rows"] or 0
            ):
                if time.perf_counter() - started > self.build_seconds:
                    raise PermanentError(f"It was not built within {self.build_seconds:.0f} s; Milvus' log says why.")
                time.sleep(POLL_SECONDS)
            self.client.load_collection(self.name, timeout=self.build_seconds)
            trial = Trial([], [], time.perf_counter() - started)
            # All rows are seen from here on: Strong waits for that, up to 0.4 s. The others search as readers do.
            self.search(questions[0], search, limit, consistency_level="Strong")
            for question in questions:
                started = time.perf_counter()
                hits = self.search(question, search, limit)
                trial.seconds.append(time.perf_counter() - started)
                trial.found.append([int(hit["id"]) for hit in hits])
        return trial

    def search(self, question: FloatArray, params: dict[str, Any], limit: int, **options: str) -> Any:
        """Return the hits of a question."""
        [hits] = self.client.search(
            self.name, [question.tolist()], anns_field="dense", limit=limit, timeout=SEARCH_SECONDS,
            search_params={"metric_type": "IP", "params": params}, **options,
        )  # fmt: skip
        return hits


@contextmanager
def trial_collection(vectors: FloatArray) -> Iterator[TrialCollection]:
    """Yield a collection that holds the vectors under their numbers, without an index; drop it in the end."""
    build_seconds = BUILD_SECONDS + len(vectors) / ROWS_A_SECOND
    with failures_translated():
        kinds, client, name = library().DataType, connect(), f"index_kinds_{secrets.token_hex(4)}"
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", kinds.INT64, is_primary=True)
        schema.add_field("dense", kinds.FLOAT_VECTOR, dim=vectors.shape[1])
        client.create_collection(name, schema=schema, timeout=SEARCH_SECONDS)
    try:
        with failures_translated():
            for start in range(0, len(vectors), ROWS_AT_ONCE):
                part = enumerate(vectors[start : start + ROWS_AT_ONCE], start)
                client.insert(name, [{"id": n, "dense": vector} for n, vector in part], timeout=SEARCH_SECONDS)
            client.flush(name, timeout=build_seconds)  # what is not flushed has no index
        yield TrialCollection(client, name, vectors.shape[1], build_seconds)
    finally:
        try:
            with failures_translated():
                client.drop_collection(name, timeout=SEARCH_SECONDS)
        except IngestionError as error:
            logger.warning("Drop the collection %s by hand: %s", name, error)
        client.close()
