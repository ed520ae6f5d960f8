"""Lists in parts: ``?limit=&cursor=``, and the address of the next part in ``next``.

A cursor is the id of the last row, so that rows that come and go meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from ninja import Field, Path, Schema

Row = TypeVar("Row", bound=Model)
# The largest id that the databases hold.
MOST_ID = 2**63 - 1
Id = Annotated[int, Path(ge=1, le=MOST_ID)]


class Part(Schema):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=200, description="Rows at most.")
    cursor: int | None = Field(None, ge=0, le=MOST_ID, description="Where the part before ended; see `next`.")


def part_of(
    request: HttpRequest,
    rows: QuerySet[Row],
    part: Part,
    name: str,
    show: Callable[[Row], Any],
    *,
    newest: bool = False,
) -> dict[str, Any]:
    """Return one page of the rows, ordered by id, and the address of the next page; both as JSON's fields.

    The rows stand under ``name``, each as ``show`` returns it. Runs queries.
    """
    if part.cursor is not None:
        rows = rows.filter(**{"pk__lt" if newest else "pk__gt": part.cursor})
    found = list(rows.order_by("-pk" if newest else "pk")[: part.limit + 1])
    more, found = len(found) > part.limit, found[: part.limit]
    query = request.GET.copy()
    query["cursor"] = str(found[-1].pk) if found else ""
    return {name: [show(row) for row in found], "next": f"{request.path}?{query.urlencode()}" if more else None}
