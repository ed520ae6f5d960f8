"""The processes of a benchmark: the embedded stack in a folder of its own, the site, and what else is measured.

Everything is started on free ports of loopback, dies with the benchmark however that ends, and is stopped and
removed when its ``with`` block is left. No command line has a part from outside; nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from ingestion.exceptions import IngestionError
from ingestion.types import Json
from ragproject.embedded.parent_watch import bound_to_parent
from ragproject.embedded.ports import hold_port

READY_SECONDS = 240.0
STOP_SECONDS = 120.0
LOG_CHARS = 2000
REMOVE_TRIES = 20
Environment = Mapping[str, str]
Running = AbstractContextManager[subprocess.Popen[bytes]]


class BenchmarkError(IngestionError):
    """Raised when a process of the benchmark fails; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Place:
    """A data folder of its own, and the environment variables with which a process uses it."""

    folder: Path
    environment: Environment


@contextmanager
def own_services(keep: Path | None = None, **extra: str) -> Iterator[Place]:
    """Yield a new folder below DATA_DIR with the environment of a stack on free ports there; remove it at the end.

    ``keep`` is a folder to use instead, which stays. ``extra`` are further environment variables.
    """
    (settings.DATA_DIR / "models").mkdir(parents=True, exist_ok=True)
    folder = keep.resolve() if keep else Path(tempfile.mkdtemp(prefix="benchmark-", dir=settings.DATA_DIR))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not (folder / "models").exists():
            (folder / "models").symlink_to(settings.DATA_DIR / "models")
        with hold_port() as redis, hold_port() as milvus:
            environment = {
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "ragproject.settings",
                "DATA_DIR": str(folder),
                "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
                "REDIS_URL": f"redis://127.0.0.1:{redis.getsockname()[1]}/0",
                "MILVUS_URI": f"http://127.0.0.1:{milvus.getsockname()[1]}",
                "EMBED_MODEL": settings.EMBED_MODEL,
                "FETCH_PRIVATE_NETWORKS": "127.0.0.0/8",
            }
            yield Place(folder, {**environment, **extra})
    finally:
        if not keep:
            remove(folder)


def remove(folder: Path) -> None:
    """Delete the folder; what a dying process still writes into it is deleted with the next try."""
    for _ in range(REMOVE_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.5)


@contextmanager
def running(command: Sequence[str], place: Place, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in a session of its own, so that Ctrl-C reaches the benchmark alone; its output goes to a log."""
    with (place.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            bound_to_parent(command), cwd=settings.BASE_DIR, env=place.environment, start_new_session=True,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and kill it and its session when it does not within STOP_SECONDS."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool], every: float = 0.2) -> None:
    """Wait until ``ready`` returns True; it is called once in ``every`` seconds.

    Raises BenchmarkError when the process ends before that, or takes longer than READY_SECONDS.
    """
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkError(f"{log.stem} did not start. The end of its log:\n{tail(log)}")
        time.sleep(every)


def tail(log: Path) -> str:
    """Return the last LOG_CHARS characters of a log."""
    return log.read_text(errors="replace")[-LOG_CHARS:]


@contextmanager
def stack(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    """Run `manage.py up` without the web server, and wait until it is ready."""
    log = place.folder / "stack.log"
    with running([sys.executable, "manage.py", "up", "--no-web"], place, "stack") as process:
        until(process, log, lambda: any(line == "ready" for line in log.read_text(errors="replace").splitlines()))
        yield process


@contextmanager
def site(place: Place, folder: Path, files: Sequence[Path], latency: float) -> Iterator[str]:
    """Serve the files, each after ``latency`` milliseconds, and yield the site's address."""
    command = [sys.executable, "-m", "ingestion.benchmarks.site", str(folder), "--latency", str(latency)]
    with subprocess.Popen(  # noqa: S603
        bound_to_parent(command), cwd=settings.BASE_DIR, env=place.environment, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdin is not None  # noqa: S101  both are pipes
            assert process.stdout is not None  # noqa: S101
            process.stdin.write("\n".join(map(str, files)).encode())
            process.stdin.close()
            yield process.stdout.readline().decode().strip()
        finally:
            stop(process)


def answer(place: Place, *command: str) -> Json:
    """Run a command of this project and return the JSON that it prints. Raises BenchmarkError when it prints none."""
    log = place.folder / "command.log"
    with log.open("wb") as errors:
        done = subprocess.run(  # noqa: S603
            bound_to_parent([sys.executable, *command]), cwd=settings.BASE_DIR, env=place.environment,
            stdout=subprocess.PIPE, stderr=errors, check=False,
        )  # fmt: skip
    if not done.stdout.strip():
        raise BenchmarkError(f"{' '.join(command)} printed nothing. The end of its log:\n{tail(log)}")
    figures: Json = json.loads(done.stdout)
    return figures
