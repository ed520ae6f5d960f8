"""What all processes know of a host: whose turn it is, when to leave it alone, its robots.txt. Kept in Redis.

``take`` hands out a turn or says how long to stay away, ``give`` returns it with its outcome; each is one atomic
step by the clock of Redis (``host_throttle.lua``). A turn whose worker was killed ends by itself. Whoever does not get
a turn within half a minute has one reserved under its token; a reservation that nobody comes for lapses.

Nothing sleeps here. When Redis does not answer, BufferUnavailable says so: a host is never visited unmannered.
Only ``politeness`` imports this.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from ingestion.coordination.redis_client import available, connect

DEFAULT_PORTS = {"http": 80, "https": 443}
PREFIX = "politeness"
SCRIPT = Path(__file__).with_suffix(".lua")
# The fetch's own deadline ends first; a turn outlives it only where its worker was killed.
LEASE_PER_TIMEOUT = 1.5
RESERVED_SECONDS = 30.0
# How late the holder of a reservation may come: twice the dispatcher's default tick, and time for the queue.
GRACE_SECONDS = 10.0
MAX_WISH_SECONDS = 3600.0


class Outcome(StrEnum):
    """What a request told about its host."""

    OK = "ok"
    FAULT = "fault"  # no answer, or a broken one
    THROTTLED = "throttled"
    NOTHING = ""


@dataclass(frozen=True, slots=True)
class BackOff:
    """Seconds of the first pause, of the longest, and how many events in a row come before the first."""

    first: float
    longest: float
    free: int


# A host that asks to be left alone is; one whose answers break may only have a few broken pages.
BACK_OFF = {
    Outcome.THROTTLED: BackOff(first=2.0, longest=900.0, free=0),
    Outcome.FAULT: BackOff(first=1.0, longest=60.0, free=2),
}


@dataclass(frozen=True, slots=True)
class Reply:
    """Seconds to sleep before a turn that is ``granted``, or to stay away; ``at`` is Redis' clock in ms."""

    granted: bool
    wait: float
    at: float


def host_of(url: str) -> str:
    """What is treated as one: a host name with a port, whatever the scheme."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or DEFAULT_PORTS[parts.scheme]}"


def take(
    host: str,
    *,
    lease: str,
    token: str,
    delay: float,
    connections: int,
    nap: float,
    following: bool = False,
) -> Reply:
    """``following``: the errand has begun, so that it does not queue again."""
    life = LEASE_PER_TIMEOUT * settings.FETCH_TIMEOUT_SECONDS
    times = (_ms(delay), connections, _ms(life), _ms(nap), _ms(RESERVED_SECONDS), _ms(GRACE_SECONDS))
    granted, wait, at = _call(host, "take", lease, token, *times, int(following))
    return Reply(bool(granted), wait / 1000, at)


def give(host: str, *, lease: str, started: float, outcome: Outcome, wish: float = 0.0) -> float:
    """Return a turn. Returns for how many seconds the host is left alone because of its outcome."""
    step = BACK_OFF.get(outcome, BackOff(0, 0, 0))
    first = step.first * random.uniform(1.0, 1.5)  # noqa: S311 - spreads retries, guards nothing
    wish = min(wish, MAX_WISH_SECONDS)
    pause = _call(host, "give", lease, started, outcome, _ms(wish), _ms(first), _ms(step.longest), step.free)
    return int(pause) / 1000


def ask_for_delay(host: str, seconds: float) -> None:
    """The Crawl-delay of a host's robots.txt; it counts where it is longer than our own."""
    _call(host, "crawl_delay", _ms(seconds))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _call(host: str, *arguments: object) -> Any:
    keys = [f"{PREFIX}:{{{host}}}:{part}" for part in ("host", "leases", "slots")]
    with available() as client:
        return _script()(keys=keys, args=arguments, client=client)


@functools.cache
def _script() -> Any:
    return connect().register_script(SCRIPT.read_text())
