"""A running stack for tests: `manage.py up` on free ports and a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
from django.conf import settings

from ragproject.embedded.parent_watch import bound_to_parent
from tests.support.databases import fresh_url
from tests.support.ports import free_ports
from tests.support.shared_model import assembled

# It takes 8 s on a quiet machine.
START_SECONDS = 300

T = TypeVar("T")


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    log: Path
    environment: dict[str, str]

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def tree(self) -> list[psutil.Process]:
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def service(self, *words: str) -> psutil.Process:
        """The process directly under the supervisor whose command line has all the words.

        Waits for it: from its start to its exec, a process has no command line that could be read.
        """
        return self.until(lambda: self._service(set(words)))

    def _service(self, words: set[str]) -> psutil.Process | None:
        children = psutil.Process(self.process.pid).children()
        return next((child for child in children if words <= set(command_words(child))), None)

    def until(self, reached: Callable[[], T | None]) -> T:
        """Wait until it returns something that counts as true, and return that."""
        deadline = time.monotonic() + START_SECONDS
        while not (found := reached()):
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)
        return found

    def ready(self) -> bool:
        return any(line.startswith("ready") for line in self.output().splitlines())


def command_words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        # Redis puts its address into the same argument as its name.
        parts = " ".join(process.cmdline()).split()
        return [word for part in parts for word in (part, Path(part).name)]
    return []


def environment(folder: Path) -> dict[str, str]:
    redis_port, milvus_port, web_port = free_ports(3)
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "ragproject.settings",
        "DATA_DIR": str(folder),
        "DATABASE_URL": fresh_url(folder / "db.sqlite3"),
        "REDIS_URL": f"redis://:secret%20word@127.0.0.1:{redis_port}/0",
        "MILVUS_URI": f"http://127.0.0.1:{milvus_port}",
        "WEB_PORT": str(web_port),
        "EMBED_MODEL": "stand-in",
    }


def up(*options: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), "up", *options]


def start(folder: Path, *options: str, **extra: str) -> Running:
    """`manage.py up` in a session of its own that ends with this process; ``extra`` are environment variables."""
    folder.mkdir(exist_ok=True)
    share_model(folder)
    log, variables = folder / "up.log", {**environment(folder), **extra}
    with log.open("wb") as output:
        process = subprocess.Popen(
            bound_to_parent(up(*options)),
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(process, log, variables)


def share_model(folder: Path) -> None:
    """The stand-in, 90 MB, is assembled once for all stacks that bring none."""
    if not (folder / "models").exists():
        (folder / "models").symlink_to(assembled().parent)


def destroy(running: Running) -> None:
    """Whatever a failed test left, found by the data folder that only its processes know."""
    running.process.kill()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("DATA_DIR") == running.environment["DATA_DIR"]:
                process.kill()
    running.process.wait()


def manage(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=settings.BASE_DIR, env=running.environment, capture_output=True, text=True, check=False
    )


def ingest(running: Running, target: object, *options: str) -> dict[str, Any]:
    """The figures of `manage.py ingest`, its exit code and what it said on the way."""
    done = manage(running, "ingest", str(target), "--json", *options)
    assert done.stdout, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return {**figures, "code": done.returncode, "said": done.stderr}
