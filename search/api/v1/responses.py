"""What a route's answers look like, for the OpenAPI document: its own, and the problems that every route may have."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from ragproject.problems import PROBLEM_TYPE
from search.access.caller import ADMIN

NO_STORE = {"Cache-Control": "no-store"}
# A key that does not count, a scope that it lacks, too many open requests, fields that are not as described.
ALWAYS = (401, 403, 422, 429, 503)
PROBLEM = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def documented(
    out: Any, *problems: int, door: str, status: int = 200, also: str = "", unchanged: bool = False
) -> dict[str, Any]:
    """Return ninja's arguments for a route that answers with ``out`` or a problem of these statuses.

    ``also`` is another media type in which the same answer comes; ``unchanged`` says that it may be a 304. Doors for
    readers may also be passed without a key.
    """
    extra: dict[str, Any] = {
        "responses": {
            code: {"description": HTTPStatus(code).phrase, "content": PROBLEM} for code in sorted({*ALWAYS, *problems})
        }
    }
    if also:
        extra["responses"][status] = {"content": {also: {"schema": {}}}}
    if unchanged:
        extra["responses"][304] = {"description": "The caller has it already."}
    if door != ADMIN:
        extra["security"] = [{}]
    return {"response": {status: out}, "openapi_extra": extra}
