"""Beat's scheduler: by the monotonic clock whatever the time of day does, and nothing on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery import schedules as celery_schedules
from celery.schedules import crontab
from django.conf import settings as project

from ragproject.beat import Lease, Scheduler
from tests.conftest import wait_until


class Clocks:
    """Both clocks of a machine; the time of day can be set."""

    def __init__(self) -> None:
        self.monotonic, self.offset = 1000.0, 0.0

    def today(self) -> datetime:
        return datetime.fromtimestamp(1_800_000_000 + self.monotonic + self.offset, UTC)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    found = Clocks()
    monkeypatch.setattr(time, "monotonic", lambda: found.monotonic)
    monkeypatch.setattr(time, "time", lambda: found.today().timestamp())
    monkeypatch.setattr(celery_schedules.BaseSchedule, "now", lambda self: found.today())
    return found


def scheduler_of(jobs: dict[str, Any]) -> tuple[Scheduler, Counter[str]]:
    app = Celery("apart", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {name: {"task": name, "schedule": every} for name, every in jobs.items()}
    scheduler, sent = Scheduler(app), Counter[str]()
    scheduler.lease.held = lambda: True  # type: ignore[method-assign]
    scheduler.apply_entry = lambda entry, producer=None: sent.update([str(entry.name)])  # type: ignore[method-assign]
    scheduler.__dict__["producer"] = None
    return scheduler, sent


def run(scheduler: Scheduler, clocks: Clocks, seconds: float) -> None:
    """As Beat does: tick, sleep as long as it says, tick."""
    end = clocks.monotonic + seconds
    while clocks.monotonic < end:
        clocks.monotonic = min(end, clocks.monotonic + max(scheduler.tick(), 0.001))


@pytest.mark.parametrize("step", [0.0, -3600.0, 3600.0, -20 * 365 * 86400.0])
def test_each_job_is_sent_at_its_interval_whatever_the_time_of_day_does(clocks: Clocks, step: float) -> None:
    scheduler, sent = scheduler_of({"dispatch": 2.0, "drain": 60.0})
    run(scheduler, clocks, 301)
    assert 140 <= sent["dispatch"] <= 152
    assert sent["drain"] == 5
    sent.clear()
    clocks.offset = step
    run(scheduler, clocks, 300)
    assert 140 <= sent["dispatch"] <= 152
    assert sent["drain"] == 5


def test_a_machine_that_slept_gets_each_job_once_and_not_one_for_each_interval(clocks: Clocks) -> None:
    scheduler, sent = scheduler_of({"dispatch": 2.0})
    run(scheduler, clocks, 3)
    sent.clear()
    clocks.monotonic += 86_400
    run(scheduler, clocks, 0.5)
    assert sent["dispatch"] == 1


def test_the_projects_own_jobs_can_be_scheduled() -> None:
    jobs = {name: job["schedule"] for name, job in project.CELERY_BEAT_SCHEDULE.items()}
    scheduler, _ = scheduler_of(jobs)
    assert scheduler.schedule.keys() == jobs.keys()
    assert project.CELERY_BEAT_SCHEDULER == "ragproject.beat:Scheduler"


def test_a_time_of_day_is_refused_with_the_jobs_name() -> None:
    with pytest.raises(TypeError, match="nightly"):
        scheduler_of({"nightly": crontab(hour="4")})


@pytest.mark.slow
def test_a_job_that_redis_does_not_take_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    scheduler = Scheduler(Celery("apart", broker="redis://127.0.0.1:9/0", set_as_current=False))
    entry = scheduler.Entry(name="dispatch", task="ingestion.tasks.dispatch", schedule=1.0, app=scheduler.app)  # type: ignore[arg-type]
    entry.options = {"retry": False}
    scheduler.apply_entry(entry)
    (said,) = caplog.records
    assert "dispatch" in said.getMessage()
    assert said.exc_info is None


@pytest.fixture
def leases(clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> list[Lease]:
    monkeypatch.setattr("ragproject.beat.RENEW_SECONDS", 0.0)
    return [Lease(project.REDIS_URL, "beats") for _ in range(10)]


def test_of_ten_beats_one_sends_and_another_goes_on_when_it_ends(leases: list[Lease]) -> None:
    for _ in range(3):
        assert [lease.held() for lease in leases] == [True] + 9 * [False]
    leases[0].give_up()
    assert [lease.held() for lease in reversed(leases)] == [True] + 9 * [False]


def test_a_beat_that_lost_its_lease_waits_like_the_others(leases: list[Lease], clean_redis: redis.Redis) -> None:
    first, second, *_ = leases
    assert first.held()
    clean_redis.flushall()  # as when it stood still for longer than its lease
    assert second.held()
    assert not first.held()
    second.give_up()
    assert first.held()


def test_a_beat_that_is_killed_is_followed_when_its_lease_ends(
    leases: list[Lease], clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leases[0].held()
    assert 0 < clean_redis.pttl("beats") <= 5000
    clean_redis.pexpire("beats", 1)
    wait_until(leases[1].held)


def test_a_dead_beats_lease_does_not_live_as_long_as_the_clock_was_set_back(
    leases: list[Lease], clean_redis: redis.Redis
) -> None:
    first, second, *_ = leases
    assert first.held()
    clean_redis.pexpire("beats", 3_605_000)  # what Redis makes of 5 s when its clock is set back by an hour
    assert not second.held()
    assert 0 < clean_redis.pttl("beats") <= 5000
    clean_redis.pexpire("beats", 3000)
    assert not second.held()
    assert 0 < clean_redis.pttl("beats") <= 3000  # a right one is left as it is
    assert first.held()


def test_without_redis_nothing_is_sent_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    lease = Lease("redis://127.0.0.1:9/0", "beats")
    assert not lease.held()
    assert "Redis does not answer" in caplog.text
    lease.give_up()


@pytest.mark.e2e
@pytest.mark.parametrize("damage", [b"", b"x" * 50])
def test_it_starts_beside_a_schedule_that_is_damaged_and_leaves_none(
    clean_redis: redis.Redis, tmp_path: Path, damage: bytes
) -> None:
    """As an earlier version left it after a power cut."""
    (tmp_path / "celerybeat-schedule.dat").write_bytes(damage)
    (tmp_path / "celerybeat-schedule.dir").write_bytes(b"'entries', (0, 1000)\n")
    before = sorted(tmp_path.iterdir())
    variables = {**os.environ, "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "ragproject.settings"}
    variables |= {"HEARTBEAT_FILE": str(tmp_path / "alive")}
    variables |= {"SECRET_KEY": "0123456789abcdef" * 4, "DISPATCH_SECONDS": "0.1", "DATABASE_URL": "sqlite://:memory:"}
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-q", "-A", "ragproject", "beat"]
    process = subprocess.Popen(command, cwd=project.BASE_DIR, env=variables, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: process.poll() is not None or clean_redis.llen("cpu") > 2)
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
    assert clean_redis.llen("cpu") > 2, said
    assert "Traceback" not in said
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "alive"])


def test_the_time_of_day_is_what_celerys_own_scheduler_goes_by(clocks: Clocks) -> None:
    """Guards the test above: if this one fails, Celery was mended and ours may go."""
    from celery import beat

    class Wallclock(Scheduler):
        Entry = beat.ScheduleEntry  # type: ignore[assignment]
        _when = beat.Scheduler._when  # type: ignore[attr-defined]
        tick = beat.Scheduler.tick

    app = Celery("apart", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"dispatch": {"task": "dispatch", "schedule": timedelta(seconds=2)}}
    scheduler, sent = Wallclock(app), Counter[str]()
    scheduler.apply_entry = lambda entry, producer=None: sent.update([str(entry.name)])  # type: ignore[method-assign]
    scheduler.__dict__["producer"] = None
    run(scheduler, clocks, 10)
    assert sent["dispatch"]
    sent.clear()
    clocks.offset = -3600.0
    run(scheduler, clocks, 300)
    assert not sent["dispatch"]
