"""The processes under test by their roles: `manage.py up`, and a second worker of the queue "index" beside it, so that
another drain can go on when one is stopped.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import redis
from django.conf import settings

from ragproject.embedded import services
from ragproject.embedded.parent_watch import bound_to_parent
from tests.support.running import Running, command_words, destroy, start

ROLES = {
    "redis": ("redis-server",),
    "milvus": ("milvus",),
    "cpu": ("worker", "cpu"),
    "gpu": ("worker", "gpu"),
    "index": ("worker", "index"),
    "beat": ("beat",),
}
HOOKS = Path(__file__).with_name("hooks")
STOP_SECONDS = 60.0


class Absent(Exception):
    """Nobody plays this role at the moment."""


class Stack:
    """A stack on the disk ``data`` that can be told, through ``folder`` on another one, where its processes die."""

    def __init__(self, data: Path, folder: Path, without: str, *, stub: bool, web: bool) -> None:
        self.data, self.folder = data, folder
        for name in ("armed", "struck", "tmp"):
            (self.folder / name).mkdir(parents=True)
        variables = {**os.environ, **self._hooks(without, stub=stub)}
        self.running: Running = start(data, *([] if web else ["--no-web"]), **variables)
        self._second: subprocess.Popen[bytes] | None = None
        self._log = (folder / "index2.log").open("ab")

    def _hooks(self, without: str, *, stub: bool) -> dict[str, str]:
        paths = [str(HOOKS), str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")]
        return {
            "CHAOS_FOLDER": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),  # killed processes leave things there
            "CHAOS_WITHOUT": without,
            "CHAOS_STUB": "1" if stub else "",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    def tend(self) -> None:
        """Start the second drainer, and again when it has ended."""
        if self._second is not None and self._second.poll() is None:
            return
        command = services.index_worker().command
        named = [word.replace("index@", "index2@") for word in command]
        self._second = subprocess.Popen(
            bound_to_parent(named),
            env=self.running.environment, stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip

    def role(self, name: str) -> psutil.Process:
        return next(self.players(name))

    def players(self, name: str) -> Iterator[psutil.Process]:
        """Everybody in a role; raises Absent when there is nobody."""
        found = [p for p in self._supervised() if set(ROLES[name]) <= set(command_words(p))]
        if name == "index" and self._second is not None and self._second.poll() is None:
            found.append(psutil.Process(self._second.pid))
        if not found:
            raise Absent(name)
        yield from found

    def _supervised(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return psutil.Process(self.running.process.pid).children()
        return []

    def children(self, name: str) -> list[psutil.Process]:
        """The processes that work for a worker: the children of its pool."""
        found = []
        for worker in self.players(name):
            with suppress(psutil.Error):
                found += [c for c in worker.children() if name != "gpu" or "spawn_main" in " ".join(c.cmdline())]
        if not found:
            raise Absent(f"a child of {name}")
        return found

    def redis(self) -> Any:
        return redis.Redis.from_url(self.running.environment["REDIS_URL"], socket_timeout=5, socket_connect_timeout=2)

    @property
    def address(self) -> str:
        """Of the site, if there is one."""
        return f"http://127.0.0.1:{self.running.environment['WEB_PORT']}"

    def stop(self) -> int | None:
        """Its exit code; None when it had to be killed."""
        if self._second is not None:
            self._second.terminate()
        self.running.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            code = self.running.process.wait(STOP_SECONDS)
            if self._second is not None:
                self._second.wait(STOP_SECONDS)
            return code
        return None

    def left(self) -> list[str]:
        """Processes of this stack that live, by the data folder that only they know."""
        deadline = time.monotonic() + 5
        while (found := list(self._ours())) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _ours(self) -> Iterator[str]:
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and self._is_ours(process):
                    yield f"{process.pid} {' '.join(process.cmdline())[:100]}"

    def _is_ours(self, process: psutil.Process) -> bool:
        ours = self.running.environment["DATA_DIR"]
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get("DATA_DIR") == ours

    def destroy(self) -> None:
        """Whatever is left."""
        if self._second is not None:
            self._second.kill()
            self._second.wait()
        destroy(self.running)
        self._log.close()
