"""The slots and the back-off of a host, kept in Redis for all processes.

``acquire`` grants a slot or says how long to stay away, ``release`` ends a slot with its outcome; each is one atomic
step by the clock of Redis (``host_throttle.lua``). The slot of a worker that was killed ends by itself. A caller whose
slot comes within half a minute has it reserved under its token; a reservation that nobody comes for lapses.

Nothing sleeps here. Without Redis there is no answer but BufferUnavailable: no request goes out at an unknown pace.
Only ``politeness`` and ``robots_cache`` import this.
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
# The fetch's own deadline ends first; a slot outlives it only where its worker was killed.
LEASE_PER_TIMEOUT = 1.5
RESERVED_SECONDS = 30.0
# How late the holder of a reservation may come: twice the dispatcher's default tick, and time for the queue.
GRACE_SECONDS = 10.0
MAX_RETRY_AFTER_SECONDS = 3600.0


class Outcome(StrEnum):
    """What a request showed about its host."""

    OK = "ok"
    FAULT = "fault"  # no answer, or a broken one
    THROTTLED = "throttled"
    UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class BackOff:
    """Seconds of the first pause and of the longest, and how many failures in a row come before the first pause."""

    first: float
    longest: float
    tolerated: int


# A host that asks to be left alone is, at once; one whose answers break may only have a few broken pages.
BACK_OFF = {
    Outcome.THROTTLED: BackOff(first=2.0, longest=900.0, tolerated=0),
    Outcome.FAULT: BackOff(first=1.0, longest=60.0, tolerated=2),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a slot is ``granted``, with the seconds to sleep before it, or else to stay away.

    ``at`` is Redis' clock in ms.
    """

    granted: bool
    wait: float
    at: float


def host_of(url: str) -> str:
    """Return the host name with its port: the unit of throttling, whatever the scheme."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or DEFAULT_PORTS[parts.scheme]}"


def acquire(
    host: str,
    *,
    lease: str,
    token: str,
    delay: float,
    connections: int,
    max_wait: float,
    is_redirect: bool = False,
) -> Answer:
    """Ask for a slot of ``host``.

    ``lease`` is the id of this request, ``token`` that of a reservation. ``delay`` is the time between the starts of
    two requests and ``max_wait`` the time that the caller would sleep for a slot, both in seconds. The target of a
    redirect (``is_redirect``) passes reservations.
    """
    life = LEASE_PER_TIMEOUT * settings.FETCH_TIMEOUT_SECONDS
    times = (_ms(delay), connections, _ms(life), _ms(max_wait), _ms(RESERVED_SECONDS), _ms(GRACE_SECONDS))
    granted, wait, at = _call(host, "acquire", lease, token, *times, int(is_redirect))
    return Answer(bool(granted), wait / 1000, at)


def release(host: str, *, lease: str, started: float, outcome: Outcome, retry_after: float = 0.0) -> float:
    """End a slot. Return for how many seconds the host is left alone because of its outcome."""
    back_off = BACK_OFF.get(outcome, BackOff(0, 0, 0))
    first = back_off.first * random.uniform(1.0, 1.5)  # noqa: S311 - spreads retries, guards nothing
    asked = min(retry_after, MAX_RETRY_AFTER_SECONDS)
    times = (_ms(asked), _ms(first), _ms(back_off.longest), back_off.tolerated)
    return int(_call(host, "release", lease, started, outcome, *times)) / 1000


def set_crawl_delay(host: str, seconds: float) -> None:
    """Keep the Crawl-delay of a host's robots.txt; it counts where it is longer than our own delay."""
    _call(host, "set_crawl_delay", _ms(seconds))


def _ms(seconds: float) -> int:
    """Return seconds as milliseconds, rounded to a whole number."""
    return round(seconds * 1000)


def _call(host: str, *arguments: object) -> Any:
    """Run one operation of the Lua script on a host, and return what it answers; its times are milliseconds.

    The first of ``arguments`` is the operation's name. Raise BufferUnavailable without Redis.
    """
    keys = [f"{PREFIX}:{{{host}}}:{part}" for part in ("host", "leases", "reservations")]
    with available() as client:
        return _script()(keys=keys, args=arguments, client=client)


@functools.cache
def _script() -> Any:
    """Return the Lua script as a function that Redis runs. The file is read once per process."""
    return connect().register_script(SCRIPT.read_text())
