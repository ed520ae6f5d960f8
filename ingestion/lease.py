"""The right to do something alone: a token in Redis with a life time, renewed while the work goes on.

Whoever dies loses it after that time; whoever was stopped longer learns of it at the next ``renew`` and must not go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis.exceptions import LockError

from ingestion import buffer
from ingestion.broker import available
from ingestion.exceptions import BufferUnavailable, LeaseLost

# More than this beyond its full time is no rest of a life time.
CLOCK_SECONDS = 60.0


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
    lock = buffer.lock(name, seconds=seconds)
    with available() as client:
        taken = lock.acquire(blocking=False)
        # Redis ends a key by the time of day: of a dead holder it would be kept for as long as the clock was set back.
        if not taken and client.pttl(lock.name) > 1000 * (seconds + CLOCK_SECONDS):
            client.delete(lock.name)
            taken = lock.acquire(blocking=False)
    if not taken:
        yield None
        return
    try:
        yield Lease(name, lock)
    finally:
        with suppress(LockError, BufferUnavailable), available():
            lock.release()
