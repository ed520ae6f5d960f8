"""The process's client of Redis, for the list of vectors and for the manners that all processes share.

Raises BufferUnavailable when Redis does not answer; nothing else is known of what is kept there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from django.conf import settings
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from ingestion.exceptions import BufferUnavailable

# Queues, unacknowledged messages and manners need the rest; when Redis is full, no message can be sent at all.
VECTORS_SHARE = 0.7
# More than this beyond its full time is no rest of a lock's life.
CLOCK_MS = 1000


@functools.cache
def connect() -> Any:
    """The process's client; every time-out is explicit so that a hung Redis never hangs us.

    (Any: redis-py's annotations speak for its asynchronous client in the same breath.)
    """
    # A Unix socket cannot lose its other end unseen, and redis-py refuses the option there.
    keepalive = {} if settings.REDIS_URL.startswith("unix:") else {"socket_keepalive": True}
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=10,
        socket_connect_timeout=5,
        **keepalive,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), 3),
    )


@contextmanager
def available() -> Iterator[Any]:
    """The client, with Redis' own errors turned into BufferUnavailable."""
    try:
        yield connect()
    except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.OutOfMemoryError) as error:
        raise BufferUnavailable(
            f"Redis does not answer as it should ({error}). Check that it runs; the work goes on when it is back."
        ) from error


def acquire(lock: Any, token: str | None = None) -> bool:
    """Take a lock, without waiting, if it is free.

    Redis ends a key by the time of day, so that a dead holder's lock outlives its time by as much as the clock was set
    back. Its rest is shortened to one full time: a holder that lives renews it before that.
    """
    with available() as client:
        if lock.acquire(blocking=False, token=token):
            return True
        full = round(1000 * lock.timeout)
        if client.pttl(lock.name) > full + CLOCK_MS:
            client.pexpire(lock.name, full)
        return False


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
