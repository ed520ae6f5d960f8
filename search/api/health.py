"""Which of the services behind the site do not answer, or have not what it needs. In: nothing. Out: their names.

Each is asked in a thread of its own and has PROBE_SECONDS. A probe that hangs longer counts as no answer: the caller
gets its reply in time, whatever the service's client is waiting for.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

from django.conf import settings
from django.db import DatabaseError, connection
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from ingestion.exceptions import PermanentError, VectorStoreUnavailable
from ingestion.models import Collection
from ragproject.embedded.preflight import tables_are_current
from ragproject.embedded.restarts import unstable_processes

PROBE_SECONDS = 1.0
# A probe that hangs keeps its thread; a service with this many is not asked again until one is free.
THREADS_PER_SERVICE = 2
MIGRATIONS = "migrations"


def missing_services() -> list[str]:
    """Return the names of the services that do not answer, in a fixed order, without addresses and error texts.

    Processes of the embedded stack that end again and again are among them, and MIGRATIONS where tables are missing.
    """
    probes: dict[str, Future[bool]] = {name: _threads[name].submit(finished, probe) for name, probe in PROBES.items()}
    wait(probes.values(), PROBE_SECONDS)
    silent = [name for name, probe in probes.items() if not (probe.done() and probe.result())]
    if "database" in silent and MIGRATIONS in silent:
        silent.remove(MIGRATIONS)
    return silent + [each.name for each in unstable_processes(settings.DATA_DIR) if each.name not in silent]


def finished(probe: Callable[[], bool]) -> bool:
    """Run a probe, then give back the thread's connection to the database."""
    try:
        return probe()
    finally:
        connection.close()


def database_answers() -> bool:
    """Return whether the database runs a statement."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone())
    except DatabaseError:
        return False


def is_migrated() -> bool:
    """Return whether the database answers and has this version's tables."""
    with suppress(DatabaseError):
        return tables_are_current()
    return False


def redis_answers() -> bool:
    """Return whether Redis answers a ping within PROBE_SECONDS, without a second try."""
    client = Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=PROBE_SECONDS,
        socket_timeout=PROBE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        return bool(client.ping())
    except RedisError:
        return False
    finally:
        client.close()


def milvus_answers() -> bool:
    """Return whether Milvus queries the collection that is searched; before there is one, any answer will do."""
    from ingestion.vector_store.store import open_store, require_answer

    try:
        collection = Collection.objects.searched()
    except DatabaseError:
        collection = None
    try:
        if collection is None:
            require_answer(PROBE_SECONDS)
        else:
            store = open_store(collection.name, collection.dimension, PROBE_SECONDS)
            store.verify()
            store.existing(["readiness"])
    except (VectorStoreUnavailable, PermanentError):
        return False
    return True


PROBES: dict[str, Callable[[], bool]] = {
    "database": database_answers,
    "redis": redis_answers,
    "milvus": milvus_answers,
    MIGRATIONS: is_migrated,
}
_threads = {name: ThreadPoolExecutor(THREADS_PER_SERVICE, f"probe-{name}") for name in PROBES}
