"""The embedded stack: Redis, Milvus Lite, the workers, Beat and the web server as child processes.

``run()`` starts them in order, waits until each answers, prefixes their output, starts one again that ends by itself,
and stops them in order on SIGINT, SIGTERM or SIGHUP. One stack per data folder.

The processes are run by circus (its ``Watcher``, without its daemon and sockets): a session per child, output streams,
bounded stop, a Python API. supervisor needs files and cannot prefix, honcho never restarts.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path

from circus.watcher import Watcher
from django.conf import settings
from django.db import connections

from ragproject.embedded import services
from ragproject.embedded.console import Console, Prefixed
from ragproject.embedded.data_folder import prepare, require_rows
from ragproject.embedded.parent_watch import bound_to_parent
from ragproject.embedded.preflight import StackError, migrate, only_stack_in, require_free, require_model
from ragproject.embedded.restarts import RestartLog
from ragproject.embedded.services import Service
from ragproject.environment import misspelled, without_credentials
from ragproject.settings import env

# Often enough that a restart is prompt; six waitpid calls a tick cost nothing measurable.
TICK_SECONDS = 0.25
# A cold disk may take half a minute to import Django, Celery and gRPC three times over.
READY_SECONDS = 120.0
LONGEST_PAUSE_SECONDS = 30.0
# A process that ran this long counts as healthy, and its next end as the first.
STEADY_SECONDS = 60.0
ENDS_BEFORE_GIVING_UP = 3
# Lets the event loop read what a process wrote last before circus closes its pipes.
LAST_WORDS_SECONDS = 0.1
# Over the supervisor's own environment: lines that are not held back, no thread pool per tokenizer.
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}


class StopRequested(Exception):
    """A signal that asks the stack to stop."""


def run(*, cpu_workers: int, with_web: bool, colour: bool) -> None:
    """Run the stack until a signal stops it. Raises StackError where it cannot run."""
    console = Console(colour=colour)
    prepare(settings.DATA_DIR, console)
    with only_stack_in(settings.DATA_DIR):
        require_model(console)  # the first thing to know on a machine that cannot download one
        tiers = plan(cpu_workers=cpu_workers, with_web=with_web)
        for name, url in {"redis": settings.REDIS_URL, "milvus": settings.MILVUS_URI}.items():
            if name not in {service.name for service in tiers[0]}:
                console.line("up", f"{name}: the server at {without_credentials(url)} is used")
        for sentence in services.open_to_everybody():
            console.line("up", f"WARNING: {sentence}")
        for warning in misspelled(env.in_file, env.settings):
            console.line("up", warning)
        if connections["default"].vendor == "sqlite":
            require_rows(Path(connections["default"].settings_dict["NAME"]))
        migrate(console)
        asyncio.run(serve(tiers, console))


def plan(*, cpu_workers: int, with_web: bool) -> list[list[Service]]:
    """Return what to start, in tiers: the first must answer before the others start, and is stopped last.

    Raises StackError where an address is in use.
    """
    backends = services.backends()
    front = [services.beat(), *([services.web()] if with_web else [])]
    workers = [services.cpu_worker(cpu_workers), services.gpu_worker(), services.index_worker()]
    for service in chain(backends, front):
        if service.listens:
            require_free(service.listens)
    return [backends, front, workers]


async def serve(tiers: list[list[Service]], console: Console) -> None:
    """Start the services, then restart those that end, until a signal asks to stop; stop them in any case."""
    restart_log = RestartLog(settings.DATA_DIR)
    stack = Stack([[Child(service, console, restart_log) for service in tier] for tier in tiers], console, restart_log)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stack.request_stop)
    try:
        first, *others = stack.tiers
        await stack.start(first)
        await stack.start(chain(*others))
        announce(tiers, console)
        while True:
            await stack.check()
    except StopRequested:
        console.line("up", "stopping; once more to kill")
    finally:
        await stack.stop()


def announce(tiers: list[list[Service]], console: Console) -> None:
    """Write what to do now, and a last line, "ready", that a script can wait for."""
    with_web = any(service.name == "web" for service in chain(*tiers))
    if with_web:
        console.line("up", f"questions  {services.web_url()}")
        console.line("up", f"admin      {services.web_url()}admin/ (user: {services.manage('createsuperuser')})")
    console.line("up", f"ingest     {services.manage('ingest TARGET --wait')} (a folder, a file, a site's first page)")
    console.line("up", "stop       Ctrl-C")
    console.plain(f"ready {services.web_url()}" if with_web else "ready")


class Child:
    """One service and its process: how often in a row it ended by itself, and when it starts again."""

    def __init__(self, service: Service, console: Console, restart_log: RestartLog) -> None:
        self.service = service
        self.console = console
        self.restart_log = restart_log
        self.streams = [Prefixed(service.name, console) for _ in ("stdout", "stderr")]
        self.watcher = watch(service, *self.streams)
        self.ends = 0
        self.started = self.due = 0.0

    async def start(self) -> None:
        """Repair the service's files where they need it, then start its process."""
        try:
            done = await asyncio.to_thread(self.service.repair, self.ends > 0)
        except (OSError, subprocess.SubprocessError) as error:
            done = f"{self.service.name}'s files could not be looked at: {error}"
        if done:
            self.console.line("up", f"WARNING: {done}")
        self.started = time.monotonic()
        await self.watcher.start()

    async def stop(self) -> None:
        """Ask the process to stop, and kill it after the service's ``stop_seconds``."""
        pids, asked = list(self.watcher.processes), time.monotonic()
        await self.watcher.stop()
        for pid in pids:
            kill_group(pid)
        if time.monotonic() - asked >= self.service.stop_seconds:
            bound = f"{self.service.stop_seconds:.0f} s"
            self.console.line("up", f"{self.service.name} did not stop within {bound} and was killed")

    async def check(self) -> None:
        """Handle the end of the process if it has ended; start it again when that is due."""
        if self.watcher.is_stopped():
            if time.monotonic() >= self.due:
                await self.start()
            return
        for pid, process in list(self.watcher.processes.items()):
            if (code := process.poll()) is not None:
                await self.note_end(pid, code)

    async def note_end(self, pid: int, code: int) -> None:
        """Read what the process wrote last, and set when it starts again: after 1, 2, 4, … seconds."""
        await asyncio.sleep(LAST_WORDS_SECONDS)
        await self.watcher.manage_processes()
        for stream in self.streams:
            stream.close()
        kill_group(pid)
        was_steady = time.monotonic() - self.started > STEADY_SECONDS
        self.ends = 1 if was_steady else self.ends + 1
        pause = min(2.0 ** (self.ends - 1), LONGEST_PAUSE_SECONDS)
        self.due = time.monotonic() + pause
        cause = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        self.console.line("up", f"{self.service.name} ended ({cause}); starting it again in {pause:.0f} s")
        # The last line of its errors, where Python's traceback ends too; of its output when it wrote none.
        last_words = next((stream.last for stream in reversed(self.streams) if stream.last), "")
        self.restart_log.note(self.service.name, cause, last_words)


