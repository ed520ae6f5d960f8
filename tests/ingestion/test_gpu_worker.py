"""The embedding worker's process: one per device, stopped between batches, its child replaced when it is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import redis
from celery.worker import state
from django.conf import settings

from ingestion import worker_signals
from ingestion.coordination import device, heartbeat, locks
from ingestion.coordination.celery_queues import queue_length
from ingestion.coordination.device import device_name
from ingestion.coordination.locks import DeviceLease
from ingestion.exceptions import DeviceTaken
from ingestion.tasks import embed
from ragproject.embedded import services
from tests.conftest import wait_until
from tests.support.databases import execute, fresh_url

CHUNKS = 40
STOPS = int(os.environ.get("STOPS", "3"))


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch, clean_redis: redis.Redis) -> None:
    monkeypatch.setattr(locks, "DEVICE_LEASE_SECONDS", 0.4)
    monkeypatch.setattr(locks, "DEVICE_RENEW_SECONDS", 0.1)
    monkeypatch.setattr(locks, "DEVICE_LOOK_SECONDS", 0.05)


@pytest.fixture
def held(clean_redis: redis.Redis) -> DeviceLease:
    """A device that another worker took before ``brief``: for 20 s, which no machine takes between two lines."""
    lease = DeviceLease()
    lease.acquire()
    return lease


# --- The lease ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "name"), [("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu"), ("mps", "mps")]
)
def test_a_device_has_one_name(setting: str, name: str) -> None:
    assert device_name(setting) == name


def test_an_automatic_device_is_the_first_card_where_there_is_a_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(device, "DEVICES", tmp_path)
    assert device_name("auto") == "cpu"
    (tmp_path / "nvidia0").touch()
    assert device_name("auto") == "cuda:0"


@pytest.mark.usefixtures("held", "brief")
def test_a_second_worker_on_a_device_is_refused_while_the_first_one_lives(
    held: DeviceLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: held.renew())
    with pytest.raises(DeviceTaken, match=f"{held.device} is in use .*process {os.getpid()}.*EMBED_DEVICE=cuda:1"):
        DeviceLease().acquire()


@pytest.mark.usefixtures("held", "brief")
def test_a_worker_that_died_is_followed_as_soon_as_its_lease_ends(clean_redis: redis.Redis) -> None:
    second = DeviceLease()
    assert not second.try_acquire()
    clean_redis.pexpire(second.key, 300)
    second.acquire()
    assert second.renew()


@pytest.mark.usefixtures("brief")
def test_workers_on_two_devices_work_side_by_side(settings: Any) -> None:
    DeviceLease().acquire()
    settings.EMBED_DEVICE = "cuda:1"
    second = DeviceLease()
    assert second.try_acquire()
    assert second.device.endswith("/cuda:1")


def test_a_lease_that_vanished_with_redis_is_taken_again_unless_another_worker_was_faster(
    clean_redis: redis.Redis,
) -> None:
    first, second = DeviceLease(), DeviceLease()
    first.acquire()
    clean_redis.flushall()
    assert first.renew()
    clean_redis.flushall()
    second.acquire()
    assert not first.renew()
    first.release()
    assert second.renew()
    second.release()
    assert not clean_redis.exists(second.key)


# --- The parent process -------------------------------------------------------------------------------------


def worker_of(*queues: str) -> Any:
    found = SimpleNamespace(consume_from=dict.fromkeys(queues))
    return SimpleNamespace(app=SimpleNamespace(amqp=SimpleNamespace(queues=found)), pool=None)


@pytest.mark.usefixtures("brief")
def test_a_worker_of_other_queues_needs_no_device(clean_redis: redis.Redis) -> None:
    worker_signals.start(sender=worker_of("cpu", "index"))
    assert not clean_redis.keys("embedder:*")


def test_the_parent_holds_the_device_says_so_and_gives_it_back(clean_redis: redis.Redis) -> None:
    worker_signals.start(sender=worker_of("gpu"))
    try:
        wait_until(heartbeat.workers, every=0.01)
        assert not DeviceLease().try_acquire()
    finally:
        worker_signals.end()
    assert heartbeat.workers()[0].parent == os.getpid()
    assert DeviceLease().try_acquire()


@pytest.mark.usefixtures("held", "brief")
def test_a_parent_whose_device_is_taken_ends_with_the_reason(
    held: DeviceLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: held.renew())
    with pytest.raises(SystemExit, match="is in use by another embedding worker"):
        worker_signals.start(sender=worker_of("gpu"))
    (told,) = heartbeat.turned_away()
    assert told == held.refusal()


@pytest.mark.usefixtures("brief")
def test_a_parent_that_lost_its_device_stops(clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_signals, "DEVICE_RENEW_SECONDS", 0.05)
    monkeypatch.setattr(state, "should_stop", None)
    worker_signals.start(sender=worker_of("gpu"))
    try:
        clean_redis.set(DeviceLease().key, '{"pid": 1}')
        wait_until(lambda: state.should_stop == os.EX_TEMPFAIL, every=0.01)
    finally:
        worker_signals.end()
    assert clean_redis.get(DeviceLease().key) == b'{"pid": 1}'


@pytest.mark.slow
def test_the_parent_process_never_loads_torch() -> None:
    code = (
        "import sys\n"
        "from ragproject.celery import app\n"
        "app.loader.import_default_modules()\n"
        "app.finalize()\n"
        "assert 'ingestion.tasks.embed' in app.tasks and 'ingestion.worker_signals' in sys.modules\n"
        "heavy = {'torch', 'FlagEmbedding', 'transformers'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_child_has_time_to_load_a_large_model() -> None:
    """BGE-M3 from a cold disk takes up to a minute."""
    assert settings.CELERY_WORKER_PROC_ALIVE_TIMEOUT >= 60


# --- Real processes -----------------------------------------------------------------------------------------


class Bench:
    """A database of its own with chunks that wait, and workers with a fake embedder on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.database = fresh_url(folder / "db.sqlite3")
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.support.gpu_project",
            "DATABASE_URL": self.database,
            "FAKE_EMBEDDER": str(folder),
            "LEASE_SECONDS": "600",
            "EMBED_TIME_LIMIT_SECONDS": "10",
        }
        self.workers: list[subprocess.Popen[bytes]] = []
        make = [sys.executable, "-m", "tests.support.gpu_project", str(CHUNKS)]
        subprocess.run(make, env=self.environment, cwd=settings.BASE_DIR, check=True)

    def reset(self, *, seconds: float) -> None:
        """All chunks wait; a batch takes so long."""
        (self.folder / "seconds").write_text(str(seconds))
        for file in ("pids", "batches", "log"):
            (self.folder / file).write_text("")
        self.sql("update ingestion_chunk set state = 'waiting', attempts = 0, error = '', owner = '', text = 'text'")
        self.sql("update ingestion_document set state = 'embedding'")

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                services.gpu_worker().command, env=self.environment, cwd=settings.BASE_DIR, stdout=log, stderr=log
            )
        self.workers.append(worker)
        return worker

    def sql(self, statement: str) -> list[Any]:
        return execute(self.database, statement)

    def states(self) -> Counter[str]:
        return Counter(found for (found,) in self.sql("select state from ingestion_chunk"))

    def lines(self, file: str) -> list[str]:
        return (self.folder / file).read_text().split()

    def until_busy(self) -> None:
        embed.delay()
        wait_until(lambda: self.states()["embedding"])

    def until(self, reached_state: str, count: int = CHUNKS) -> None:
        """Beat's part: a message whenever none waits."""

        def reached() -> bool:
            if not queue_length("gpu"):
                embed.delay()
            return self.states()[reached_state] >= count

        try:
            wait_until(reached, every=0.2)
        except AssertionError as error:
            raise AssertionError(self.log.read_text()) from error

    def end(self) -> None:
        for worker in self.workers:
            with suppress(psutil.Error):
                for process in psutil.Process(worker.pid).children(recursive=True):
                    process.kill()
            worker.kill()
            worker.wait()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("gpu"))


