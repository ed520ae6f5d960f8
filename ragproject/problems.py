"""The body of an error for programs, by RFC 9457, and the id by which the log and a caller name one request."""

from __future__ import annotations

import re
import uuid
from http import HTTPStatus
from typing import Any

PROBLEM_TYPE = "application/problem+json"
# What a proxy or a client may choose itself; anything else is replaced.
GIVEN_ID = re.compile(r"[\w.-]{8,64}", re.ASCII)


def problem(status: int, detail: str, request_id: str, **more: Any) -> dict[str, Any]:
    """Return the body. ``error`` repeats the sentence for clients that are older than these bodies."""
    title = HTTPStatus(status).phrase
    fields = {"type": "about:blank", "title": title, "status": status, "detail": detail, "error": detail}
    return {**fields, "request_id": request_id, **more}


def id_of_request(given: str) -> str:
    """Return the id that a request came with, or a new one."""
    return given if GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
