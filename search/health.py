"""Which of the services behind the site answer. In: nothing. Out: the names of those that do not."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, connection
from redis import Redis, RedisError

from ingestion.exceptions import PermanentError, VectorStoreUnavailable
from ingestion.models import Collection
from ragproject.deaths import unsteady_processes

PROBE_SECONDS = 3.0


def missing_services() -> list[str]:
    """Names of what does not answer, in a fixed order, and of processes of the embedded stack that end again and again;
    no addresses and no error texts."""
    probes: dict[str, Callable[[], bool]] = {
        "database": database_answers,
        "redis": redis_answers,
        "milvus": milvus_answers,
    }
    silent = [name for name, answers in probes.items() if not answers()]
    return silent + [each.name for each in unsteady_processes(settings.DATA_DIR) if each.name not in silent]


def database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone())
    except DatabaseError:
        return False


def redis_answers() -> bool:
    client = Redis.from_url(settings.REDIS_URL, socket_connect_timeout=PROBE_SECONDS, socket_timeout=PROBE_SECONDS)
    try:
        return bool(client.ping())
    except RedisError:
        return False
    finally:
        client.close()


def milvus_answers() -> bool:
    """A real query on the collection that is searched; before there is one, any answer will do."""
    from ingestion.vector_store import open_store

    try:
        collection = Collection.objects.searched()
    except DatabaseError:
        collection = None
    try:
        if collection is None:
            open_store(settings.MILVUS_COLLECTION, settings.EMBED_DIMENSION).exists()
        else:
            open_store(collection.name, collection.dimension).existing(["readiness"])
    except (VectorStoreUnavailable, PermanentError):
        return False
    return True