@pytest.fixture
def bench(rows: Bench, clean_redis: redis.Redis) -> Iterator[Bench]:
    yield rows
    rows.end()


def test_a_worker_stopped_again_and_again_loses_nothing_and_costs_no_attempts(bench: Bench) -> None:
    for _ in range(STOPS):
        bench.reset(seconds=1.5)
        worker = bench.start()
        bench.until_busy()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(services.WORKER_STOP_SECONDS) == 0, bench.log.read_text()
        states = bench.states()
        assert states["waiting"] >= CHUNKS // 2
        assert states["waiting"] + states["buffered"] == CHUNKS
        assert bench.sql("select max(attempts) from ingestion_chunk") == [(0,)]
    (bench.folder / "seconds").write_text("0")
    bench.start()
    bench.until("buffered")


def test_a_killed_worker_comes_up_again_by_itself_and_a_second_one_is_refused(bench: Bench) -> None:
    bench.reset(seconds=0.2)
    killed = bench.start()
    bench.until_busy()
    killed.kill()
    survivor = bench.start()
    bench.until("buffered")
    second = bench.start()
    assert second.wait(60) == 1
    assert "is in use by another embedding worker" in bench.log.read_text()
    assert survivor.poll() is None
    assert len(set(bench.lines("pids"))) == 2


@pytest.mark.parametrize(("fault", "words"), [("fail", "device-side assert"), ("hang", "device or its driver hangs")])
def test_a_child_whose_device_fails_or_hangs_is_replaced_and_says_why(bench: Bench, fault: str, words: str) -> None:
    bench.reset(seconds=0.0)
    (bench.folder / fault).touch()
    worker = bench.start()
    bench.until("buffered")
    assert worker.poll() is None
    assert len(set(bench.lines("pids"))) == 2
    ((_, reason),) = heartbeat.failures(device.device_id())
    assert words in reason
    assert words in bench.log.read_text()


def test_a_chunk_that_kills_its_child_each_time_fails_alone(bench: Bench) -> None:
    bench.reset(seconds=0.0)
    bench.sql("update ingestion_chunk set text = 'kill' where position = 7")
    worker = bench.start()
    bench.until("failed", 1)
    bench.until("buffered", CHUNKS - 1)
    assert worker.poll() is None
    ((position, error),) = bench.sql("select position, error from ingestion_chunk where state = 'failed'")
    assert position == 7
    assert "died each time" in error
    assert 2 < len(set(bench.lines("pids"))) <= 5
