"""pymilvus: imported late and light, connected to the configured server, with its failures told apart.

A failure becomes CollectionMissing, VectorStoreUnavailable when Milvus does not answer or takes no writes just now, or
PermanentError with Milvus' own words when it refuses the request.
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

# A server that runs answers within milliseconds, one that does not must not hold a worker.
CONNECT_SECONDS = 5.0
# gRPC servers close a connection that pings more often than every five minutes; pymilvus' 10 s does.
KEEPALIVE_MS = 330_000

# Milvus' error codes since version 2.3 (pkg/util/merr/errors.go of github.com/milvus-io/milvus).
COLLECTION_NOT_FOUND = 100
UNAVAILABLE_CODES = frozenset(
    {
        2,  # the service is not available; also pymilvus' own code when it cannot connect
        *(3, 4, 7, 8, 9, 11, 12),  # limits of memory, requests, disk, rate, quota (writes denied), delay, resources
        *(101, 103, 106),  # the collection is not loaded, not fully loaded, recovering
        *(201, 202),  # likewise a partition
        *(400, 401),  # no replica
        *(500, 501, 503, 504),  # no channel
        *(600, 601, 602, 604),  # no segment
        *(901, 902, 903, 904, 905, 906),  # no node
        *(1000, 1001, 1002),  # its storage fails
        *(1300, 1302, 1303),  # its message queue fails, or denies writes
        *(2200, 2201),  # a query that found changing data, or was cancelled
        *(10000, 10001),  # cancelled, time-out
    }
)
# These say nothing, so that the message decides: a server before 2.3, pymilvus itself or a server that starts, an
# internal error, the C++ core, and an unexpected error, which may be anything from a wrong dimension to a time-out.
UNSPECIFIC_CODES = frozenset({0, 1, 5, 2000, 65535})
MISSING_WORDS = ("collection not found", "can't find collection", "collection not exist")
UNAVAILABLE_WORDS = (
    *("not loaded", "released", "unavailable", "connect", "deadline", "closed", "not ready", "timeout", "offline"),
    *(*MISSING_WORDS, "not exist", "no available", "not serving"),
    *("rate limit", "quota", "deny", "limit exceeded", "resource exhausted"),
    *("on disk", "disk full", "disk is full", "disk space", "enough disk"),  # but not DISKANN, a kind of index
    *("node not match", "not healthy", "abnormal", "shard leader", "no shard", "channel", "canceled", "in recovery"),
)
# pymilvus writes "Retry timeout" before the server's message and leaves the server's code.
OVERDUE_CODES = frozenset({10001, "DEADLINE_EXCEEDED"})
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
    """Import and return pymilvus on first use.

    With gRPC and pandas it takes 0.65 s and 100 MB, which the processes that never talk to Milvus are spared.
    """
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
    """Load pymilvus in 37 MB instead of 104: it imports pandas to accept data frames, which nobody passes here.

    Call it only where no other thread may import pandas meanwhile; afterwards pandas can be imported as usual.
    """
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
    """A stand-in for pandas, whose names serve in annotations and in ``isinstance`` checks that are always false."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []  # which makes it a package

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@functools.cache
def failures() -> tuple[type[Exception], ...]:
    """Return the exceptions by which pymilvus and gRPC tell that a request failed."""
    import grpc

    return library().MilvusException, grpc.RpcError


@contextmanager
def failures_translated() -> Iterator[None]:
    """Turn the failures of a request into CollectionMissing, VectorStoreUnavailable or PermanentError."""
    try:
        yield
    except failures() as error:
        code = code_of(error)
        if code == COLLECTION_NOT_FOUND or (code in UNSPECIFIC_CODES and _has_word(error, MISSING_WORDS)):
            raise CollectionMissing(
                f"Milvus at {settings.MILVUS_URI} does not have the collection ({reason_of(error)}). It is made anew, "
                "and its chunks are embedded again."
            ) from error
        if is_unavailable(error):
            raise VectorStoreUnavailable(
                f"Milvus does not answer at {settings.MILVUS_URI} or takes no writes ({reason_of(error)}). Check "
                "that it runs and that MILVUS_URI and MILVUS_TOKEN are right; vectors wait in Redis until it is back."
            ) from error
        raise PermanentError(f"Milvus refused the request: {error}") from error


def is_unavailable(error: Exception) -> bool:
    """Return whether a request failed for a reason that passes, rather than because of what it asked for."""
    code = code_of(error)
    if isinstance(code, str) or code == COLLECTION_NOT_FOUND:
        return True
    if code in UNSPECIFIC_CODES:
        return _has_word(error, UNAVAILABLE_WORDS)
    return code in UNAVAILABLE_CODES or bool(getattr(error, "retriable", False))


def is_overdue(error: Exception) -> bool:
    """Return whether a request failed because its time was over."""
    return code_of(error) in OVERDUE_CODES or _has_word(error, OVERDUE_WORDS)


def code_of(error: Exception) -> int | str:
    """Return the code of a failure: Milvus' number, or the name of a gRPC status such as "UNAVAILABLE"."""
    import grpc

    code = getattr(error, "code", grpc.StatusCode.UNKNOWN)
    code = code() if callable(code) else code
    return code.name if isinstance(code, grpc.StatusCode) else int(code)


def _has_word(error: Exception, words: tuple[str, ...]) -> bool:
    """Return whether the text of an error, in any case, contains one of ``words``, which are in lower case."""
    text = str(error).lower()
    return any(word in text for word in words)


def reason_of(error: Exception) -> str:
    """Return one line of what Milvus or gRPC said, which may be a page."""
    said = getattr(error, "message", "") or getattr(error, "details", str)() or type(error).__name__
    return cut(" ".join(str(said).split()), 200)
