"""Locks that all processes share: a token in Redis with a lease, which the holder renews while it works.

A holder that dies loses its lock when the lease ends. One that was stopped for longer learns that at its next ``renew``
and must not go on, because another process may have begun.

Raises BufferUnavailable when Redis does not answer, LeaseLost and DeviceTaken as said below.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.conf import settings
from django.utils import timezone
from redis.exceptions import LockError

from ingestion.coordination.device import device_id
from ingestion.coordination.redis_client import available, connect
from ingestion.exceptions import BufferUnavailable, DeviceTaken, LeaseLost
from ragproject.leases import take

logger = logging.getLogger(__name__)

# A worker that was killed leaves its device locked this long; one that is slow to renew has three more tries.
DEVICE_LEASE_SECONDS = 20.0
DEVICE_RENEW_SECONDS = 5.0
DEVICE_LOOK_SECONDS = 0.5


class Lease:
    """A lock that this process holds, as ``hold`` yields it. Threads may share it."""

    def __init__(self, name: str, lock: Any) -> None:
        self.name = name
        self.lock = lock

    def renew(self) -> None:
        """Start the lease anew. Raise LeaseLost when another process may have the lock."""
        try:
            with available():
                self.lock.reacquire()
        except LockError as error:
            raise LeaseLost(f"The {self.name} was stopped for too long; another one goes on.") from error


@contextmanager
def hold(name: str, *, seconds: float) -> Iterator[Lease | None]:
    """Yield a lock that is released at the end, or None when another process has it."""
    lock = named(name, seconds=seconds)
    if not acquire(lock):
        yield None
        return
    try:
        yield Lease(name, lock)
    finally:
        with suppress(LockError, BufferUnavailable), available():
            lock.release()


def once_in(seconds: float, name: str) -> bool:
    """Return True to one caller in ``seconds``, over all processes: a lock that nobody releases."""
    return acquire(named(name, seconds=seconds))


def named(name: str, *, seconds: float) -> Any:
    """Return redis-py's lock of this name, not yet taken."""
    return connect().lock(f"{settings.EMBEDDINGS_KEY}:lock:{name}", timeout=seconds, thread_local=False)


def acquire(lock: Any, token: str | None = None) -> bool:
    """Take a lock if it is free, without waiting. Return whether it was."""
    with available():
        return take(lock, token)


class DeviceLease:
    """The right to embed on this worker's device. Its token in Redis names the process and the time it began.

    Two workers on one card load two models and share its memory until both run out of it.
    """

    def __init__(self) -> None:
        self.device = device_id()
        self.key = f"embedder:lease:{self.device}"
        self.since = timezone.now().isoformat(timespec="seconds")
        self._token = json.dumps({"pid": os.getpid(), "since": self.since, "nonce": uuid.uuid4().hex})
        self._lock: Any = None

    def acquire(self) -> None:
        """Wait until a dead holder's lease ends, and take the device. Raise DeviceTaken when the holder lives."""
        deadline = time.monotonic() + DEVICE_LEASE_SECONDS + DEVICE_RENEW_SECONDS
        warned = False
        while not self.try_acquire():
            if time.monotonic() > deadline:
                raise DeviceTaken(self.refusal())
            if not warned:
                logger.warning("%s is held by %s; waiting for its lease to end", self.device, self.holder())
                warned = True
            time.sleep(DEVICE_LOOK_SECONDS)

    def try_acquire(self) -> bool:
        """Take the device if it is free. Return whether it was."""
        with available() as client:
            self._lock = client.lock(self.key, timeout=DEVICE_LEASE_SECONDS, thread_local=False)
        return acquire(self._lock, self._token)

    def renew(self) -> bool:
        """Start the lease anew and return whether the device is still ours; a lease that Redis lost is taken again."""
        with available():
            try:
                return bool(self._lock.reacquire())
            except LockError:
                return self.try_acquire()

    def release(self) -> None:
        """Give the device back."""
        with available():
            try:
                self._lock.release()
            except LockError:
                logger.warning("the lease on %s had ended already", self.device)

    def holder(self) -> str:
        """Return which process has the device and since when, for messages."""
        with available() as client:
            token = json.loads(client.get(self.key) or "{}")
        return f"process {token.get('pid', '?')}, since {token.get('since', 'just now')}"

    def refusal(self) -> str:
        """Return the message that the device is in use and what to do."""
        return (
            f"{self.device} is in use by another embedding worker ({self.holder()}). One model fits one device: "
            "end that worker, or give this one a device of its own (EMBED_DEVICE=cuda:1)."
        )
