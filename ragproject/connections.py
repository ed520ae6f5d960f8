"""A web process's connections to PostgreSQL: a bounded number that its requests share.

``share`` is called once, before the first query of a process that serves pages; others query in one thread. A request
has a connection from its first query on, and gives it back with ``give_back`` where it begins to wait: for its turn, or
for a language model's words. A thread that works for one request after the other has ``release`` called after each.
With SQLite a connection is an open file, and each request and each such thread has one of its own.
"""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections


def share() -> None:
    """Change the settings so that this process's threads share a pool of DATABASE_CONNECTIONS connections.

    Nothing is changed for SQLite.
    """
    if settings.IS_SQLITE:
        return
    database = settings.DATABASES["default"]
    database["CONN_HEALTH_CHECKS"] = True  # a server that was started again has closed those that are kept
    database["OPTIONS"] = {
        **database.get("OPTIONS", {}),
        "pool": {
            "min_size": 0,
            "max_size": settings.DATABASE_CONNECTIONS,
            "timeout": settings.SERVICE_TIMEOUT_SECONDS,
        },
    }


async def give_back() -> None:
    """Give this request's database connection back to the pool, or close it; the next query opens another.

    One within a transaction stays open.
    """
    await sync_to_async(close_connections)()


def close_connections() -> None:
    """Close this thread's connections that are not in a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


def release() -> None:
    """Give this thread's connections back to the pool; close files only after an error.

    To open a file of SQLite takes 1 ms, longer than most queries.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block and (connection.errors_occurred or not settings.IS_SQLITE):
            connection.close()
