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


@functools.cache
def connect() -> Any:
    """The process's client; every time-out is explicit so that a hung Redis never hangs us.

    (Any: redis-py's annotations speak for its asynchronous client in the same breath.)
    """
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=10,
        socket_connect_timeout=5,
        socket_keepalive=True,
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
