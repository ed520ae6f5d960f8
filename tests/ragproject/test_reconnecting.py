"""Workers come back soon after Redis does, however long it was away."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.conf import settings
from pytest_django import Settings

from ingestion.coordination.celery_queues import queue_length
from ragproject.celery import LONGEST_RECONNECT_SECONDS, app
from ragproject.embedded import services
from ragproject.embedded.parent_watch import bound_to_parent
from tests.conftest import stop, wait_until
from tests.support.databases import fresh_url

TRIES = 12


class Enough(Exception):
    """So many pauses were seen."""


@pytest.mark.parametrize("connect", [app.connection_for_read, app.connection_for_write])
def test_no_pause_between_two_tries_grows_beyond_a_few_seconds(connect, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _: None)
    pauses: list[float] = []

    def note(error: Exception, pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == TRIES:
            raise Enough

    with pytest.raises(Enough):
        connect("redis://127.0.0.1:9/0").ensure_connection(note)
    assert max(pauses) == LONGEST_RECONNECT_SECONDS


def test_a_process_ends_once_redis_has_been_away_for_too_long(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _: None)
    settings.REDIS_PATIENCE_SECONDS = 0
    said: list[Exception] = []
    with pytest.raises(SystemExit) as ended:
        app.connection_for_read("redis://127.0.0.1:9/0").ensure_connection(lambda error, pause: said.append(error))
    assert ended.value.code == os.EX_TEMPFAIL
    assert said and "REDIS_PATIENCE_SECONDS" in caplog.text


@pytest.fixture
def worker(clean_redis: redis.Redis, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a real CPU worker on the tests' Redis and on a database of its own."""
    command = services.worker("cpu", ("-Q", "cpu", "-c", "1"), {}).command
    given = {"DJANGO_SETTINGS_MODULE": "ragproject.settings", "DATABASE_URL": fresh_url(tmp_path / "db.sqlite3")}
    given |= {"HEARTBEAT_FILE": str(tmp_path / "alive")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            bound_to_parent(command), cwd=settings.BASE_DIR, env={**os.environ, **given}, stdout=log, stderr=log
        )
    wait_until(lambda: "ready." in (tmp_path / "log").read_text(), every=0.2)
    yield process
    stop(process)


def test_a_worker_that_has_redis_touches_a_file(worker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    wait_until((tmp_path / "alive").exists)
    before = (tmp_path / "alive").stat().st_mtime_ns
    wait_until(lambda: (tmp_path / "alive").stat().st_mtime_ns > before)


def test_a_worker_goes_on_after_redis_refused_what_it_wrote(
    worker: subprocess.Popen[bytes], clean_redis: redis.Redis, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    clean_redis.config_set("min-replicas-to-write", 1)
    try:
        wait_until(lambda: log.read_text().count("NOREPLICAS") > 2, every=0.2)  # it takes messages by a write
    finally:
        clean_redis.config_set("min-replicas-to-write", 0)
    app.send_task("ingestion.tasks.audit", queue="cpu")
    wait_until(lambda: queue_length("cpu") == 0 and not clean_redis.hlen("unacked"), every=0.2)
    assert worker.poll() is None, log.read_text()
