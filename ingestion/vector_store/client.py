"""pymilvus: imported late and light, connected to the configured server, its errors told apart.

VectorStoreUnavailable when Milvus does not answer or will not take writes just now; PermanentError with Milvus' own
words when it refuses the request.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django.conf import settings

from ingestion.exceptions import CollectionMissing, PermanentError, VectorStoreUnavailable
from ingestion.vector_store.rows import cut

if TYPE_CHECKING:
    from pymilvus import MilvusClient

# A server that is there answers within milliseconds, one that is not must not hold a worker.
CONNECT_SECONDS = 5.0
# gRPC servers close a connection that pings more often than every five minutes; pymilvus' 10 s does.
KEEPALIVE_MS = 330_000
# What Milvus says while it restarts, before a collection is loaded again, after the collection was lost (the next
# ``ensure`` makes it anew), and while it protects itself from more writes.
MISSING_WORDS = ("collection not found", "can't find collection", "collection not exist")
UNAVAILABLE_WORDS = (
    *("not loaded", "released", "unavailable", "connect", "deadline", "closed", "not ready", "timeout", "offline"),
    *(*MISSING_WORDS, "not exist", "no available", "not serving"),
    *("rate limit", "quota", "deny", "limit exceeded", "resource exhausted", "disk"),
    *("node not match", "not healthy", "abnormal", "shard leader", "no shard", "channel", "canceled", "in recovery"),
)
OVERDUE_WORDS = ("deadline", "timeout")


def connect(seconds: float = CONNECT_SECONDS) -> MilvusClient:
    """Return a client of the configured server, which has ``seconds`` to answer."""
    return library().MilvusClient(
        uri=settings.MILVUS_URI,
        token=settings.MILVUS_TOKEN,
        timeout=seconds,
        grpc_options={"grpc.keepalive_time_ms": KEEPALIVE_MS},
    )


@functools.cache
def library() -> Any:
    """pymilvus, imported on first use: with gRPC and pandas it takes 0.65 s and 100 MB, which the processes
    that never talk to Milvus are spared."""
    import pymilvus
    from pymilvus.client import entity_helper, utils

    # It looks at every character of every text, 0.3 s for 1 000 rows; ours are strings that have been cut to size.
    entity_helper.CHECK_STR_ARRAY = False
    # It imports scipy, 23 MB, to see whether a sparse vector is one of its matrices; ours are dictionaries.
    utils.SciPyHelper._checked = True
    # Its import sets this to WARNING, and it logs each refused call with a traceback; our own message says what to do.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
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
        if is_missing(error):
            raise CollectionMissing(
                f"Milvus at {settings.MILVUS_URI} does not have the collection ({reason_of(error)}). It is made anew, "
                "and its chunks are embedded again."
            ) from error
        if is_unavailable(error):
            raise VectorStoreUnavailable(
                f"Milvus does not answer at {settings.MILVUS_URI} or takes no writes ({reason_of(error)}). Check "
                "that it runs and that MILVUS_URI is right; vectors wait in Redis until it is back."
            ) from error
        raise PermanentError(f"Milvus refused the request: {error}") from error


def is_missing(error: Exception) -> bool:
    text = str(error).lower()
    return any(word in text for word in MISSING_WORDS)


def is_unavailable(error: Exception) -> bool:
    if not isinstance(error, library().MilvusException):  # gRPC's own
        return True
    text = str(error).lower()
    return any(word in text for word in UNAVAILABLE_WORDS)


def is_overdue(error: Exception) -> bool:
    text = str(error).lower()
    return any(word in text for word in OVERDUE_WORDS)


def reason_of(error: Exception) -> str:
    """A line of what Milvus or gRPC said, which may be a page."""
    said = getattr(error, "message", "") or getattr(error, "details", str)() or type(error).__name__
    return cut(" ".join(str(said).split()), 200)
