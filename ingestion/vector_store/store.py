"""The Milvus collection: schema, upsert, delete, search. The only module through which Milvus is used.

The primary key of a row is the chunk's deterministic key, so that writing twice changes nothing; only ``upsert`` is
used, never ``insert``, and never a flush. It works with Milvus Lite's server, Standalone and Distributed. Milvus before
version 2.4 has no sparse vectors: a collection made there is dense-only, and searches in it are too.

Reads by key and counts have the consistency level Strong: they see every write acknowledged before them, and wait for
it. Searches have the collection's level, Bounded: a row written in the last seconds may be missing, and a deleted one
may still be found (which is why hits are checked against the rows of the database).

Errors: VectorStoreUnavailable when Milvus does not answer, takes no writes just now, or has a collection of this name
that is not ours; CollectionMissing when it does not have the collection; PermanentError with Milvus' own words when it
refuses the request.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.conf import settings

from ingestion.exceptions import VectorStoreUnavailable
from ingestion.types import EmbeddedChunk, Hits, Vectors
from ingestion.vector_store import schema
from ingestion.vector_store.client import (
    CONNECT_SECONDS,
    code_of,
    connect,
    failures,
    failures_translated,
    import_without_pandas,
    is_overdue,
    is_unavailable,
)
from ingestion.vector_store.rows import CHANNELS, parts_by_bytes, row_of, vectors_of

if TYPE_CHECKING:
    from pymilvus import MilvusClient

__all__ = ["Entry", "VectorStore", "connect", "import_without_pandas", "open_store", "require_answer"]

T = TypeVar("T")
# A dense vector, or a sparse one as number to weight; and those of a question by their channels.
QueryVector = list[float] | dict[int, float]
QueryVectors = Mapping[str, QueryVector]


class Entry(NamedTuple):
    """The identifying fields of a stored row."""

    key: str
    source_id: int
    document_id: int


# A thousand rows are written in 0.3-0.9 s; a server that compacts may take several times that.
TIMEOUT_SECONDS = 30.0
# Bytes of vectors or keys that one query asks for. Milvus answers with messages of up to 64 MB, but pymilvus turns them
# into Python numbers of eight times the size.
ANSWER_BYTES = 4 * 1024 * 1024
KEY_BYTES = 32
# No other key is ever stored, and only such a key may become part of an expression.
KEY = re.compile(r"[A-Za-z0-9_-]{1,32}")
SPARSE_TERMS = 256  # distinct tokens of a long chunk
SPARSE_SINCE = (2, 4)
# Keys read at a time; Milvus answers at most 16 384 rows.
WINDOW_ROWS = 8000
# Searches on their way to Milvus, of all questions of this process; a thread waits, it computes nothing.
SEARCH_THREADS = 24


class VectorStore:
    """One collection. Threads may share it: the client's channel is thread-safe.

    A request takes ``seconds`` at most, by default TIMEOUT_SECONDS, and a connection no longer than that.
    """

    def __init__(self, name: str, dimension: int, seconds: float | None = None) -> None:
        self.name = name
        self.dimension = dimension
        self.seconds = seconds or TIMEOUT_SECONDS

    @functools.cached_property
    def client(self) -> MilvusClient:
        """Connect and return the client."""
        return connect(min(self.seconds, CONNECT_SECONDS))

    def ensure(self) -> None:
        """Create and load the collection unless it is there."""
        self._call(self._ensure)

    @functools.cached_property
    def channels(self) -> tuple[str, ...]:
        """Return the channels that the collection holds or, while there is none, those that a new one would."""
        return self._call(self._channels)

    def verify(self) -> None:
        """Raise CollectionMissing, or VectorStoreUnavailable, unless Milvus has the collection and it is ours."""
        self._call(self._fields)

    def exists(self) -> bool:
        """Return whether Milvus has the collection."""
        return bool(self._call(lambda: self.client.has_collection(self.name, timeout=self.seconds)))

    def upsert(self, chunks: Sequence[EmbeddedChunk]) -> int:
        """Write the rows of chunks; the last of equal keys wins. Return how many there were.

        Raise VectorStoreUnavailable when Milvus did not acknowledge all of them.
        """
        rows = list({c.key: row_of(c, self.channels) for c in chunks}.values())
        for part in parts_by_bytes(rows):
            if (taken := self._call(partial(self._upsert, part))) != len(part):
                raise VectorStoreUnavailable(f"Milvus acknowledged {taken} of {len(part)} rows; they are sent again.")
        return len(rows)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete rows by key; unknown keys are no error."""
        wanted = [key for key in keys if KEY.fullmatch(key)]
        if wanted:
            self._call(lambda: self.client.delete(self.name, ids=wanted, timeout=self.seconds))

    def count(self) -> int:
        """Return how many rows there are (Strong; by ``count(*)``, since ``num_entities`` lags behind deletes)."""
        self.verify()
        return int(self._query("", ["count(*)"])[0]["count(*)"])

    def existing(self, keys: Sequence[str]) -> set[str]:
        """Return which of ``keys``, any number of them, are stored (Strong; in queries of bounded size)."""
        return {row["key"] for row in self._rows(keys, ["key"], row_bytes=KEY_BYTES)}

    def vectors(self, keys: Sequence[str]) -> dict[str, Vectors]:
        """Return the vectors of those of ``keys``, any number of them, that are stored (Strong)."""
        fields = ["key", *(channel for channel in self.channels if channel != "words")]
        rows = self._rows(keys, fields, row_bytes=KEY_BYTES + 4 * self.dimension + 8 * SPARSE_TERMS)
        return {row["key"]: vectors_of(row) for row in rows}

    def keys(self, source_id: int | None = None) -> Iterator[str]:
        """Yield every stored key, of one source if it is given, in ascending order and once each.

        The keys are streamed, so that a million takes no more memory than a thousand.
        """
        return (entry.key for entry in self.entries(source_id))

    def entries(self, source_id: int | None = None) -> Iterator[Entry]:
        """Yield the entry of every row, in ascending order of the keys; streamed like ``keys``.

        A window of keys that holds too many is divided at a key in its middle: that needs neither an order of the
        answers nor evenly spread keys.
        """
        bounds = [*first_bounds(self.count()), None]
        windows = list(reversed(list(pairwise(bounds))))
        while windows:
            low, high = windows.pop()
            # At most WINDOW_ROWS rows with low <= key < high, in order; None is no bound.
            terms = [f"key >= {json.dumps(low or '')}"]
            terms += [f"key < {json.dumps(high)}"] if high is not None else []
            terms += [f"source_id == {int(source_id)}"] if source_id is not None else []
            rows = self._query(" and ".join(terms), ["key", "source_id", "document_id"], limit=WINDOW_ROWS)
            found = sorted(Entry(row["key"], row["source_id"], row["document_id"]) for row in rows)
            if len(found) < WINDOW_ROWS:
                yield from {entry.key: entry for entry in found}.values()
                continue
            middle = found[len(found) // 2].key
            windows += [(middle, high), (low, middle)]

    def copies(self, keys: Sequence[str]) -> int:
        """Return how many rows have one of these keys: more than there are keys when one is stored twice."""
        if not keys:
            return 0
        return int(self._query(f"key in {json.dumps(list(keys))}", ["count(*)"])[0]["count(*)"])

    def drop(self) -> None:
        """Delete the whole collection; it is no error when there is none."""
        self._call(lambda: self.client.drop_collection(self.name, timeout=self.seconds))

    def search(
        self,
        queries: Sequence[QueryVectors],
        *,
        limit: int,
        source_ids: Sequence[int] = (),
        prefixes: Sequence[str] = (),
    ) -> list[dict[str, Hits]]:
        """Return, for each query and each of its channels, the ``limit`` rows with the largest inner products.

        They come best first. ``source_ids`` names the sources to search in and ``prefixes`` what their addresses begin
        with; none: all. A channel that the collection does not hold is left out. The channels are searched at the same
        time, each for all queries in one request (Bounded).
        """
        where = expression(source_ids, prefixes)
        asked = {}
        for channel in self.channels:
            positions = [at for at, query in enumerate(queries) if channel in query]
            vectors = [queries[at][channel] for at in positions]
            if vectors:
                request = partial(self._search, channel, vectors, limit, where)
                asked[channel] = positions, searchers().submit(self._call, request)
        found: list[dict[str, Hits]] = [{} for _ in queries]
        for channel, (positions, answer) in asked.items():
            for at, hits in zip(positions, answer.result(), strict=True):
                found[at][channel] = hits
        return found

    def _ensure(self) -> None:
        """Create the collection unless Milvus has it, make the indexes that it lacks, and load it.

        Raise VectorStoreUnavailable for a collection that is not ours, PermanentError where Milvus refuses the kind of
        index, and pymilvus' own errors when a request fails.
        """
        if not self.client.has_collection(self.name, timeout=self.seconds):
            schema.create(self.client, self.name, self.dimension, self._channels(), self.seconds)
        schema.index(self.client, self.name, self._channels(), self.seconds)
        schema.load(self.client, self.name, self.seconds)

    def _fields(self) -> set[str]:
        """Return the names of the collection's fields. Raise VectorStoreUnavailable for a collection that is not ours.

        Milvus Lite acknowledges rows that do not fit a collection, and drops them.
        """
        description = self.client.describe_collection(self.name, timeout=self.seconds)
        if why := schema.misfit(description, self.dimension):
            raise VectorStoreUnavailable(
                f"Milvus at {settings.MILVUS_URI} has another collection under the name {self.name}: {why}. Rename or "
                "drop it there; then its chunks are embedded again. Vectors wait in Redis until then."
            )
        return {field["name"] for field in description["fields"]}

    def _channels(self) -> tuple[str, ...]:
        """Return the channels that the collection holds or, while there is none, those that a new one would.

        Milvus is asked each time. Raise VectorStoreUnavailable for a collection that is not ours, and pymilvus' own
        errors when Milvus does not answer.
        """
        if self.client.has_collection(self.name, timeout=self.seconds):
            held = self._fields()
            return tuple(channel for channel in CHANNELS if channel in held)
        try:
            return CHANNELS if knows_sparse(str(self.client.get_server_version(timeout=self.seconds))) else CHANNELS[:1]
        except failures() as error:
            # Milvus Lite does not tell its version, which is a current one; an unavailable server is asked again.
            if is_unavailable(error) and code_of(error) != "UNIMPLEMENTED":
                raise
            return CHANNELS

    def _upsert(self, rows: list[dict[str, Any]]) -> int:
        """Write rows to Milvus in one request, and return how many of them it acknowledged.

        Raise pymilvus' own errors when the request fails.
        """
        answer = self.client.upsert(self.name, rows, timeout=self.seconds)
        return int(answer["upsert_count"])

    def _rows(self, keys: Sequence[str], fields: list[str], *, row_bytes: int) -> Iterator[dict[str, Any]]:
        """Yield the stored rows that have one of ``keys`` (Strong), each as a dictionary of ``fields``, in no order.

        ``row_bytes`` is about what one row takes in an answer: it decides how many keys one query asks for. A key that
        no row can have, by its form, is passed over. Raise the errors of ``_query``.
        """
        step = max(1, min(ANSWER_BYTES // row_bytes, WINDOW_ROWS))
        wanted = [key for key in keys if KEY.fullmatch(key)]
        for start in range(0, len(wanted), step):
            yield from self._query(f"key in {json.dumps(wanted[start : start + step])}", fields)

    def _query(self, where: str, fields: list[str], **options: int) -> list[dict[str, Any]]:
        """Return the rows for which the expression ``where`` is true (Strong), each as a dictionary of ``fields``.

        ``options`` go to pymilvus as they are, such as ``limit``. An empty ``where`` holds for all rows. Raise
        CollectionMissing, VectorStoreUnavailable or PermanentError when the request fails.
        """
        rows: list[dict[str, Any]] = self._call(
            lambda: self.client.query(
                self.name,
                filter=where,
                output_fields=fields,
                consistency_level="Strong",
                timeout=self.seconds,
                **options,
            )
        )
        return rows

    def _search(self, channel: str, vectors: Sequence[QueryVector], limit: int, where: str) -> list[Hits]:
        """Return, for each of ``vectors``, the ``limit`` best hits of one channel at most, best first.

        Only rows are found for which the expression ``where`` is true; an empty one holds for all. Raise pymilvus' own
        errors when the request fails.
        """
        found = self.client.search(
            self.name,
            list(vectors),
            anns_field=channel,
            filter=where,
            limit=limit,
            search_params=schema.search_params(channel),
            timeout=self.seconds,
        )
        return [dict(zip(each.ids, each.distances, strict=True)) for each in found]

    def _call(self, request: Callable[[], T]) -> T:
        """Run a request; when Milvus is unavailable, connect and load once more and run it a second time.

        A request that took too long is not repeated.
        """
        started, used = monotonic(), None
        with failures_translated():
            try:
                used = self.client
                return request()
            except failures() as error:
                overdue = is_overdue(error) or monotonic() - started > min(self.seconds, CONNECT_SECONDS) / 2
                if not is_unavailable(error) or overdue:
                    raise
                if self.__dict__.get("client") is used:  # another thread may have a new one already
                    self.close()  # the next use of the client connects again
                if self.client.has_collection(self.name, timeout=min(self.seconds, CONNECT_SECONDS)):
                    schema.load(self.client, self.name, self.seconds)
                return request()

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if client := self.__dict__.pop("client", None):
            client.close()


@functools.cache
def searchers() -> ThreadPoolExecutor:
    """Return the threads that wait for Milvus' answers to searches."""
    return ThreadPoolExecutor(SEARCH_THREADS, "milvus-search")


def expression(source_ids: Sequence[int], prefixes: Sequence[str]) -> str:
    """Return Milvus' condition for rows of these sources whose address begins with one of the prefixes.

    A prefix is a range of addresses, which has no wildcards that an address may hold. It ends at the last character
    that there is, behind the prefix: no address holds that one.
    """
    terms = [f"source_id in {[int(i) for i in source_ids]}"] if source_ids else []
    ranges = [f"(url >= {quoted(low)} and url < {quoted(low + chr(sys.maxunicode))})" for low in prefixes]
    return " and ".join(terms + ([f"({' or '.join(ranges)})"] if ranges else []))


def quoted(text: str) -> str:
    """Return text as a string of Milvus' expressions."""
    return json.dumps(text, ensure_ascii=False)


def knows_sparse(version: str) -> bool:
    """Return whether a server of this version has sparse vectors; one without a readable version is current."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return found is None or (int(found[1]), int(found[2])) >= SPARSE_SINCE


def first_bounds(rows: int) -> list[str]:
    """Return the lower bounds of windows that are about half full when ``rows`` hexadecimal keys are evenly spread."""
    digits = 0
    while rows > 16**digits * WINDOW_ROWS // 2:
        digits += 1
    return ["", *(f"{number:0{digits}x}" for number in range(1, 16**digits))]


def require_answer(seconds: float) -> None:
    """Raise VectorStoreUnavailable where Milvus does not answer or does not let us in, with or without a collection."""
    open_store(settings.MILVUS_COLLECTION, settings.EMBED_DIMENSION, seconds).exists()


@functools.cache
def open_store(name: str, dimension: int, seconds: float | None = None) -> VectorStore:
    """Return the process's VectorStore for a collection, whose requests take ``seconds`` at most."""
    return VectorStore(name, dimension, seconds)
