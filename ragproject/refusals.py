"""Who was told when to come back, with 429 or 503: who asks before that is told so again, without any work.

In: requests and responses as ASGI has them. Out: the status and the seconds that are left. A sender is told apart by
its address and the key that it presents; one that sends a cookie may be somebody who is signed in, and is always heard.
Only refusals for programs are remembered, for the path that was asked for whatever number it ends with, and only for a
moment: limits may be raised. Who asks again all the same waits for the repetition, and its time begins anew: a client
that does nothing else costs two repetitions a second on each of its connections, and one refusal every few seconds.
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
# Less than the shortest time that anybody is told to wait.
SLOWED_SECONDS = 0.8
# About 10 KB each, held by the server beside its connection.
MOST_SLOWED = 2_000


class Refusal(NamedTuple):
    """What somebody was told: a status, and until when it holds and is repeated, by the monotonic clock.

    ``seconds`` is how long whoever comes too early has to wait from then.
    """

    status: int
    seconds: float
    until: float
    repeated_until: float


class Refusals:
    """The refusals of one process."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], Refusal] = OrderedDict()
        self._slowed = 0

    def again(self, sender: str, path: str) -> tuple[int, int]:
        """Return the status and the seconds to repeat to the sender; zeros where more has to be found out."""
        key, now = (sender, path.rstrip(DIGITS)), time.monotonic()
        told = self._told.get(key)
        if told and now < min(told.until, told.repeated_until):
            self._told[key] = told = told._replace(until=max(told.until, now + told.seconds))
            return told.status, math.ceil(told.until - now)
        self._told.pop(key, None)
        return 0, 0

    async def slow_down(self) -> None:
        """Wait before a refusal is repeated; not at all where more clients wait than is held open for this."""
        if self._slowed >= MOST_SLOWED:
            return
        self._slowed += 1
        try:
            await asyncio.sleep(SLOWED_SECONDS * spread())
        finally:
            self._slowed -= 1

    def note(self, sender: str, path: str, response: Mapping[str, Any]) -> None:
        """Remember the head of a response to the sender, if it is a refusal that says until when."""
        status = response.get("status")
        if not sender or status not in (429, 503):
            return
        headers = {name.lower(): value for name, value in response["headers"]}
        seconds, kind = headers.get(b"retry-after", b""), headers.get(b"content-type", b"")
        if seconds.isdigit() and b"json" in kind:
            now, again = time.monotonic(), min(int(seconds), REPEATED_SECONDS)
            refusal = Refusal(status, again, now + int(seconds), now + REPEATED_SECONDS * spread())
            self._told[sender, path.rstrip(DIGITS)] = refusal
            if len(self._told) > MOST_REMEMBERED:
                self._told.popitem(last=False)


def spread() -> float:
    """Return a part of a time, at random: those who were refused together do not all come back in the same moment."""
    return random.uniform(0.5, 1.0)  # noqa: S311 - guards nothing


def sender_of(scope: Mapping[str, Any], client: str) -> str:
    """Return what tells the sender of a request from others; empty where more has to be read to know."""
    headers = dict(scope["headers"])
    keys = [headers.get(name, b"") for name in (b"authorization", b"x-api-key")]
    if any(keys):
        return hashlib.sha256(b"\0".join([*keys, client.encode()])).hexdigest()
    return "" if b"cookie" in headers else client
