"""Rows as lines of JSON, the same for every database. In: models. Out: lines; lines -> rows with their ids.

What can be made again is left out: sessions, failed logins, permissions and content types, which ``migrate`` makes.
Times are kept to the millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from django.apps import apps
from django.core import serializers
from django.core.management.color import no_style
from django.db import connection, connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model

APPS = ("auth", "admin", "ingestion", "search")
MADE_BY_MIGRATE = ("auth.permission",)
SNAPSHOT = "snapshot"  # the alias of DATABASES
ROWS_AT_ONCE = 500


def models() -> list[type[Model]]:
    """Return the models whose rows are saved, each after those that it refers to."""
    found = serializers.sort_dependencies([(apps.get_app_config(label), None) for label in APPS], allow_cycles=True)
    return [model for model in found if model._meta.label_lower not in MADE_BY_MIGRATE]


def migrations() -> dict[str, str]:
    """Return the last migration applied of each application."""
    applied = sorted(MigrationRecorder(connection).applied_migrations())
    return {app: name for app, name in applied if app in APPS}


@contextmanager
def snapshot() -> Iterator[str]:
    """Yield the alias of a connection that sees all rows as they are now, whatever is written meanwhile.

    Nobody waits for it: SQLite's log and PostgreSQL's versions keep what it reads.
    """
    try:
        with transaction.atomic(using=SNAPSHOT):
            yield SNAPSHOT
    finally:
        connections[SNAPSHOT].close()


def dump(model: type[Model], using: str, stream: Any) -> int:
    """Write the rows of a model to ``stream`` and return how many."""
    rows = model._default_manager.using(using).order_by("pk")
    found = rows.count()
    serializers.serialize(
        "jsonl",
        rows.iterator(chunk_size=ROWS_AT_ONCE),
        stream=stream,
        use_natural_foreign_keys=True,
        ensure_ascii=False,
    )
    return found


def load(stream: IO[bytes]) -> Iterator[None]:
    """Create the rows that a stream holds, with their ids and times, and yield after each."""
    for row in serializers.deserialize("jsonl", stream, ignorenonexistent=False):
        row.save(force_insert=True)
        yield


def is_filled() -> bool:
    """Return whether there is anything that a restore would replace."""
    return any(model._default_manager.exists() for model in models())


def empty(wanted: Iterable[type[Model]]) -> None:
    """Delete all rows of these models, and of the tables that join them."""
    tables = [
        table
        for model in wanted
        for table in (model._meta.db_table, *(field.m2m_db_table() for field in model._meta.local_many_to_many))
    ]
    statements = connection.ops.sql_flush(no_style(), tables, reset_sequences=True, allow_cascade=True)
    connection.ops.execute_sql_flush(statements)


def continue_ids(wanted: Iterable[type[Model]]) -> None:
    """Let new rows of these models have ids after those that were loaded."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), list(wanted)):
            cursor.execute(statement)
