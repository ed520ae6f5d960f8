"""Connections to PostgreSQL that requests share: a real server, and more requests than connections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.db.utils import ConnectionHandler
from pytest_django import DjangoDbBlocker

from ragproject import connections
from tests.support.databases import program, start_server

# Each request queries, waits until all of them have, and queries again: as many that wait as there are requests.
REQUESTS = """
import asyncio, json
import django
django.setup()
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.db import connection
from ragproject.connections import give_back, share
share()

def ask(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

async def request(everybody):
    async with ThreadSensitiveContext():
        await sync_to_async(ask)("SELECT 1")
        await give_back()
        await everybody.wait()
        opened = 1 + await sync_to_async(ask)(f"SELECT count(*) {OTHERS}")
        await give_back()
        return opened

async def main():
    everybody = asyncio.Barrier(20)
    most = max(await asyncio.gather(*(request(everybody) for _ in range(20))))
    async with ThreadSensitiveContext():
        await sync_to_async(ask)(f"SELECT count(pg_terminate_backend(pid)) {OTHERS}")
        await give_back()
    async with asyncio.timeout(60):
        again = await asyncio.gather(*(request(asyncio.Barrier(1)) for _ in range(20)))
    print(json.dumps({"most": most, "again": len(again)}))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> str:
    try:
        program("postgres")
    except RuntimeError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("postgres")
    for each in (folder, *folder.parents[:3]):
        each.chmod(0o755)  # the server's user has to come in
    return start_server(folder)


@pytest.mark.slow
def test_many_requests_share_a_few_connections_and_outlive_a_server_that_closes_them(
    postgres: str, tmp_path: Path
) -> None:
    variables = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "ragproject.settings",
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": postgres,
        "DATABASE_CONNECTIONS": "3",
        "SERVICE_TIMEOUT_SECONDS": "30",
    }
    done = subprocess.run(
        [sys.executable, "-c", REQUESTS], cwd=settings.BASE_DIR, env=variables, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures == {"most": figures["most"], "again": 20}
    assert 1 <= figures["most"] <= 3


def test_files_of_sqlite_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    here = SimpleNamespace(IS_SQLITE=True, DATABASES={"default": {"OPTIONS": {"timeout": 1}}})
    monkeypatch.setattr(connections, "settings", here)
    connections.share()
    assert here.DATABASES == {"default": {"OPTIONS": {"timeout": 1}}}


def test_a_thread_keeps_its_file_of_sqlite_until_an_error_and_gives_others_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    own = ConnectionHandler({"default": settings.DATABASES["default"] | {"NAME": str(tmp_path / "file")}})
    monkeypatch.setattr(connections, "connections", own)

    def is_open_after(statement: str) -> bool:
        with suppress(DatabaseError), own["default"].cursor() as cursor:
            cursor.execute(statement)
        connections.release()
        return own["default"].connection is not None

    with django_db_blocker.unblock():
        monkeypatch.setattr(connections, "settings", SimpleNamespace(IS_SQLITE=True))
        assert is_open_after("SELECT 1")
        assert not is_open_after("SELECT FROM")
        assert is_open_after("SELECT 1")
        monkeypatch.setattr(connections, "settings", SimpleNamespace(IS_SQLITE=False))
        own["default"].in_atomic_block = True
        assert is_open_after("SELECT 1")
        own["default"].in_atomic_block = False
        assert not is_open_after("SELECT 1")
        own.close_all()
