"""Locks in Redis with a lease, taken so that a dead holder's lease also ends after the clock was set back."""

from __future__ import annotations

from typing import Any

# A lock that has more left than its full lease and this was taken before the clock was set back.
CLOCK_MS = 1000


def take(lock: Any, token: str | None = None) -> bool:
    """Take redis-py's lock if it is free, without waiting. Return whether it was. Raises RedisError.

    Redis ends a key by the time of day, so that a dead holder's lock lasts longer than its lease by as much as the
    clock was set back. The rest is then shortened to one lease: a holder that lives renews it before that.
    """
    if lock.acquire(blocking=False, token=token):
        return True
    full = round(1000 * lock.timeout)
    if lock.redis.pttl(lock.name) > full + CLOCK_MS:
        lock.redis.pexpire(lock.name, full)
    return False
