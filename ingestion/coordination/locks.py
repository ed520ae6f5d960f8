"""The right to do something alone: a token in Redis with a life time, renewed while the work goes on.

Whoever dies loses it after that time; whoever was stopped longer learns of it at the next ``renew`` and must not go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis.exceptions import LockError

from ingestion.buffer import embedding_queue
from ingestion.coordination.redis_client import acquire, available
from ingestion.exceptions import BufferUnavailable, LeaseLost


class Lease:
    """What ``hold`` gives; share it between threads."""

    def __init__(self, name: str, lock: Any) -> None:
        self.name = name
        self.lock = lock

    def renew(self) -> None:
        """Its full time from now on. Raises LeaseLost when another process may have it."""
        try:
            with available():
                self.lock.reacquire()
        except LockError as error:
            raise LeaseLost(f"The {self.name} was stopped for too long; another one goes on.") from error


@contextmanager
def hold(name: str, *, seconds: float) -> Iterator[Lease | None]:
    """The lease, given back at the end; None when another process has it."""
    lock = embedding_queue.lock(name, seconds=seconds)
    if not acquire(lock):
        yield None
        return
    try:
        yield Lease(name, lock)
    finally:
        with suppress(LockError, BufferUnavailable), available():
            lock.release()
