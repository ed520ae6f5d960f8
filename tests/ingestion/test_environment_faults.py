"""Which errors come from the surroundings: real ones of the system and of SQLite, and PostgreSQL's codes."""

from __future__ import annotations

import errno
import sqlite3
import time
from pathlib import Path

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connection

from ingestion.environment_faults import fault_behind, persistently
from ingestion.exceptions import DatabaseUnavailable, FetchFailed, MachineExhausted, ModelError, PageGone


def caught(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except type(error) as raised:
        return raised


def test_a_device_without_room_is_a_full_disk() -> None:
    with pytest.raises(OSError, match="No space") as full, Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")
    fault = fault_behind(full.value)
    assert isinstance(fault, MachineExhausted)
    assert "Make room" in str(fault)


def test_it_is_found_behind_other_errors() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/data/archive.tar.gz")
    fault = fault_behind(caught(RuntimeError("the archive is broken"), caught(FetchFailed("x"), full)))
    assert "/data/archive.tar.gz" in str(fault)


def test_sqlite_that_is_full_is_a_database_that_stores_nothing(tmp_path: Path) -> None:
    file = sqlite3.connect(tmp_path / "db")
    file.execute("CREATE TABLE t (x)")
    file.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        file.executemany("INSERT INTO t VALUES (?)", [("x" * 4000,)] * 9)
    file.close()
    fault = fault_behind(caught(OperationalError(str(full.value)), full.value))
    assert isinstance(fault, DatabaseUnavailable)
    assert "database or disk is full" in str(fault)


@pytest.mark.parametrize(
    ("error", "is_fault"),
    [
        (psycopg.errors.DiskFull("could not extend file"), True),
        (psycopg.errors.TooManyConnections("sorry"), True),
        (psycopg.errors.AdminShutdown("terminating connection"), True),
        (psycopg.OperationalError("connection refused"), True),
        (psycopg.errors.UniqueViolation("duplicate key"), False),
        (psycopg.errors.DeadlockDetected("deadlock"), False),
        (psycopg.ProgrammingError("no such column"), False),
    ],
)
def test_postgresql_says_it_by_its_code(error: psycopg.Error, is_fault: bool) -> None:
    assert (fault_behind(caught(DatabaseError("x"), error)) is not None) is is_fault


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        PageGone("x"),
        FetchFailed("x"),
        OSError(errno.ENOENT, "no such file"),
        OSError(errno.ECONNREFUSED, "refused"),
        sqlite3.OperationalError("database is locked"),
        OperationalError("no such table"),
    ],
)
def test_other_errors_are_the_document_s_own(error: BaseException) -> None:
    assert fault_behind(error) is None


def test_a_fault_is_its_own() -> None:
    fault = ModelError("no model in /x")
    assert fault_behind(caught(ValueError("y"), fault)) is fault


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has no bound that one statement could move")
@pytest.mark.django_db(transaction=True)
def test_a_write_is_repeated_until_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real SQLITE_FULL: the file may not grow any more, until the pause is over."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE filling (words text)")
        cursor.execute("PRAGMA page_count")
        (pages,) = cursor.fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> str:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO filling VALUES (%s)", ["x" * 1_000_000])
        return "stored"

    def make_room(seconds: float) -> None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA max_page_count = 1000000")

    try:
        with pytest.raises(OperationalError, match="full"):
            fill()
        monkeypatch.setattr(time, "sleep", make_room)
        assert persistently(fill) == "stored"
    finally:
        make_room(0)
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE filling")


def test_a_write_that_is_wrong_is_not_repeated() -> None:
    def wrong() -> None:
        raise DatabaseError("no such column")

    with pytest.raises(DatabaseError):
        persistently(wrong)
