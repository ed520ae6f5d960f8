"""What all processes know of Milvus being out of reach: since when, why, and when it is tried again.

The first pause is short, each further one twice as long up to a bound, so that a Milvus that is down costs one
attempt a minute and one that restarts is found within seconds. Kept in Redis; losing it costs one attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from time import time

import msgpack
from django.conf import settings

from ingestion.broker import available

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outage:
    """Times are seconds since 1970."""

    since: float
    pause: float
    next_try: float
    reason: str

    def pauses(self) -> bool:
        """Whether to leave Milvus alone. A time out of all bounds, from a clock that was wrong, does not count."""
        return 0 < self.next_try - time() <= LONGEST_PAUSE_SECONDS

    def __str__(self) -> str:
        return f"{self.reason} (Since {clock(self.since)}; next try at {clock(self.next_try)}.)"


def current() -> Outage | None:
    with available() as client:
        kept = client.get(place())
    return Outage(*msgpack.unpackb(kept)) if kept else None


def note(reason: str) -> Outage:
    """Milvus failed just now: wait, longer each time."""
    now, before = time(), current()
    pause = min(2 * before.pause, LONGEST_PAUSE_SECONDS) if before else FIRST_PAUSE_SECONDS
    outage = Outage(before.since if before else now, pause, now + pause, reason)
    with available() as client:
        client.set(place(), msgpack.packb((outage.since, outage.pause, outage.next_try, outage.reason)))
    return outage


def over() -> None:
    """Milvus answered."""
    with available() as client:
        client.delete(place())


def place() -> str:
    return f"{settings.EMBEDDINGS_KEY}:outage"


def clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
