"""The process's Redis client, for the buffer and for the state that processes share.

Raises BufferUnavailable when Redis does not answer or refuses writes. It does not know what is kept there.

A process that answers a person (a page, a command) waits ``SERVICE_TIMEOUT_SECONDS`` for Redis once, and then does not
ask again for a moment: a page asks a dozen things, and a Redis that accepts connections and never answers would cost
the time-out for each. Workers and Beat are patient: nobody waits for them, and doing work again costs more.
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

# Queues, unacknowledged messages and shared state need the rest; when Redis is full, no message can be sent at all.
VECTORS_SHARE = 0.7
# How long a worker waits for an answer and for a connection, and how often it tries again.
PATIENT_SECONDS, PATIENT_CONNECT_SECONDS, PATIENT_RETRIES = 10.0, 5.0, 3
# After Redis was silent, a process that is not patient does not ask again for this long.
SILENCE_SECONDS = 5.0
# How Redis begins its refusals of writes: a disk or a memory that is full, a replica, too few replicas.
REFUSALS = ("MISCONF", "OOM", "READONLY", "NOREPLICAS", "MASTERDOWN")
WRITE_PROBE = "write-probe"


class Silence(NamedTuple):
    """The time (by ``monotonic``) until which a process does not ask Redis again, and why."""

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
    """Forget the connection and that Redis was silent, so that the next use connects again."""
    global _silence
    _silence = None
    connect.cache_clear()


@functools.cache
def connect() -> Any:
    """Return the process's client; every time-out is explicit, so that a Redis that hangs does not hang us.

    The type is Any because redis-py's annotations cover its asynchronous client, too.
    """
    seconds = settings.SERVICE_TIMEOUT_SECONDS
    # A Unix socket cannot lose its other end unnoticed, and redis-py refuses the option there.
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
    """Yield the client, and turn Redis' own errors into BufferUnavailable."""
    global _silence
    if _silence and monotonic() < _silence.until:
        raise BufferUnavailable(_silence.reason)
    try:
        yield connect()
    except (redis.ConnectionError, redis.TimeoutError) as error:
        said = str(error).rstrip(".")
        reason = f"Redis does not answer as it should ({said}). Check that it runs; the work goes on when it is back."
        if not _patient:
            _silence = Silence(monotonic() + SILENCE_SECONDS, reason)
        raise BufferUnavailable(reason) from error
    except redis.ResponseError as error:
        # redis-py has a class for two of the refusals; the others are told by the word that they begin with, except
        # in a script's error, where it stands further on.
        known = isinstance(error, redis.exceptions.OutOfMemoryError | redis.exceptions.ReadOnlyError)
        if not known and not any(word in str(error) for word in REFUSALS):
            raise
        raise BufferUnavailable(
            f"Redis takes no writes ({error}). Look at its disk, its memory and its log; the work goes on when it "
            "takes them again."
        ) from error


def require_writes() -> None:
    """Raise BufferUnavailable, with Redis' own words, when it answers but stores nothing."""
    with available() as client:
        client.set(WRITE_PROBE, 1, px=1000)


def memory_fault() -> str:
    """Return why this Redis must not hold queues and vectors; "" when it may, or does not tell."""
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
