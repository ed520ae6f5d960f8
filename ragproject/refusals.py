"""Who was told 429 and when to come back: asked again before that, they are told so again, without any work.

In: requests and responses as ASGI has them. Out: the seconds that are left. A sender is told apart by its address and
the key that it presents; one that sends a cookie may be somebody who is signed in, and is always heard. Only refusals
for programs are remembered, for the path that was asked for whatever number it ends with, and only for a moment: limits
may be raised.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

REMEMBERED_SECONDS = 5.0
# About 300 bytes each.
MOST_REMEMBERED = 10_000
DIGITS = "0123456789"


class Refusals:
    """The refusals of one process."""

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def seconds_left(self, sender: str, path: str) -> int:
        """Return the seconds until the sender may ask for the path again; 0 where that has to be found out."""
        now, key = time.monotonic(), (sender, path.rstrip(DIGITS))
        told, remembered = self._until.get(key, (now, now))
        if now < min(told, remembered):
            return math.ceil(told - now)
        self._until.pop(key, None)
        return 0

    def note(self, sender: str, path: str, response: Mapping[str, Any]) -> None:
        """Remember the head of a response to the sender, if it is a refusal that says until when."""
        if not sender or response.get("status") != 429:
            return
        headers = {name.lower(): value for name, value in response["headers"]}
        seconds, kind = headers.get(b"retry-after", b""), headers.get(b"content-type", b"")
        if seconds.isdigit() and b"json" in kind:
            now = time.monotonic()
            self._until[sender, path.rstrip(DIGITS)] = (now + int(seconds), now + REMEMBERED_SECONDS)
            if len(self._until) > MOST_REMEMBERED:
                self._until.popitem(last=False)


def sender_of(scope: Mapping[str, Any], client: str) -> str:
    """Return what tells the sender of a request from others; empty where more has to be read to know."""
    headers = dict(scope["headers"])
    keys = [headers.get(name, b"") for name in (b"authorization", b"x-api-key")]
    if any(keys):
        return hashlib.sha256(b"\0".join([*keys, client.encode()])).hexdigest()
    return "" if b"cookie" in headers else client
