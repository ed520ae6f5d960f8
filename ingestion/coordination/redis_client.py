"""The process's client of Redis, for the list of vectors and for the manners that all processes share.

Raises BufferUnavailable when Redis does not answer or refuses writes; nothing else is known of what is kept there.

A process that answers a person (a page, a command) waits ``SERVICE_TIMEOUT_SECONDS`` for Redis, once, and then does
not ask again for a moment: a page asks a dozen things, and a Redis that accepts connections and never answers would
cost the time-out for each. Workers and Beat are patient: nobody waits for them, and to do work again costs more.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple

import redis
from celery.signals import beat_init, worker_init, worker_process_init
from django.conf import settings
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from ingestion.exceptions import BufferUnavailable

# Queues, unacknowledged messages and manners need the rest; when Redis is full, no message can be sent at all.
VECTORS_SHARE = 0.7
# What a worker waits for an answer and for a connection, and how often it tries again.
PATIENT_SECONDS, PATIENT_CONNECT_SECONDS, PATIENT_RETRIES = 10.0, 5.0, 3
# After Redis was silent an impatient process does not ask for this long.
SILENCE_SECONDS = 5.0
# How Redis begins its refusals of writes: a disk or a memory that is full, a replica, too few replicas.
REFUSALS = ("MISCONF", "OOM", "READONLY", "NOREPLICAS", "MASTERDOWN")
WRITE_PROBE = "write-probe"


class Silence(NamedTuple):
    """What a process noticed when Redis did not answer: until when it does not ask again, and why."""

    until: float
    reason: str


_patient = False
_silence: Silence | None = None


@worker_init.connect
@worker_process_init.connect
@beat_init.connect
def be_patient(**_: Any) -> None:
    """Wait longer and try again from now on; Celery calls this in its workers, their children and Beat."""
    global _patient
    _patient = True
    forget()


def forget() -> None:
    """Connect anew, and ask at once."""
    global _silence
    _silence = None
    connect.cache_clear()


@functools.cache
def connect() -> Any:
    """Return the process's client; every time-out is explicit so that a hung Redis never hangs us.

    (Any: redis-py's annotations speak for its asynchronous client in the same breath.)
    """
    seconds = settings.SERVICE_TIMEOUT_SECONDS
    # A Unix socket cannot lose its other end unseen, and redis-py refuses the option there.
    keepalive = {} if settings.REDIS_URL.startswith("unix:") else {"socket_keepalive": True}
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=PATIENT_SECONDS if _patient else seconds,
        socket_connect_timeout=PATIENT_CONNECT_SECONDS if _patient else seconds,
        **keepalive,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), PATIENT_RETRIES if _patient else 0),
    )


@contextmanager
def available() -> Iterator[Any]:
    """Yield the client, with Redis' own errors turned into BufferUnavailable."""
    if _silence and monotonic() < _silence.until:
        raise BufferUnavailable(_silence.reason)
    try:
        yield connect()
    except (redis.ConnectionError, redis.TimeoutError) as error:
        reason = f"Redis does not answer as it should ({error}). Check that it runs; the work goes on when it is back."
        note_silence(reason)
        raise BufferUnavailable(reason) from error
    except redis.ResponseError as error:
        if not refuses_writes(error):
            raise
        raise BufferUnavailable(
            f"Redis takes no writes ({error}). Look at its disk, its memory and its log; the work goes on when it "
            "takes them again."
        ) from error


def note_silence(reason: str) -> None:
    global _silence
    if not _patient:
        _silence = Silence(monotonic() + SILENCE_SECONDS, reason)


def refuses_writes(error: redis.ResponseError) -> bool:
    """Redis-py has a class for two of them; the others are told by a word, the first one except in a script's error."""
    known = isinstance(error, redis.exceptions.OutOfMemoryError | redis.exceptions.ReadOnlyError)
    return known or any(word in str(error) for word in REFUSALS)


def require_writes() -> None:
    """Raise BufferUnavailable, with Redis' own words, when it answers but stores nothing."""
    with available() as client:
        client.set(WRITE_PROBE, 1, px=1000)


def memory_trouble() -> str:
    """Why this Redis must not hold queues and vectors; empty when it may, or will not say."""
    with available() as client:
        try:
            memory = client.info("memory")
        except redis.exceptions.NoPermissionError:
            return ""
    policy, limit = memory.get("maxmemory_policy", "noeviction"), int(memory.get("maxmemory", 0))
    if policy != "noeviction":
        return (
            f"Redis has maxmemory-policy {policy}: when its memory is full it would throw queues and finished "
            "embeddings away. Set it to noeviction (redis-cli CONFIG SET maxmemory-policy noeviction, and in its "
            "configuration), or set REDIS_URL to another server."
        )
    if limit and limit * VECTORS_SHARE < settings.EMBEDDINGS_MAX_BYTES:
        return (
            f"Redis has maxmemory {limit}, and EMBEDDINGS_MAX_BYTES lets vectors take {settings.EMBEDDINGS_MAX_BYTES} "
            f"of it: above {VECTORS_SHARE:.0%} there is no room for the queues. Raise the one or lower the other."
        )
    return ""
