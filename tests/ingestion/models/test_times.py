"""Times of day that were stored before the clock was set back do not hold the work up."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from ingestion.coordination import heartbeat, locks, redis_client
from ingestion.coordination.locks import DEVICE_LEASE_SECONDS, DeviceLease, hold
from ingestion.models import Chunk, Collection, Document, Run, due_sources, open_sources
from ingestion.pipeline import dispatcher
from ingestion.pipeline.report.alerts import alerts
from ingestion.pipeline.report.status import pause_end
from ingestion.pipeline.state.runs import start_due_runs
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = pytest.mark.django_db

STEPS = [timedelta(hours=2), timedelta(days=365 * 30)]


def ahead(**amount: float) -> Any:
    return timezone.now() + timedelta(**amount)


@pytest.mark.parametrize("step", STEPS)
def test_leases_of_pages_and_chunks_end_although_the_clock_was_set_back(step: timedelta) -> None:
    document = make_document(make_source(), state=Document.State.FETCHING, lease_until=timezone.now() + step)
    chunk = make_chunk(document, 0, state=Chunk.State.EMBEDDING, lease_until=timezone.now() + step)
    dispatcher.recover()
    document.refresh_from_db()
    chunk.refresh_from_db()
    assert (document.state, document.lease_until) == (Document.State.WAITING, None)
    assert (chunk.state, chunk.lease_until) == (Chunk.State.WAITING, None)


def test_leases_that_may_be_right_are_respected(settings: Any) -> None:
    longest = settings.PAGE_TIME_LIMIT_SECONDS + settings.LEASE_SECONDS
    document = make_document(make_source(), state=Document.State.FETCHING, lease_until=ahead(seconds=longest))
    chunk = make_chunk(document, 0, state=Chunk.State.EMBEDDING, lease_until=ahead(seconds=settings.LEASE_SECONDS + 30))
    run = Run.objects.create(
        source=make_source("other"), state=Run.State.LISTING,
        lease_until=ahead(seconds=settings.LIST_TIME_LIMIT_SECONDS + settings.LEASE_SECONDS),
    )  # fmt: skip
    dispatcher.recover()
    document.refresh_from_db()
    chunk.refresh_from_db()
    assert document.state == Document.State.FETCHING
    assert chunk.state == Chunk.State.EMBEDDING
    assert run.pk not in list(dispatcher.runs_to_list())


@pytest.mark.parametrize("step", STEPS)
def test_a_listing_is_handed_out_again(step: timedelta) -> None:
    run = Run.objects.create(source=make_source(), state=Run.State.LISTING, lease_until=timezone.now() + step)
    assert list(dispatcher.runs_to_list()) == [run.pk]


@pytest.mark.parametrize("step", STEPS)
def test_a_retry_and_a_paused_source_do_not_wait_for_a_time_that_no_clock_of_ours_set(step: timedelta) -> None:
    source = make_source(paused_until=timezone.now() + step)
    document = make_document(source, next_attempt_at=timezone.now() + step)
    assert pause_end(source) is None
    assert dispatcher.start_documents() == ((document.pk, 0),)


def test_a_retry_is_not_put_off_by_as_much_as_the_clock_was_set_back() -> None:
    """An hour and a few seconds are within what a host may ask for; but the row says that it was written later."""
    back = timedelta(minutes=59)
    make_document(make_source(), next_attempt_at=ahead(seconds=5) + back, updated_at=timezone.now() + back)
    assert len(dispatcher.start_documents()) == 1


def test_a_retry_and_a_pause_that_may_be_right_are_respected() -> None:
    waiting = make_source("waiting")
    make_document(waiting, next_attempt_at=ahead(seconds=3500))
    make_document(make_source("paused", paused_until=ahead(seconds=3500)), "file:///docs/b.txt")
    assert dispatcher.start_documents() == ()
    assert [source.name for source in open_sources()] == ["waiting"]


@pytest.mark.parametrize("step", STEPS)
def test_a_refresh_that_lies_further_ahead_than_its_interval_is_due(step: timedelta) -> None:
    late = make_source("late", refresh_seconds=3600, next_run_at=ahead(seconds=3600) + step)
    make_source("right", refresh_seconds=3600, next_run_at=ahead(seconds=3600))
    make_source("never", next_run_at=None)
    past = make_source("past", refresh_seconds=10**9, next_run_at=ahead(seconds=-1))
    assert set(due_sources()) == {late, past}
    start_due_runs()
    late.refresh_from_db()
    assert late.next_run_at is not None
    assert late.next_run_at < ahead(seconds=3660)


def test_a_job_that_stands_still_is_seen_although_it_was_done_in_the_future(
    clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run.objects.create(source=make_source(), state=Run.State.RUNNING)
    now = time.time()
    clean_redis.hset(heartbeat.JOBS, "dispatch", now + 3600)
    assert heartbeat.job_ages()["dispatch"] == pytest.approx(0, abs=60)
    monkeypatch.setattr(time, "time", lambda: now + 100)
    assert heartbeat.job_ages()["dispatch"] >= 90
    assert any("Nothing has looked for work" in said for said in alerts())


def test_rates_and_failures_from_the_future_do_not_count(clean_redis: redis.Redis) -> None:
    heartbeat.report_state("here/cpu", state="busy", busy=1.0, tokens_per_second=9.0, at=time.time() + 3600)
    assert heartbeat.workers()[0].tokens_per_second == 0.0
    clean_redis.rpush("embedder:failures:here/cpu", f'[{time.time() + 3600}, "fell off the bus"]')
    assert heartbeat.failures("here/cpu") == []


@pytest.mark.parametrize("kind", ["drain", "device"])
def test_a_dead_holders_lock_does_not_live_as_long_as_the_clock_was_set_back(
    clean_redis: redis.Redis, kind: str
) -> None:
    lock, other = (redis_client.connect().lock(f"lock:{kind}", timeout=30, thread_local=False) for _ in range(2))
    assert locks.acquire(lock)
    assert not locks.acquire(other)
    assert 29_000 < clean_redis.pttl(lock.name) <= 30_000  # a right one is left as it is
    clean_redis.pexpire(lock.name, 3_630_000)  # what Redis makes of 30 s when its clock is set back by an hour
    assert not locks.acquire(other)
    assert 29_000 < clean_redis.pttl(lock.name) <= 30_000
    lock.reacquire()  # a holder that lives has lost nothing


def test_drains_audits_and_devices_take_their_locks_in_that_way(clean_redis: redis.Redis) -> None:
    with hold("drain", seconds=30) as first:
        assert first
        clean_redis.pexpire(first.lock.name, 3_630_000)
        with hold("drain", seconds=30) as second:
            assert second is None
        assert clean_redis.pttl(first.lock.name) <= 30_000
    device, other = DeviceLease(), DeviceLease()
    assert device.try_acquire()
    clean_redis.pexpire(device.key, 3_630_000)
    assert not other.try_acquire()
    assert clean_redis.pttl(device.key) <= 1000 * DEVICE_LEASE_SECONDS


def test_a_collection_that_was_retired_in_the_future_is_dropped_after_its_hour(clean_redis: redis.Redis) -> None:
    from ingestion.pipeline.state.collections import drop_retired

    row = Collection.objects.create(
        name="old", model="m", pooling="cls", dimension=8, retired_at=ahead(days=9000), active=False
    )
    assert drop_retired() == 0
    row.refresh_from_db()
    assert row.retired_at is not None
    assert row.retired_at <= timezone.now()


def test_the_longest_wait_bounds_what_a_host_may_ask_for(clean_redis: redis.Redis) -> None:
    from ingestion.exceptions import HostBusy
    from ingestion.pipeline.discover.list_source import list_later
    from ingestion.pipeline.process.outcomes import wait_for_host

    run = Run.objects.create(source=make_source(), state=Run.State.LISTING)
    list_later(run, HostBusy("later", retry_after=86_400.0))
    run.refresh_from_db()
    assert run.lease_until is not None
    assert run.lease_until <= ahead(seconds=3600)
    document = make_document(make_source("b"), state=Document.State.FETCHING, attempts=1)
    wait_for_host(document, HostBusy("later", retry_after=86_400.0))
    document.refresh_from_db()
    assert document.next_attempt_at is not None
    assert document.next_attempt_at <= ahead(seconds=3600)
