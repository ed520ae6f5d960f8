"""Reports in Redis: what each embedding worker does, and when each of Beat's jobs was done last.

Each worker has one hash, named by its device (host/device). It expires unless it is written to, so that a worker that
died vanishes from it. The worker's two processes write it, each its own fields; everybody reads it. The failures of a
device have a list of their own.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from ingestion.coordination.redis_client import available
from ingestion.exceptions import BufferUnavailable

LIFE_SECONDS = 20
# Failures of a device within this time count together.
FAILURE_SECONDS = 600
# Rates are those of the last minute, so they mean nothing when the last report is older.
RATE_SECONDS = 60.0
# Clocks of several machines differ by less; what lies further ahead was noted before the clock was set back.
AHEAD_SECONDS = 5.0
DEVICES = "embedder:places"
TURNED_AWAY = "embedder:turned-away"
# A supervisor starts a worker that ended again, after some minutes at the most: it is told until it ends no more.
TURNED_AWAY_SECONDS = 300
JOBS = "jobs:done"
RATES = ("tokens_per_second", "busy")


@dataclass(frozen=True, slots=True)
class EmbeddingWorker:
    """What an embedding worker says of itself; None for what it has not said yet."""

    host: str
    device: str
    state: str = "idle"
    parent: int | None = None  # process id
    since: str | None = None  # ISO 8601, when the worker took its device
    model: str | None = None
    reason: str | None = None  # for its state
    pid: int | None = None  # of the process that embeds
    tokens_per_second: float | None = None  # of the last minute
    busy: float | None = None  # share of the last minute
    padding: float | None = None  # share of what was computed that no text asked for
    peak_bytes: int | None = None  # of the device's memory

    @property
    def device_id(self) -> str:
        """Return the name by which a worker is known: host/device."""
        return f"{self.host}/{self.device}"


def report_state(worker: str, /, **facts: Any) -> None:
    """Write fields of a worker's report; the other fields stay as they are. ``worker`` is its ``device_id()``."""
    with available() as client:
        report = client.pipeline(transaction=True)
        report.hset(_key(worker), mapping={name: json.dumps(value) for name, value in facts.items()})
        report.expire(_key(worker), LIFE_SECONDS)
        report.sadd(DEVICES, worker)
        report.execute()


def workers() -> list[EmbeddingWorker]:
    """Return the reports of the workers that live, ordered by their devices. Raise BufferUnavailable without Redis."""
    with available() as client:
        devices = sorted(device.decode() for device in client.smembers(DEVICES))
        reports = {device: client.hgetall(_key(device)) for device in devices}
        if silent := [device for device in devices if not reports[device]]:
            client.srem(DEVICES, *silent)
    return [_read(device, report) for device, report in reports.items() if report]


def _read(device_id: str, report: dict[bytes, bytes]) -> EmbeddingWorker:
    """Return the report of the worker host/device, given as fields of its Redis hash to JSON.

    Its rates are 0 when it was written more than RATE_SECONDS ago, or ahead of the clock. Fields that are unknown here
    are left out.
    """
    host, _, device = device_id.partition("/")
    facts = {name.decode(): json.loads(value) for name, value in report.items()}
    if not -AHEAD_SECONDS < time.time() - facts.pop("at", 0.0) <= RATE_SECONDS:
        facts |= dict.fromkeys(RATES, 0.0)
    # A worker of another version may report more.
    known = {field.name: facts[field.name] for field in fields(EmbeddingWorker) if field.name in facts}
    return EmbeddingWorker(**{"host": host, "device": device, **known})


def note_failure(device: str, reason: str) -> int:
    """Record that a device failed. Return how many times it did within FAILURE_SECONDS."""
    with available() as client:
        note = client.pipeline(transaction=True)
        note.rpush(_failures(device), json.dumps([time.time(), reason]))
        note.expire(_failures(device), FAILURE_SECONDS)
        note.execute()
    return len(failures(device))


def failures(device: str) -> list[tuple[float, str]]:
    """Return when (seconds since 1970) and why a device failed within FAILURE_SECONDS, oldest first."""
    with available() as client:
        notes = [json.loads(note) for note in client.lrange(_failures(device), -100, -1)]
    return [(at, reason) for at, reason in notes if -AHEAD_SECONDS < time.time() - at < FAILURE_SECONDS]


def note_turned_away(device: str, reason: str) -> None:
    """Record that a worker ended because another one has its device."""
    with suppress(BufferUnavailable), available() as client:
        client.hset(TURNED_AWAY, device, json.dumps([time.time(), reason]))
        client.expire(TURNED_AWAY, TURNED_AWAY_SECONDS)


def turned_away() -> list[str]:
    """Return why workers ended that found their device taken. Raise BufferUnavailable without Redis."""
    with available() as client:
        notes = [json.loads(note) for _, note in sorted(client.hgetall(TURNED_AWAY).items())]
    return [reason for at, reason in notes if -AHEAD_SECONDS < time.time() - at < TURNED_AWAY_SECONDS]


def note_job(name: str) -> None:
    """Record that one of Beat's jobs is done; without Redis, nothing is recorded."""
    with suppress(BufferUnavailable), available() as client:
        client.hset(JOBS, name, time.time())


def job_ages() -> dict[str, float]:
    """Return the seconds since each job was done last, without the jobs that never were.

    Raise BufferUnavailable without Redis.
    """
    with available() as client:
        done = client.hgetall(JOBS)
        now = time.time()
        # A time ahead of the clock, which was set back since, counts from now on, so that a job that stopped is seen.
        if ahead := {name: now for name, at in done.items() if float(at) > now + AHEAD_SECONDS}:
            client.hset(JOBS, mapping=ahead)
    return {name.decode(): max(0.0, now - float(ahead.get(name, at))) for name, at in done.items()}


def _key(device: str) -> str:
    """Return the name of the Redis key under which the report of a worker (host/device) is kept."""
    return f"embedder:at:{device}"


def _failures(device: str) -> str:
    """Return the name of the Redis key under which the failures of a device are kept, in a list."""
    return f"embedder:failures:{device}"
