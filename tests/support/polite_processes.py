"""Worker processes that fetch pages of one host as politely as the product does, and what the host saw of them.

``python -m tests.support.polite_processes --redis URL --processes 4 --pages 200 --delay 0.05 --connections 2`` runs
them against a site of this process and prints the figures. A worker sends itself away for exactly as long as HostBusy
or Throttled says, as the dispatcher does; the pages that wait stand in Redis.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from django.conf import settings

from tests.support.local_site import Handler, LocalSite

TODO, LEFT, POLICY, VISITORS, STOP = (f"polite:{name}" for name in ("todo", "left", "policy", "visitors", "stop"))


class BusySite:
    """Counts the requests that it works on at the same time. From request ``storm`` on it answers 429 for half a
    second."""

    def __init__(self, site: LocalSite, pages: int, *, seconds: float = 0.02, storm: int = 0) -> None:
        self.site = site
        self.peak = self.refused = 0
        self.storm_at = 0.0
        self._storm, self._seconds, self._working = storm, seconds, 0
        self._lock = threading.Lock()
        self.urls = [site.answer(f"/{number}", self._answer) for number in range(pages)]

    def _answer(self, handler: Handler) -> None:
        with self._at_work():
            refuse = self._is_stormy()
            time.sleep(self._seconds)
        if refuse:
            handler.reply(429, Retry_After="1")
        else:
            handler.reply(200, b"<p>page</p>")

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._lock:
            self._working += 1
            self.peak = max(self.peak, self._working)
        yield
        with self._lock:
            self._working -= 1

    def _is_stormy(self) -> bool:
        with self._lock:
            if self._storm and not self.storm_at and len(self.site.seen) >= self._storm:
                self.storm_at = time.monotonic()
            stormy = bool(self.storm_at) and time.monotonic() < self.storm_at + 0.5
            self.refused += stormy
            return stormy

    @property
    def times(self) -> list[float]:
        return sorted(request.at for request in self.site.seen)


def start(*, processes: int, redis_url: str, timeout: float = 20.0) -> list[subprocess.Popen[bytes]]:
    """Workers that fetch what ``ask`` puts there until they are told to stop."""
    options = {"REDIS_URL": redis_url, "FETCH_TIMEOUT_SECONDS": timeout}
    command = [sys.executable, "-m", "tests.support.polite_processes", "--worker", json.dumps(options)]
    root = Path(__file__).resolve().parents[2]
    return [subprocess.Popen(command, cwd=root) for _ in range(processes)]


def ask(client: Any, urls: list[str], *, delay: float, connections: int) -> None:
    client.set(LEFT, len(urls))
    client.hset(POLICY, mapping={"delay": delay, "connections": connections})
    client.zadd(TODO, dict.fromkeys(urls, 0.0))


def done(client: Any) -> bool:
    return int(client.get(LEFT) or 0) == 0


# --- A worker -------------------------------------------------------------------------------------------


def work(options: dict[str, Any]) -> None:
    guards = {"FETCH_PRIVATE_NETWORKS": ["127.0.0.1/32"], "FETCH_PORTS": [80], "FETCH_CA_BUNDLE": ""}
    bounds = {"FETCH_MAX_BYTES": 1_000_000, "SERVICE_TIMEOUT_SECONDS": 30.0}
    names = {"EMBEDDINGS_KEY": "embeddings", "GITHUB_API_URL": "https://api.github.com"}
    settings.configure(USER_AGENT="polite/1.0", **{**guards, **bounds, **names, **options})
    client = redis.Redis.from_url(settings.REDIS_URL)
    while not client.exists(STOP):
        url = _next(client)
        if url:
            _visit(client, url)
        else:
            time.sleep(0.005)


def _next(client: Any) -> str:
    due = client.zrangebyscore(TODO, "-inf", time.time(), start=0, num=1)
    return due[0].decode() if due and client.zrem(TODO, due[0]) else ""


def _visit(client: Any, url: str) -> None:
    from ingestion.exceptions import TransientError
    from ingestion.fetching import fetcher, politeness
    from ingestion.types import CrawlPolicy

    policy = CrawlPolicy(float(client.hget(POLICY, "delay")), int(client.hget(POLICY, "connections")))
    client.hset(VISITORS, url, os.getpid())
    try:
        fetcher.fetch(url, slot=lambda hop: politeness.slot(hop, policy, token=url))
    except TransientError as error:
        client.zadd(TODO, {url: time.time() + (error.retry_after or 0.1)})
        client.incr(f"polite:{type(error).__name__}")
    else:
        client.decr(LEFT)


# --- The command ----------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", type=json.loads)
    parser.add_argument("--redis", default="redis://127.0.0.1:6390/0")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.02, help="that the site takes for a page")
    parser.add_argument("--storm", type=int, default=0, help="the request from which on it answers 429 for a while")
    given = parser.parse_args()
    if given.worker:
        work(given.worker)
    else:
        print(json.dumps(report(given)))  # noqa: T201


def report(given: argparse.Namespace) -> dict[str, float]:
    client: Any = redis.Redis.from_url(given.redis)
    client.delete(*(client.keys("polite*") or ["polite"]))
    workers = start(processes=given.processes, redis_url=given.redis)
    with LocalSite() as site:
        busy = BusySite(site, given.pages, seconds=given.seconds, storm=given.storm)
        ask(client, busy.urls, delay=given.delay, connections=given.connections)
        while not done(client):
            time.sleep(0.05)
        client.set(STOP, 1)
        for worker in workers:
            worker.wait()
        times = busy.times
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return {
        "requests": len(times),
        "peak_in_flight": busy.peak,
        "seconds": round(times[-1] - times[0], 2),
        "fastest_allowed_seconds": round((len(times) - 1) * given.delay, 2),
        "shortest_gap_seconds": round(min(gaps), 4),
        "refused_with_429": busy.refused,
        "longest_gap_seconds": round(max(gaps), 2),
        "sent_away": int(client.get("polite:HostBusy") or 0),
    }


if __name__ == "__main__":
    main()
