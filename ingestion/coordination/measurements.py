"""Durations and counts of all processes, kept in Redis in the form of Prometheus' histograms and counters.

In: what a process observes, of its own metrics below. Out: the sums over all processes, for `/metrics`.

Workers have children that come and go, and several web processes answer behind one address. Series of each process
would begin anew with every child, and a scrape would see now one process, now another: a saw-tooth that looks like
restarts. The sums in Redis only grow, whichever process is asked, and begin anew only when Redis is emptied, which
Prometheus' ``rate()`` expects. A process adds its own up and writes them every FLUSH_SECONDS, so that an observation
costs microseconds; a process that is killed loses as many seconds of them. Labels have few values, so that Redis holds
some hundred numbers.
"""

from __future__ import annotations

import json
import os
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from celery.signals import worker_process_shutdown, worker_shutdown
from django.conf import settings

from ingestion.coordination.redis_client import available
from ingestion.exceptions import BufferUnavailable

FLUSH_SECONDS = 2.0
# Upper bounds in seconds. Among them are the thresholds of `docker/observability/rules.yml`, and the strictest ones
# that are usual: 10 ms to embed a question, 15 ms to search, 200 ms to generate.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
SUM = "sum"

# (name of the metric, values of its labels, number of the bucket or SUM)
Key = tuple[str, tuple[str, ...], int | str]


@dataclass(frozen=True, slots=True)
class Counter:
    """A metric that only grows; ``labels`` are the names of its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    def add(self, amount: float, *labels: str) -> None:
        """Add ``amount`` to the sum over all processes; ``labels`` are the values of the labels."""
        _own.add([((self.name, labels, SUM), amount)])


@dataclass(frozen=True, slots=True)
class Histogram:
    """The distribution of a value, most often of seconds; ``labels`` are the names of its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = BOUNDS

    def observe(self, value: float, *labels: str) -> None:
        """Count one value of the distribution; ``labels`` are the values of the labels."""
        bucket = bisect_left(self.bounds, value)
        _own.add([((self.name, labels, bucket), 1), ((self.name, labels, SUM), value)])

    @contextmanager
    def timed(self, *labels: str) -> Iterator[None]:
        """Count how long the block takes; the last label is "ok", or "failed" when the block raises."""
        started, outcome = time.perf_counter(), "failed"
        try:
            yield
            outcome = "ok"
        finally:
            self.observe(time.perf_counter() - started, *labels, outcome)


QUESTION_STAGE = Histogram("ragproject_question_stage_seconds", "Stages of questions.", ("stage",))
FETCH = Histogram("ragproject_fetch_seconds", "Requests to sources, by kind of host.", ("host_class", "outcome"))
EMBED = Histogram("ragproject_embed_batch_seconds", "Batches of the embedding workers.", ("device",))
INDEX_WRITE = Histogram("ragproject_index_write_seconds", "Upserts of the drain into Milvus.")
EMBEDDED_TOKENS = Counter("ragproject_embedded_tokens", "Tokens that the embedding workers embedded.")
EMBEDDED_CHUNKS = Counter("ragproject_embedded_chunks", "Chunks that the embedding workers embedded.")
ANSWER_CACHE = Counter(
    "ragproject_answer_cache_events",
    "Answers kept, given again (to the same question, to a similar one) and died; searches for a similar question "
    "(asked); similar ones answered anew to compare (agreed, differed).",
    ("event",),
)
ANSWER_COSINE = Histogram(
    "ragproject_answer_cache_nearest_cosine",
    "Cosine of the nearest earlier question with the same numbers, names and best passage.",
    bounds=(0.5, 0.6, 0.7, 0.75, 0.8, 0.825, 0.85, 0.875, 0.9, 0.925, 0.95, 0.975, 1),
)
HISTOGRAMS = (QUESTION_STAGE, FETCH, EMBED, INDEX_WRITE, ANSWER_COSINE)
COUNTERS = (EMBEDDED_TOKENS, EMBEDDED_CHUNKS, ANSWER_CACHE)


class Unwritten:
    """What this process has observed and Redis does not have yet."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.amounts: defaultdict[Key, float] = defaultdict(float)
        self.due = False

    def add(self, amounts: Sequence[tuple[Key, float]]) -> None:
        """Keep amounts, and have them written within FLUSH_SECONDS."""
        with self.lock:
            for key, amount in amounts:
                self.amounts[key] += amount
            was_due, self.due = self.due, True
        if not was_due:
            timer = threading.Timer(FLUSH_SECONDS, self.write)
            timer.daemon = True
            timer.start()

    def write(self) -> None:
        """Add all kept amounts to the sums in Redis. While Redis does not answer, keep them for the next time."""
        with self.lock:
            amounts, self.amounts, self.due = self.amounts, defaultdict(float), False
        if not amounts:
            return
        try:
            with available() as client:
                asked = client.pipeline(transaction=False)
                for (name, labels, part), amount in amounts.items():
                    asked.hincrbyfloat(redis_key(), json.dumps([name, labels, part]), amount)
                asked.execute()
        except BufferUnavailable:
            with self.lock:
                for key, amount in amounts.items():
                    self.amounts[key] += amount


_own = Unwritten()


def flush(**_: Any) -> None:
    """Write to Redis what this process has observed; Celery calls this when a worker process ends."""
    _own.write()


def _begin_anew() -> None:
    """Start without amounts in a forked child: those that the parent has observed are the parent's to write."""
    global _own
    _own = Unwritten()


os.register_at_fork(after_in_child=_begin_anew)
for signal in (worker_process_shutdown, worker_shutdown):
    signal.connect(flush)


def sums() -> Mapping[str, Mapping[tuple[str, ...], Mapping[int | str, float]]]:
    """Return the sums over all processes: by metric, by labels, by bucket or SUM. Raise BufferUnavailable."""
    with available() as client:
        stored = client.hgetall(redis_key())
    found: dict[str, dict[tuple[str, ...], dict[int | str, float]]] = defaultdict(partial(defaultdict, dict))
    for field, amount in stored.items():
        name, labels, part = json.loads(field)
        found[name][tuple(labels)][part] = float(amount)
    return found


def redis_key() -> str:
    """Return the Redis key of the sums."""
    return f"measurements:{settings.EMBEDDINGS_KEY}"
