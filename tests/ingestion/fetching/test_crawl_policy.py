"""Several real processes and one host."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.support import polite_processes
from tests.support.local_site import LocalSite
from tests.support.polite_processes import VISITORS, BusySite

DELAY = 0.04


@pytest.fixture(scope="module")
def workers(redis_server: str) -> Iterator[None]:
    processes = polite_processes.start(processes=4, redis_url=redis_server, timeout=2.0)
    yield
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def site(clean_redis: Any, workers: None) -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


def fetch_all(client: Any, urls: list[str], *, delay: float, connections: int) -> None:
    polite_processes.ask(client, urls, delay=delay, connections=connections)
    wait_until(lambda: polite_processes.done(client), every=0.02)


def test_four_processes_share_one_bound_and_all_pages_arrive(site: LocalSite, clean_redis: Any) -> None:
    busy = BusySite(site, 60, seconds=0.08)
    fetch_all(clean_redis, busy.urls, delay=0.01, connections=2)
    assert sorted(site.paths) == sorted(f"/{n}" for n in range(60))
    assert busy.peak == 2
    assert len(set(clean_redis.hvals(VISITORS))) > 1  # it was not one process that did it all


def test_four_processes_keep_their_requests_apart(site: LocalSite, clean_redis: Any) -> None:
    busy = BusySite(site, 40, seconds=0.0)
    fetch_all(clean_redis, busy.urls, delay=DELAY, connections=4)
    # A process that was not scheduled right after its slot came arrives late, and the next one seems early; over ten
    # requests that evens out.
    windows = [later - earlier for earlier, later in zip(busy.times, busy.times[10:], strict=False)]
    assert min(windows) > 0.6 * 10 * DELAY
    assert busy.times[-1] - busy.times[0] > 0.9 * 39 * DELAY


def test_a_storm_of_refusals_slows_all_of_them_and_then_they_finish(site: LocalSite, clean_redis: Any) -> None:
    busy = BusySite(site, 40, seconds=0.02, storm=15)
    fetch_all(clean_redis, busy.urls, delay=0.01, connections=4)
    assert 1 <= busy.refused <= 4  # those that were in flight together
    assert len(site.paths) == 40 + busy.refused
    assert min(at for at in busy.times if at > busy.storm_at + 0.3) - busy.storm_at > 1.5


def test_the_slot_of_a_killed_process_is_free_after_a_while(site: LocalSite, clean_redis: Any) -> None:
    released = threading.Event()
    stuck = site.answer("/stuck", lambda handler: handler.reply() if released.wait(20) else None)
    polite_processes.ask(clean_redis, [stuck], delay=0.0, connections=1)
    wait_until(lambda: site.paths == ["/stuck"], every=0.01)
    os.kill(int(clean_redis.hget(VISITORS, stuck)), signal.SIGKILL)
    assert len(clean_redis.keys("politeness:*:leases")) == 1
    fetch_all(clean_redis, BusySite(site, 1).urls, delay=0.0, connections=1)
    released.set()
    assert site.paths == ["/stuck", "/0"]
    assert int(clean_redis.get("polite:HostBusy") or 0) >= 1  # it had to wait for the dead one
