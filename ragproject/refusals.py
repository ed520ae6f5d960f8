"""Who was told when to come back, with 429 or 503: who asks before that is told so again, without any work.

In: requests and responses as ASGI has them. Out: the status and the seconds that are left. A sender is told apart by
its address and the key that it presents; one that sends a cookie may be somebody who is signed in, and is always heard.
Only refusals for programs are remembered, for the path that was asked for whatever number it ends with, and only for a
moment: limits may be raised. Who asks again all the same waits for the repetition, each time longer, and its time
begins anew: a client that does nothing else costs a repetition every few seconds on each of its connections, and as
often one refusal. A 503 to somebody who is known by nothing but an address says that there is no room for one request
more, so that for a moment all of them are told so.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

REPEATED_SECONDS = 8.0
# About 300 bytes each.
MOST_REMEMBERED = 10_000
DIGITS = "0123456789"
# The first repetition waits less than the shortest time that anybody is told to wait, each one twice as long as the one
# before, and none as long as clients wait for an answer.
SLOWED_SECONDS = 0.8
LONGEST_SLOWED_SECONDS = 5.0
# About 10 KB each, held by the server beside its connection.
MOST_SLOWED = 2_000
# How long a 503 to one address holds for all: after so long a few searches have ended, and there is room for others.
CROWDED_SECONDS = 0.5


class Sender(NamedTuple):
    """What tells who sends a request from others; no name where more has to be read to know."""

    name: str
    # Nothing is known but an address.
    is_address: bool = False


ADDRESSES = "all addresses"


class Refusal(NamedTuple):
    """What somebody was told: a status, and until when it holds and is repeated, by the monotonic clock.

    Whoever comes too early is told so after ``delay``, and has to wait for ``seconds`` from then.
    """

    status: int
    seconds: float
    until: float
    repeated_until: float
    delay: float

    @property
    def seconds_left(self) -> int:
        """Return in how many seconds to come back, for Retry-After."""
        return max(1, math.ceil(self.until - time.monotonic()))


class Refusals:
    """The refusals of one process."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], Refusal] = OrderedDict()
        self._slowed = 0

    def again(self, sender: Sender, path: str) -> Refusal | None:
        """Return the refusal to repeat to a sender that asks too early; None where the request is to be handled."""
        key, now = (sender.name, path.rstrip(DIGITS)), time.monotonic()
        told = self._told.get(key)
        if not told or now >= min(told.until, told.repeated_until):
            self._told.pop(key, None)
            told = self._told.get((ADDRESSES, key[1])) if sender.is_address else None
            if not told or now >= told.repeated_until:
                return None
            told = refusal(told.status, told.seconds)
        told = told._replace(until=max(told.until, now + told.delay + told.seconds))
        self._remember(key, told._replace(delay=min(2 * told.delay, LONGEST_SLOWED_SECONDS)))
        return told

    async def slow_down(self, seconds: float) -> None:
        """Wait for a random time of at most ``seconds`` before a refusal is repeated.

        Return at once where MOST_SLOWED clients wait already.
        """
        if self._slowed >= MOST_SLOWED:
            return
        self._slowed += 1
        try:
            await asyncio.sleep(seconds * spread())
        finally:
            self._slowed -= 1

    def note(self, sender: Sender, path: str, response: Mapping[str, Any]) -> None:
        """Remember the start of a response to the sender, if it is a 429 or 503 for programs with Retry-After."""
        status = response.get("status")
        if not sender.name or status not in (429, 503):
            return
        headers = {name.lower(): value for name, value in response["headers"]}
        seconds, kind = headers.get(b"retry-after", b""), headers.get(b"content-type", b"")
        if seconds.isdigit() and b"json" in kind:
            told = refusal(status, int(seconds))
            self._remember((sender.name, path.rstrip(DIGITS)), told)
            if status == 503 and sender.is_address:
                for_all = told._replace(repeated_until=time.monotonic() + CROWDED_SECONDS)
                self._remember((ADDRESSES, path.rstrip(DIGITS)), for_all)

    def _remember(self, key: tuple[str, str], told: Refusal) -> None:
        """Note what was told to a name for a path; beyond MOST_REMEMBERED keys, forget the one noted longest ago."""
        self._told[key] = told
        self._told.move_to_end(key)
        if len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)


def refusal(status: int, seconds: float) -> Refusal:
    """Return a refusal that holds for so many seconds from now, and is repeated for at most REPEATED_SECONDS."""
    now = time.monotonic()
    repeated_until = now + REPEATED_SECONDS * spread()
    return Refusal(status, min(seconds, REPEATED_SECONDS), now + seconds, repeated_until, SLOWED_SECONDS)


def spread() -> float:
    """Return a random factor from 0.5 to 1 for a time to wait, so that not all clients come back at once."""
    return random.uniform(0.5, 1.0)  # noqa: S311 - guards nothing


def sender_of(scope: Mapping[str, Any], client: str) -> Sender:
    """Return who sends a request, by its key and its address ``client``; no name for one with only a cookie."""
    headers = dict(scope["headers"])
    keys = [headers.get(name, b"") for name in (b"authorization", b"x-api-key")]
    if any(keys):
        return Sender(hashlib.sha256(b"\0".join([*keys, client.encode()])).hexdigest())
    return Sender("") if b"cookie" in headers else Sender(client, is_address=True)
