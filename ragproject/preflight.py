"""What must hold before the embedded stack starts: one stack per data folder, free ports, a current database.

Each function raises ``StackError`` with what is wrong and what to do; none starts a process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

from ragproject.console import Console


class StackError(Exception):
    """The stack cannot run; the message says why and what to do."""


@dataclass(frozen=True)
class Address:
    """Where a process listens. ``remedy`` says which setting moves it."""

    host: str
    port: int
    purpose: str
    remedy: str


@contextmanager
def only_stack_in(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which ends with the process; refuses while another one has it."""
    with (folder / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            raise StackError(f"A stack already runs on {folder} (process {holder}); stop it first.") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def require_free(address: Address) -> None:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do, after a stop
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise StackError(refusal(address, error)) from None


def refusal(address: Address, error: OSError) -> str:
    what = f"port {address.port} ({address.purpose})"
    if error.errno != errno.EADDRINUSE:
        return f"{what} cannot be opened on {address.host}: {error.strerror or error}; {address.remedy}"
    return f"{what} is already in use by {occupant(address.port)}; stop it or {address.remedy}"


def occupant(port: int) -> str:
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr
            if listens and listens.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"


def migrate(console: Console) -> None:
    """Brings the database's tables up to date; touches nothing where they are."""
    connection = connections["default"]
    try:
        executor = MigrationExecutor(connection)
        if missing := executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=0)
            console.line("up", f"database: {len(missing)} migrations applied")
    except DatabaseError as error:
        raise StackError(f"The database cannot be used: {str(error).strip()}") from error
    finally:
        connections.close_all()