def watch(service: Service, stdout: Prefixed, stderr: Prefixed) -> Watcher:
    """Return circus' watcher of the service, in a session of its own: a terminal's Ctrl-C reaches the supervisor alone.

    Without ``respawn``: circus starts again at once and for ever, ``Child`` waits longer each time.
    """
    program, *arguments = bound_to_parent(service.command)
    return Watcher(
        service.name,
        shlex.quote(program),
        args=arguments,
        working_dir=str(service.directory),
        copy_env=True,
        env={**ENVIRONMENT, **service.environment},
        graceful_timeout=service.stop_seconds,
        respawn=False,
        stdout_stream={"stream": stdout},
        stderr_stream={"stream": stderr},
    )


def kill_group(pid: int) -> None:
    """Kill what is left in the session of a process; usually nothing."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class Stack:
    """All children, in the tiers of ``plan``."""

    def __init__(self, tiers: list[list[Child]], console: Console, restart_log: RestartLog) -> None:
        self.tiers = tiers
        self.console = console
        self.restart_log = restart_log
        self.stopping = asyncio.Event()

    def request_stop(self) -> None:
        """Stop at the next check; when asked a second time, kill everything at once."""
        if self.stopping.is_set():
            for child in chain(*self.tiers):
                for pid in list(child.watcher.processes):
                    kill_group(pid)
        self.stopping.set()

    async def start(self, children: Iterable[Child]) -> None:
        """Start the children and wait until each answers. Raises StackError when one does not, or StopRequested."""
        children = list(children)
        for child in children:
            await child.start()
        deadline = time.monotonic() + READY_SECONDS
        for child in children:
            name = child.service.name
            while trouble := await asyncio.to_thread(child.service.trouble):
                if child.ends >= ENDS_BEFORE_GIVING_UP:
                    raise StackError(f"{name} ended {child.ends} times at its start; its lines above say why.")
                if time.monotonic() > deadline:
                    raise StackError(f"{name} does not answer after {READY_SECONDS:.0f} s: {trouble}")
                await self.check()

    async def check(self) -> None:
        """Check every child that has been started, then wait for TICK_SECONDS. Raises StopRequested."""
        for child in chain(*self.tiers):
            if child.started:
                await child.check()
        self.restart_log.publish()
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_SECONDS):
                await self.stopping.wait()
        if self.stopping.is_set():
            raise StopRequested

    async def stop(self) -> None:
        """Stop all children, the last tier first."""
        for tier in reversed(self.tiers):
            await asyncio.gather(*(child.stop() for child in tier))
