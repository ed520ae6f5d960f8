"""The data folder of the embedded stack: private, and every file of state usable before anything starts.

``prepare`` raises ``StackError`` with the file and what to do. ``set_aside_*`` are called before a server starts: a
file that it cannot read is renamed, because everything in it can be made again from the database.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

from ragproject.embedded.console import Console
from ragproject.embedded.preflight import StackError

PRIVATE = 0o700
OPEN_TO_OTHERS = 0o077
# The files and folders that the stack and its servers write.
STATE = (
    *("up.lock", "processes.json", "db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm", "milvus.db", "models", "uploads"),
    *("archives", "redis", "redis/redis.conf", "redis/appendonly.aof"),
)
CHECK_SECONDS = 60.0


def prepare(folder: Path, console: Console) -> None:
    """Make the folder private and check that its files can be used. Everything written from now on is private too.

    Raises StackError where the folder, or a file in it, cannot be used.
    """
    os.umask(OPEN_TO_OTHERS)
    try:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        # The rights of other users go: that closes everything below the folder.
        found = folder.stat()
        if found.st_mode & OPEN_TO_OTHERS and found.st_uid == os.geteuid():
            folder.chmod(stat.S_IMODE(found.st_mode) & ~OPEN_TO_OTHERS)
            console.line("up", f"{folder} was open to other users; now it is yours alone")
        elif found.st_mode & OPEN_TO_OTHERS:
            console.line("up", f"WARNING: {folder} belongs to {owner(folder)} and is open to other users")
    except OSError as error:
        why = f"{folder} cannot be used ({error.strerror}); set DATA_DIR to a folder of your own."
        raise StackError(why) from error
    require_access(folder)


def require_access(folder: Path) -> None:
    """Raise StackError where a file of the stack's state cannot be read and written by this user."""
    for path in (folder, *(folder / name for name in STATE)):
        needed = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
        if path.exists() and not os.access(path, needed):
            raise StackError(
                f"{path} cannot be read and written by this user (it belongs to {owner(path)}): give it back with "
                "chown and chmod u+rw, or move it away."
            )


def owner(path: Path) -> str:
    """Return the name of the user whom the file belongs to, or the number of one without a name."""
    with suppress(KeyError):
        return path.owner()
    return f"user {path.stat().st_uid}"


def require_rows(path: Path) -> None:
    """Raise StackError for an empty file in the database's place: with new tables the index would be emptied, too."""
    if path.exists() and not path.stat().st_size:
        raise StackError(f"The database {path} is empty. Put a backup in its place, or delete the file to start anew.")


def set_aside_milvus(path: Path) -> str:
    """Rename Milvus Lite's file where SQLite cannot read it. Return a sentence that says so; empty when it is kept."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # not there, or in use: nothing is known of its content
        return ""
    except sqlite3.DatabaseError as error:
        found = str(error)
    return "" if found == "ok" else set_aside(path, "every chunk is embedded again")


def set_aside_redis(path: Path, binary: Path) -> str:
    """Rename Redis' file where Redis' own check refuses it. Return a sentence that says so; empty when it is kept."""
    if not path.exists():
        return ""
    # The server's binary runs as the check when it is called by that name.
    command = ["redis-check-aof", str(path)]
    check = subprocess.run(  # noqa: S603
        command, executable=binary, capture_output=True, timeout=CHECK_SECONDS, check=False
    )
    return set_aside(path, "the work that was queued is handed out again") if check.returncode else ""


def set_aside(path: Path, consequence: str) -> str:
    """Rename a damaged file and return a sentence with its new name and the consequence."""
    kept = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    path.rename(kept)
    return f"{path} is damaged and was renamed to {kept.name}; {consequence}"
