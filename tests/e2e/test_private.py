"""The embedded servers and their data are their owner's alone: nobody else can connect, read or write."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis
from pymilvus import MilvusClient

from ragproject.settings import socket_path
from tests.support.running import Running, destroy, environment, manage, start

pytestmark = pytest.mark.e2e

NOBODY = 65534


def attempts(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """What somebody else tries."""
    yield "connected to", lambda: socket.socket(socket.AF_UNIX).connect(str(path))
    yield "listed", lambda: list(path.iterdir())
    yield "read", lambda: path.read_bytes()
    yield "wrote", lambda: path.open("ab")


def intruded(*paths: Path) -> list[str]:
    """What a user without rights got of them. A fork: that user need not be able to run this Python."""
    ours, theirs = os.pipe()
    if child := os.fork():
        os.close(theirs)
        with os.fdopen(ours) as answer:
            said = answer.read().splitlines()
        assert os.waitpid(child, 0)[1] == 0
        return said
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        for path in paths:
            for name, attempt in attempts(path):
                with suppress(OSError):
                    attempt()
                    os.write(theirs, f"{name} {path}\n".encode())
        os._exit(0)
    finally:
        os._exit(1)


@pytest.fixture(scope="module")
def private() -> Iterator[Running]:
    """A stack with the default addresses, in a folder that anybody may look for, and that was open before."""
    around = Path(tempfile.mkdtemp())
    around.chmod(0o755)
    (around / "data").mkdir()
    (around / "data").chmod(0o777)
    running = start(around / "data", "--no-web", REDIS_URL="", MILVUS_URI="")
    try:
        running.until(running.ready)
        yield running
    finally:
        destroy(running)
        shutil.rmtree(around)


def data(running: Running) -> Path:
    return Path(running.environment["DATA_DIR"])


def sockets(running: Running) -> list[Path]:
    return [data(running) / "redis" / "redis.sock", data(running) / "milvus.sock"]


def test_by_default_nothing_listens_on_the_network(private: Running) -> None:
    listening = [
        connection.laddr
        for process in private.tree()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == []
    assert all(stat.S_ISSOCK(path.stat().st_mode) for path in sockets(private))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_gets_nothing_of_the_data_and_reaches_no_server(private: Running) -> None:
    everything = [data(private), *data(private).rglob("*")]
    assert intruded(data(private).parent) == [f"listed {data(private).parent}"]  # it does try
    assert intruded(*everything) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_files_are_closed_even_where_a_folder_is_opened_again(private: Running) -> None:
    everything = [path for path in data(private).rglob("*") if path.is_file() or path.is_socket()]
    folders = [data(private), *(path for path in data(private).rglob("*") if path.is_dir())]
    modes = {folder: folder.stat().st_mode for folder in folders}
    try:
        for folder in folders:
            folder.chmod(0o755)
        # The log is this test's own, and was there before the stack.
        assert [line for line in intruded(*everything) if not line.endswith("up.log")] == []
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)


def test_a_folder_that_was_open_is_closed_and_that_is_said(private: Running) -> None:
    assert data(private).stat().st_mode & 0o077 == 0
    assert f"{data(private)} was open to other users; now it is yours alone" in private.output()
    assert "Every user of this machine" not in private.output()


def test_its_own_commands_reach_both_servers_through_the_sockets(private: Running) -> None:
    status = manage(private, "status")
    assert status.returncode == 0, status.stderr
    assert "does not answer" not in status.stdout + status.stderr
    path = socket_path(f"unix:{sockets(private)[1]}")
    client = MilvusClient(uri=f"unix:{path}", timeout=5)
    assert client.list_collections() is not None
    client.close()


@pytest.mark.parametrize(
    "command",
    [
        *("CONFIG SET dir /tmp", "CONFIG SET dbfilename x", "CONFIG REWRITE", "SAVE", "BGSAVE", "BGREWRITEAOF"),
        *("MODULE LOAD /tmp/x.so", "DEBUG SLEEP 0", "REPLICAOF 127.0.0.1 1", "SLAVEOF 127.0.0.1 1", "SHUTDOWN"),
        *("ACL SETUSER default +@all", "ACL LIST", "MONITOR", "MIGRATE 127.0.0.1 1 k 0 1", "CLUSTER INFO"),
    ],
)
def test_not_even_its_owner_can_make_redis_write_files_or_load_code(private: Running, command: str) -> None:
    with (
        redis.Redis(unix_socket_path=str(sockets(private)[0])) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.execute_command(*command.split())


def test_a_password_alone_is_refused_where_it_is_wrong(tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-web")
    try:
        running.until(running.ready)
        port = running.environment["REDIS_URL"].rsplit(":", 1)[1].removesuffix("/0")
        owner = redis.Redis.from_url(running.environment["REDIS_URL"])
        with owner, pytest.raises(redis.exceptions.NoPermissionError):
            owner.config_set("dir", str(tmp_path))
        with redis.Redis(port=int(port)) as client, pytest.raises(redis.exceptions.AuthenticationError):
            client.ping()
        assert "Every user of this machine can read and change what Milvus holds" in running.output()
        assert "can read and change what Redis holds" not in running.output()
    finally:
        destroy(running)


def test_a_socket_path_that_is_too_long_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    variables = {**environment(folder), "REDIS_URL": "", "MILVUS_URI": ""}
    done = subprocess.run(
        [sys.executable, "manage.py", "up"], env=variables, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "redis.sock" in done.stderr and "107" in done.stderr and "DATA_DIR" in done.stderr
