"""Any error -> the fault of the surroundings behind it: a full disk, a database that stores nothing, a missing model.

In: an error of a step of the pipeline, with what caused it. Out: an ``EnvironmentFault`` whose words are for a person,
or None when the document or the code is at fault. ``persistently`` repeats a write that such a fault prevents.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, close_old_connections

from ingestion.exceptions import DatabaseUnavailable, EnvironmentFault, MachineExhausted

T = TypeVar("T")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
# SQLite's names of errors begin like this; PostgreSQL's codes are of a lost connection, of lacking resources, of a
# server that is stopped or starts, and of its own disk.
SQLITE = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN")
POSTGRES = ("08", "53", "57P0", "58")
# A worker that cannot note how an attempt ended has nothing better to do than to wait. Below PAGE_TIME_LIMIT_SECONDS;
# after it, the row's lease brings the document back.
PATIENCE_SECONDS, PAUSE_SECONDS = 60.0, 1.0


def fault_behind(error: BaseException | None) -> EnvironmentFault | None:
    """Return the fault of the surroundings that an error comes from; None when it has another cause."""
    while error is not None:
        if isinstance(error, EnvironmentFault):
            return error
        if isinstance(error, OSError) and error.errno in FULL:
            where = f" at {error.filename}" if error.filename else ""
            return MachineExhausted(
                f"The machine has no room{where} ({error.strerror}). Make room or raise its limits; the work goes on "
                "by itself."
            )
        if _is_of_the_database(error):
            return DatabaseUnavailable(
                f"The database does not take what is written ({str(error).strip()}). Look at its disk and its log; the "
                "work goes on by itself when it does."
            )
        error = error.__cause__ or error.__context__
    return None


def persistently(write: Callable[[], T]) -> T:
    """Return what a write to the database returns, and repeat it for a minute while the surroundings prevent it."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return write()
        except DatabaseError as error:
            if fault_behind(error) is None or time.monotonic() > until:
                raise
        close_old_connections()
        time.sleep(PAUSE_SECONDS)


def _is_of_the_database(error: BaseException) -> bool:
    """Return whether SQLite or PostgreSQL says that nothing can be stored, rather than what is wrong with a query."""
    if getattr(error, "sqlite_errorname", "").startswith(SQLITE):
        return True
    code = getattr(error, "sqlstate", "")
    # psycopg has no code for a server that it cannot reach.
    return code.startswith(POSTGRES) if code else code is None and type(error).__name__ == "OperationalError"
