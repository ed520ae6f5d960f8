"""What embedding workers say of themselves, in Redis: what each does, how fast, and when its device failed; and when
Beat's jobs were done last.

One hash a worker, named by its place (host/device). It lives on by being written to, so that a worker that died is
gone from it by itself. Written by the worker's two processes, each its own fields; read by everybody.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

from ingestion.coordination.redis_client import available
from ingestion.exceptions import BufferUnavailable
from ingestion.types import Json

LIFE_SECONDS = 20
# Failures of a device within this time count together.
FAILURE_SECONDS = 600
# Rates are of the last minute, so they mean nothing when the last word is older.
RATE_SECONDS = 60.0
# Clocks of several machines differ by less; what lies further ahead was noted before the clock was set back.
AHEAD_SECONDS = 5.0
JOBS = "jobs:done"
RATES = ("tokens_per_second", "busy")


def report_state(place: str, **facts: Any) -> None:
    """Fields that changed; the others stay as they are."""
    with available() as client:
        words = client.pipeline(transaction=True)
        words.hset(_key(place), mapping={name: json.dumps(value) for name, value in facts.items()})
        words.expire(_key(place), LIFE_SECONDS)
        words.sadd(_places(), place)
        words.execute()


def workers() -> list[Json]:
    """Those that live, in the order of their places. Raises BufferUnavailable."""
    with available() as client:
        places = sorted(place.decode() for place in client.smembers(_places()))
        said = {place: client.hgetall(_key(place)) for place in places}
        if silent := [place for place in places if not said[place]]:
            client.srem(_places(), *silent)
    return [_read(place, facts) for place, facts in said.items() if facts]


def _read(place: str, said: dict[bytes, bytes]) -> Json:
    host, _, device = place.partition("/")
    facts = {name.decode(): json.loads(value) for name, value in said.items()}
    if not -AHEAD_SECONDS < time.time() - facts.pop("at", 0.0) <= RATE_SECONDS:
        facts |= dict.fromkeys(RATES, 0.0)
    return {"host": host, "device": device, "state": "idle", **facts}


def note_failure(place: str, reason: str) -> int:
    """The device failed and its process ends. Returns how many times within FAILURE_SECONDS."""
    with available() as client:
        note = client.pipeline(transaction=True)
        note.rpush(_failures(place), json.dumps([time.time(), reason]))
        note.expire(_failures(place), FAILURE_SECONDS)
        note.execute()
    return len(failures(place))


def failures(place: str) -> list[tuple[float, str]]:
    """When (seconds since 1970) and why the device failed of late, oldest first."""
    with available() as client:
        notes = [json.loads(note) for note in client.lrange(_failures(place), -100, -1)]
    return [(at, reason) for at, reason in notes if -AHEAD_SECONDS < time.time() - at < FAILURE_SECONDS]


def note_job(name: str) -> None:
    """One of Beat's jobs is done. Nothing depends on it."""
    with suppress(BufferUnavailable), available() as client:
        client.hset(JOBS, name, time.time())


def job_ages() -> dict[str, float]:
    """Seconds since each job was done last; those that never were are not there. Raises BufferUnavailable."""
    with available() as client:
        done = client.hgetall(JOBS)
        now = time.time()
        # A time ahead of the clock, which was set back since, counts from now on: a job that stands still is seen.
        if ahead := {name: now for name, at in done.items() if float(at) > now + AHEAD_SECONDS}:
            client.hset(JOBS, mapping=ahead)
    return {name.decode(): max(0.0, now - float(ahead.get(name, at))) for name, at in done.items()}


def _key(place: str) -> str:
    return f"embedder:at:{place}"


def _places() -> str:
    return "embedder:places"


def _failures(place: str) -> str:
    return f"embedder:failures:{place}"
