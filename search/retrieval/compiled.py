"""Queries that every search asks: their SQL is made by the ORM once, and run as it is from then on.

To make the SQL takes the ORM two to ten times as long as SQLite takes to answer. Values come as the database's driver
has them: texts and numbers as a model has them, not SQLite's dates and truth values.
"""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import QuerySet

Statement = tuple[str, tuple[Any, ...]]


def compiled(query: QuerySet[Any, Any]) -> Statement:
    """Return a query's SQL and its parameters, in the order of the query's conditions."""
    sql, parameters = query.query.sql_with_params()
    return sql, tuple(parameters)


def rows_of(statement: Statement) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(*statement)
        return list(cursor.fetchall())
