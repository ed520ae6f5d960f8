"""Processes that end again and again are named in the status and by /readyz, as long as their stack runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import Client

from ingestion.pipeline.report.status import status
from ragproject.embedded import restarts
from ragproject.embedded.preflight import only_stack_in
from ragproject.embedded.restarts import (
    ENDS_REPORTED,
    LOCK_FILE,
    STATE_FILE,
    WITHIN_SECONDS,
    RestartLog,
    unstable_processes,
)
from search.api import health


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [5000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def restart_log(tmp_path: Path) -> Iterator[RestartLog]:
    with only_stack_in(tmp_path):
        yield RestartLog(tmp_path)


def fail(restart_log: RestartLog, name: str, times: int) -> None:
    for number in range(times):
        restart_log.note(name, "exit code 1", f"EOFError {number}")
    restart_log.publish()


def test_one_restart_is_no_trouble_and_several_are_with_the_last_words(restart_log: RestartLog, tmp_path: Path) -> None:
    fail(restart_log, "beat", ENDS_REPORTED - 1)
    assert unstable_processes(tmp_path) == []
    fail(restart_log, "beat", 1)
    (said,) = map(str, unstable_processes(tmp_path))
    assert "beat ended 3 times within 15 minutes (exit code 1)" in said
    assert '"EOFError 0"' in said


def test_a_process_that_is_steady_again_is_no_trouble(
    clock: list[float], restart_log: RestartLog, tmp_path: Path
) -> None:
    fail(restart_log, "beat", ENDS_REPORTED)
    assert unstable_processes(tmp_path)
    clock[0] += WITHIN_SECONDS + 1
    restart_log.publish()
    assert unstable_processes(tmp_path) == []


def test_ends_that_lie_far_apart_do_not_add_up(clock: list[float], restart_log: RestartLog, tmp_path: Path) -> None:
    for _ in range(2 * ENDS_REPORTED):
        fail(restart_log, "cpu", 1)
        clock[0] += WITHIN_SECONDS / (ENDS_REPORTED - 1)
    assert unstable_processes(tmp_path) == []


def test_a_stack_that_has_ended_says_nothing(tmp_path: Path) -> None:
    with only_stack_in(tmp_path):
        fail(RestartLog(tmp_path), "gpu", ENDS_REPORTED)
        assert unstable_processes(tmp_path)
    assert unstable_processes(tmp_path) == []
    with only_stack_in(tmp_path):  # the next one begins anew
        RestartLog(tmp_path).publish()
        assert unstable_processes(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"[{", b"[1]", b'[{"name": "x"}]', b"\0" * 100])
def test_a_damaged_file_says_nothing(restart_log: RestartLog, tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE_FILE).write_bytes(content)
    assert unstable_processes(tmp_path) == []


def test_a_full_disk_does_not_stop_the_stack_and_the_next_try_succeeds(
    restart_log: RestartLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    fail(restart_log, "cpu", ENDS_REPORTED)
    monkeypatch.undo()
    restart_log.publish()
    assert [each.name for each in unstable_processes(tmp_path)] == ["cpu"]


def test_nothing_is_written_while_nothing_changes(restart_log: RestartLog, tmp_path: Path) -> None:
    fail(restart_log, "cpu", ENDS_REPORTED)
    before = (tmp_path / STATE_FILE).stat().st_ino
    for _ in range(3):
        restart_log.publish()
    assert (tmp_path / STATE_FILE).stat().st_ino == before


def test_who_looks_whether_a_stack_runs_does_not_keep_one_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    (tmp_path / LOCK_FILE).touch()
    with (tmp_path / LOCK_FILE).open("r") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr(time, "sleep", lambda _: fcntl.flock(looking, fcntl.LOCK_UN))
        with only_stack_in(tmp_path):
            assert restarts.stack_runs(tmp_path)


@pytest.mark.django_db
def test_the_status_the_admin_and_readyz_name_it(
    restart_log: RestartLog,
    tmp_path: Path,
    clean_redis: redis.Redis,
    admin_client: Client,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.DATA_DIR = tmp_path
    monkeypatch.setitem(health.PROBES, "milvus", lambda: True)
    assert health.missing_services() == []
    fail(restart_log, "beat", ENDS_REPORTED)
    assert health.missing_services() == ["beat"]
    (said,) = status().alerts
    assert "beat ended" in said and "EOFError" in said
    assert "beat ended" in admin_client.get("/admin/ingestion/source/").content.decode()


@pytest.mark.django_db
def test_it_is_named_also_when_redis_is_the_one_that_keeps_ending(
    restart_log: RestartLog, tmp_path: Path, settings: Any, clean_redis: redis.Redis
) -> None:
    from ingestion.coordination import redis_client

    settings.DATA_DIR, settings.REDIS_URL = tmp_path, "redis://127.0.0.1:9/0"
    redis_client.connect.cache_clear()
    fail(restart_log, "redis", ENDS_REPORTED)
    try:
        first, second = status().alerts
    finally:
        redis_client.connect.cache_clear()
    assert "redis ended" in first
    assert "Redis" in second
