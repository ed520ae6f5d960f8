"""The checks before the embedded stack starts: one stack per data folder, free ports, a model, a current database.

Each function raises ``StackError`` with what is wrong and what to do; none starts a process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

from ragproject.embedded.console import Console
from ragproject.embedded.model_folder import dimension, lacking
from ragproject.embedded.parent_watch import bound_to_parent
from ragproject.embedded.restarts import LOCK_FILE

LOCK_TRIES, LOCK_PAUSE_SECONDS = 5, 0.05
# How long the model hub may take to say that it has a model.
HUB_SECONDS = 10.0
OLD_TABLES = "The database's tables are those of an older version: run `manage.py migrate`."
SILENT_DATABASE = "The database does not answer, or takes no writes: `manage.py doctor` says why."
_tables_are_current = False


class StackError(Exception):
    """The stack cannot run; the message says why and what to do."""


@dataclass(frozen=True)
class Address:
    """A host and port on which a process listens. ``remedy`` says which setting changes them."""

    host: str
    port: int
    purpose: str
    remedy: str


@dataclass(frozen=True)
class SocketFile:
    """A Unix socket on which a process listens."""

    path: Path
    purpose: str


@contextmanager
def only_stack_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the kernel gives back when the process ends.

    Raises StackError while another process holds it.
    """
    with (folder / LOCK_FILE).open("a+") as lock:
        if not locked(lock):
            lock.seek(0)
            holder = lock.read().strip()
            raise StackError(f"A stack already runs on {folder} (process {holder}); stop it first.")
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def locked(lock: IO[str]) -> bool:
    """Lock the file and return whether that was possible.

    Tries again for a moment: a process that only checks whether a stack runs holds the lock for an instant, too.
    """
    for _ in range(LOCK_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(LOCK_PAUSE_SECONDS)
    return False


def require_free(address: Address | SocketFile) -> None:
    """Raise StackError where another program listens on the port or the socket, or the port cannot be opened."""
    if isinstance(address, SocketFile):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(address.path))
            except OSError:  # a file that an earlier server left is replaced by the next
                return
        raise StackError(f"{address.path} ({address.purpose}) is already in use by another program; stop that first.")
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do, after a stop
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            what = f"port {address.port} ({address.purpose})"
            why = f"cannot be opened on {address.host}: {error.strerror or error}; {address.remedy}"
            if error.errno == errno.EADDRINUSE:
                why = f"is already in use by {user_of(address.port)}; stop it or {address.remedy}"
            raise StackError(f"{what} {why}") from None


def user_of(port: int) -> str:
    """Return the name and number of the process that listens on the port, as far as this user may see it."""
    with suppress(psutil.Error):
        if process := listener(port):
            return f"{process.name()} (process {process.pid})"
    return "another program"


def listener(port: int) -> psutil.Process | None:
    """Return the process that listens on the port; None where there is none that this user may see."""
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr
        if listens and listens.port == port and connection.pid:
            return psutil.Process(connection.pid)
    return None


def require_model(console: Console) -> None:
    """Assemble the stand-in if it is chosen and incomplete. Raises StackError for another model that cannot be used."""
    if problem := model_problem():
        raise StackError(problem)
    if settings.EMBED_MODEL != settings.STAND_IN:
        console.line("up", f"model: {settings.EMBED_MODEL}")
    elif lacking(Path(settings.MODEL_PATH)):
        # In a process of its own, because PyTorch would stay in this one's memory.
        console.line("up", f"model: assembling the stand-in in {settings.MODEL_PATH}")
        command = bound_to_parent([sys.executable, "-W", "ignore", "manage.py", "standin_model"])
        done = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode or lacking(Path(settings.MODEL_PATH)):
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise StackError(f"The stand-in model could not be assembled: {said}")
        if problem := model_problem():
            raise StackError(problem)


def model_problem() -> str:
    """Return why the chosen model cannot be used, and what to do; empty for one that can.

    A stand-in that is not assembled yet can be.
    """
    folder = Path(settings.MODEL_PATH).expanduser()
    if settings.EMBED_MODEL == settings.STAND_IN:
        return dimension_problem(folder)
    if folder.is_dir():
        if missing := lacking(folder):
            return (
                f"The model folder {folder} (EMBED_MODEL) is incomplete: {', '.join(missing)} missing or cut short. "
                "Copy the model there again, or set EMBED_MODEL to another folder, a hub id (BAAI/bge-m3) or stand-in."
            )
        return dimension_problem(folder)
    if folder.is_absolute() or settings.EMBED_MODEL.startswith((".", "~")) or settings.EMBED_MODEL.count("/") != 1:
        return (
            f"The model folder {folder} (EMBED_MODEL) does not exist. Set EMBED_MODEL to a folder with BGE-M3, to a "
            "hub id (BAAI/bge-m3) or to stand-in."
        )
    return hub_problem(settings.EMBED_MODEL)


def dimension_problem(folder: Path) -> str:
    """Return that a model's vectors are not as long as EMBED_DIMENSION says; empty where they are, or nobody knows."""
    found = dimension(folder)
    if found in (None, settings.EMBED_DIMENSION):
        return ""
    return (
        f"The vectors of {settings.EMBED_MODEL} have {found} numbers, EMBED_DIMENSION says {settings.EMBED_DIMENSION}. "
        "Correct EMBED_DIMENSION or EMBED_MODEL."
    )


def hub_problem(model: str) -> str:
    """Return why a model that is named by its hub id can neither be read from the cache nor downloaded."""
    # 0.3 s to import, and needed for such a model alone.
    from huggingface_hub import HfApi, snapshot_download

    with suppress(OSError):  # it is not in the cache, or not whole
        folder = Path(snapshot_download(model, local_files_only=True))
        if not lacking(folder):
            return dimension_problem(folder)
    try:
        HfApi().model_info(model, timeout=HUB_SECONDS)
    except Exception as error:  # of several libraries, which have nothing in common
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
        return (
            f"The model {model} (EMBED_MODEL) is not on this machine, and the model hub cannot give it ({said}). "
            "Connect this machine to the hub; or copy the model to a folder and set EMBED_MODEL to that; or set "
            "EMBED_MODEL=stand-in, a small English model that needs no download, to try everything else."
        )
    return ""


def migrate(console: Console) -> None:
    """Bring the database's tables up to date; write nothing where they are. Raises StackError."""
    connection = connections["default"]
    try:
        if missing := migrations_missing():
            call_command("migrate", interactive=False, verbosity=0)
            console.line("up", f"database: {missing} migrations applied")
    except DatabaseError as error:
        said, remedy = str(error).strip().rstrip("."), "Check DATABASE_URL."
        if connection.vendor == "sqlite":
            file = connection.settings_dict["NAME"]
            remedy = f"Put a backup in the place of {file}, or move the file away to start anew."
        raise StackError(f"The database cannot be used: {said}. {remedy}") from error
    finally:
        connections.close_all()


def tables_are_current() -> bool:
    """Return whether the database has this version's tables. Raises Django's DatabaseError.

    They stay once they are there, and looking reads every migration: it is done until they are.
    """
    global _tables_are_current
    _tables_are_current = _tables_are_current or not migrations_missing()
    return _tables_are_current


def database_trouble() -> str:
    """Return why a query failed, as a page may tell whoever runs the site: it names no address."""
    with suppress(DatabaseError):
        if not tables_are_current():
            return OLD_TABLES
    return SILENT_DATABASE


def migrations_missing() -> int:
    """Return how many migrations the database's tables lack. Raises Django's DatabaseError."""
    executor = MigrationExecutor(connections["default"])
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
