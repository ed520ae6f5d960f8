"""The database of the tests: SQLite in a file, or PostgreSQL when TEST_DATABASE says so.

TEST_DATABASE is ``sqlite`` (the default), ``postgres`` (a server is started here from Debian's binaries and ends with
this process), or the URL of a server whose user may create databases. Imports nothing of the project, because the
settings need it.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

VARIABLE = "TEST_DATABASE"
START_SECONDS = 60.0
# PostgreSQL refuses to run as root; Debian's package makes this user for it.
SERVER_USER = "postgres"
# What tests need not survive a power cut is not waited for.
OPTIONS = {"listen_addresses": "", "fsync": "off", "full_page_writes": "off", "max_connections": "200"}


def server_url() -> str:
    """The URL of the PostgreSQL server, started on first use for all the tests' processes; "" where SQLite is used."""
    wanted = os.environ.get(VARIABLE, "sqlite")
    if wanted == "postgres":
        wanted = os.environ[VARIABLE] = start_server(Path(tempfile.mkdtemp(prefix="rag-postgres-")))
    return "" if wanted == "sqlite" else wanted


def fresh_url(file: Path) -> str:
    """The URL of an empty database: ``file`` itself, or one on the server that is dropped when this process ends."""
    server = server_url()
    if not server:
        return f"sqlite:///{file}"
    name = f"tests_{hashlib.blake2b(str(file).encode(), digest_size=8).hexdigest()}"
    drop(server, name)
    administer(server, "CREATE DATABASE {}", name)
    atexit.register(drop, server, name)
    return urlsplit(server)._replace(path=f"/{name}").geturl()


def drop(server: str, name: str) -> None:
    administer(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def administer(server: str, statement: str, name: str) -> None:
    with psycopg.connect(urlsplit(server)._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def execute(url: str, statement: str) -> list[Any]:
    """Run a statement that both databases understand, outside of Django."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60)) as file, file:
            return file.execute(statement).fetchall()
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def start_server(folder: Path) -> str:
    """Start a server on a Unix socket in ``folder`` that ends with this process, and return its URL."""
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if os.geteuid() == 0:
        user = pwd.getpwnam(SERVER_USER)
        os.chown(folder, user.pw_uid, user.pw_gid)
    data = folder / "data"
    subprocess.run(
        unprivileged(program("initdb"), "-D", str(data), "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync"),
        cwd=folder, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            unprivileged(program("postgres"), "-D", str(data), "-k", str(folder), *options),
            cwd=folder, stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
    atexit.register(server.wait)
    atexit.register(server.send_signal, signal.SIGINT)  # SIGTERM would wait for connections of the tests' threads
    url = f"postgres://tests@{quote(str(folder), safe='')}/postgres"
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
            return url
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "log").read_text()) from None
            time.sleep(0.05)


def unprivileged(*command: str) -> Sequence[str]:
    """The command, run without root's rights and killed when this process ends."""
    rights = ("--reuid", SERVER_USER, "--regid", SERVER_USER, "--clear-groups") if os.geteuid() == 0 else ()
    return ("setpriv", "--pdeathsig", "KILL", *rights, "--", *command)


def program(name: str) -> str:
    """The newest of Debian's PostgreSQL binaries of this name, which are not in PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    path = str(found[-1]) if found else shutil.which(name)
    if not path:
        raise RuntimeError(f"TEST_DATABASE=postgres needs PostgreSQL's {name}: apt-get install postgresql")
    return path
