"""The Milvus collection: schema, upsert, delete, search. The only module that speaks to Milvus.

Rows are keyed by the chunk's deterministic key, so writing twice changes nothing; only ``upsert`` is
used, never ``insert``, and never a flush. Works with Milvus Lite's server, Standalone and Distributed.

Errors: VectorStoreUnavailable when Milvus does not answer; what Milvus says of the data is passed on.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from django.conf import settings

from ingestion.exceptions import PermanentError, VectorStoreUnavailable
from ingestion.types import EmbeddedChunk, Hit, Vectors

if TYPE_CHECKING:
    from pymilvus import MilvusClient

T = TypeVar("T")

# Milvus counts VARCHAR in bytes and refuses more than 65 535.
TEXT_BYTES = 65_535
HEADING_BYTES, TITLE_BYTES, URL_BYTES = 4000, 2000, 8192
# An upsert above this is split; Milvus refuses messages of 64 MB.
UPSERT_BYTES = 8 * 1024 * 1024
# Reciprocal rank fusion's constant, from Cormack, Clarke and Buettcher, SIGIR 2009.
RRF_K = 60
# Each side of a hybrid search offers this many candidates, however few are asked for.
CANDIDATES = 50
TIMEOUT_SECONDS = 30.0
# gRPC servers close a connection that pings more often than every five minutes; pymilvus' 10 s does.
KEEPALIVE_MS = 330_000
OUTPUT_FIELDS = ["key", "document_id", "source_id", "url", "title", "heading", "position", "text"]
MODES = ("hybrid", "dense", "sparse")
# What Milvus says while it restarts or before a collection is loaded again.
UNAVAILABLE_WORDS = ("not loaded", "released", "unavailable", "connect", "deadline", "closed", "not ready")


class VectorStore:
    """One collection. Share one between threads: the client's channel is thread-safe."""

    def __init__(self, name: str, dimension: int) -> None:
        self.name = name
        self.dimension = dimension

    @functools.cached_property
    def client(self) -> MilvusClient:
        return library().MilvusClient(
            uri=settings.MILVUS_URI,
            token=settings.MILVUS_TOKEN,
            timeout=TIMEOUT_SECONDS,
            grpc_options={"grpc.keepalive_time_ms": KEEPALIVE_MS},
        )

    def ensure(self) -> None:
        """Create and load the collection unless it is there."""
        self._call(self._ensure)

    def upsert(self, chunks: Sequence[EmbeddedChunk]) -> int:
        """Write rows; the last of equal keys wins. Returns how many Milvus acknowledged."""
        rows = list({c.key: row_of(c) for c in chunks}.values())
        return sum(self._call(partial(self._upsert, part)) for part in parts_by_bytes(rows))

    def delete(self, keys: Iterable[str]) -> None:
        """Delete rows by key; unknown keys are no error."""
        wanted = list(keys)
        if wanted:
            self._call(lambda: self.client.delete(self.name, ids=wanted, timeout=TIMEOUT_SECONDS))

    def count(self) -> int:
        """Rows that a query sees (``count(*)``; ``num_entities`` lags behind deletes)."""
        return int(self._query("", ["count(*)"])[0]["count(*)"])

    def existing(self, keys: Sequence[str]) -> set[str]:
        """Which of ``keys`` are stored."""
        if not keys:
            return set()
        return {r["key"] for r in self._query(f"key in {json.dumps(list(keys))}", ["key"])}

    def vectors(self, keys: Sequence[str]) -> dict[str, Vectors]:
        """The stored vectors of those ``keys`` that are there."""
        if not keys:
            return {}
        rows = self._query(f"key in {json.dumps(list(keys))}", ["key", "dense", "sparse"])
        return {row["key"]: vectors_of(row) for row in rows}

    def search(self, query: Vectors, *, limit: int, mode: str = "hybrid", source_ids: Sequence[int] = ()) -> list[Hit]:
        """The best ``limit`` rows, best first. ``mode`` is "hybrid", "dense" or "sparse"; a hybrid score is
        a fused rank (up to 2 / 61), the others are inner products."""
        where = f"source_id in {[int(i) for i in source_ids]}" if source_ids else ""
        found = self._call(lambda: self._search(query, limit, mode, where))
        return [hit_of(row) for row in found]

    def _ensure(self) -> None:
        if not self.client.has_collection(self.name):
            self._create()
        self.client.load_collection(self.name)

    def _create(self) -> None:
        kinds = library().DataType
        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", kinds.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("source_id", kinds.INT64)
        schema.add_field("document_id", kinds.INT64)
        schema.add_field("position", kinds.INT64)
        for field, size in (("url", URL_BYTES), ("title", TITLE_BYTES), ("heading", HEADING_BYTES)):
            schema.add_field(field, kinds.VARCHAR, max_length=size)
        schema.add_field("text", kinds.VARCHAR, max_length=TEXT_BYTES)
        schema.add_field("dense", kinds.FLOAT_VECTOR, dim=self.dimension)
        schema.add_field("sparse", kinds.SPARSE_FLOAT_VECTOR)
        index = self.client.prepare_index_params()
        index.add_index("dense", index_type="AUTOINDEX", metric_type="IP")
        index.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        self.client.create_collection(self.name, schema=schema, index_params=index)

    def _upsert(self, rows: list[dict[str, Any]]) -> int:
        answer = self.client.upsert(self.name, rows, timeout=TIMEOUT_SECONDS)
        return int(answer["upsert_count"])

    def _query(self, where: str, fields: list[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._call(
            lambda: self.client.query(
                self.name,
                filter=where,
                output_fields=fields,
                consistency_level="Strong",
                timeout=TIMEOUT_SECONDS,
            )
        )
        return rows

    def _search(self, query: Vectors, limit: int, mode: str, where: str) -> list[dict[str, Any]]:
        sides = {"dense": [query.dense.tolist()], "sparse": [sparse_of(query)]}
        if mode == "hybrid" and len(query.indices):
            metric, depth = {"metric_type": "IP"}, max(limit, CANDIDATES)
            requests = [library().AnnSearchRequest(v, f, metric, depth, where or None) for f, v in sides.items()]
            found = self.client.hybrid_search(
                self.name,
                requests,
                library().RRFRanker(RRF_K),
                limit=limit,
                output_fields=OUTPUT_FIELDS,
                timeout=TIMEOUT_SECONDS,
            )
        else:
            field = "sparse" if mode == "sparse" else "dense"
            found = self.client.search(
                self.name, sides[field], anns_field=field, filter=where, limit=limit,
                search_params={"metric_type": "IP"}, output_fields=OUTPUT_FIELDS, timeout=TIMEOUT_SECONDS,
            )  # fmt: skip
        return list(found[0])

    def _call(self, request: Callable[[], T]) -> T:
        """Run a request; after a restart of Milvus connect and load once more, then give up."""
        with unavailable_named():
            try:
                return request()
            except failures() as error:
                if not is_unavailable(error):
                    raise
                self._reconnect()
                return request()

    def _reconnect(self) -> None:
        self.close()
        if self.client.has_collection(self.name):
            self.client.load_collection(self.name)

    def close(self) -> None:
        if client := self.__dict__.pop("client", None):
            client.close()


@functools.cache
def library() -> Any:
    """pymilvus, imported on first use: with gRPC and pandas it takes 0.65 s and 100 MB, which the processes
    that never talk to Milvus are spared."""
    import pymilvus

    return pymilvus


def import_without_pandas() -> None:
    """Load pymilvus at 37 MB instead of 104: it imports pandas to accept data frames, which nobody here has.
    Only for processes where no other thread may import pandas meanwhile; afterwards it can be imported as ever."""
    if "pymilvus" in sys.modules or "pandas" in sys.modules:
        return
    absent = {name: _Absent(name) for name in ("pandas", "pandas.api", "pandas.api.types")}
    sys.modules.update(absent)
    try:
        library()
    finally:
        for name in absent:
            del sys.modules[name]


class _Absent(ModuleType):
    """Names of pandas for annotations and for ``isinstance``, which nothing passes."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []  # which makes it a package

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@functools.cache
def failures() -> tuple[type[Exception], ...]:
    import grpc

    return library().MilvusException, grpc.RpcError


@contextmanager
def unavailable_named() -> Iterator[None]:
    try:
        yield
    except failures() as error:
        if is_unavailable(error):
            raise VectorStoreUnavailable(
                f"Milvus does not answer at {settings.MILVUS_URI}. Check that it runs and that MILVUS_URI "
                "is right; vectors wait in Redis until it is back."
            ) from error
        raise PermanentError(f"Milvus refused the request: {error}") from error


def is_unavailable(error: Exception) -> bool:
    if not isinstance(error, library().MilvusException):  # gRPC's own
        return True
    text = str(error).lower()
    return any(word in text for word in UNAVAILABLE_WORDS)


def row_of(chunk: EmbeddedChunk) -> dict[str, Any]:
    return {
        "key": chunk.key,
        "source_id": chunk.source_id,
        "document_id": chunk.document_id,
        "position": chunk.position,
        "url": cut(chunk.url, URL_BYTES),
        "title": cut(chunk.title, TITLE_BYTES),
        "heading": cut(chunk.heading, HEADING_BYTES),
        "text": cut(chunk.text, TEXT_BYTES),
        "dense": chunk.vectors.dense,
        "sparse": sparse_of(chunk.vectors),
    }


def sparse_of(vectors: Vectors) -> dict[int, float]:
    return dict(zip(vectors.indices.tolist(), vectors.weights.tolist(), strict=True))


def vectors_of(row: dict[str, Any]) -> Vectors:
    weights = row["sparse"]
    return Vectors(
        np.asarray(row["dense"], np.float32),
        np.fromiter(weights.keys(), np.uint32, len(weights)),
        np.fromiter(weights.values(), np.float32, len(weights)),
    )


def cut(text: str, size: int) -> str:
    """The longest beginning of ``text`` of at most ``size`` bytes in UTF-8."""
    return text.encode(errors="replace")[:size].decode(errors="ignore")


def parts_by_bytes(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        weight = 4 * len(row["dense"]) + 8 * len(row["sparse"]) + 4 * len(row["text"])
        if part and size + weight > UPSERT_BYTES:
            yield part
            part, size = [], 0
        part.append(row)
        size += weight
    if part:
        yield part


def hit_of(row: dict[str, Any]) -> Hit:
    entity = row["entity"]
    return Hit(score=float(row["distance"]), **{f: entity[f] for f in OUTPUT_FIELDS})


@functools.cache
def open_store(name: str, dimension: int) -> VectorStore:
    """The process's handle on a collection."""
    return VectorStore(name, dimension)
