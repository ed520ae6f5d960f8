"""The body of an error for programs, by RFC 9457, and the id by which the log and a caller name one request.

Below /v1/ it is one for OpenAI's clients as well, which read ``error`` as an object.
"""

from __future__ import annotations

import re
import uuid
from http import HTTPStatus
from typing import Any

PROBLEM_TYPE = "application/problem+json"
OPENAI_PATHS = "/v1/"
OPENAI_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# What a proxy or a client may choose itself; anything else is replaced.
GIVEN_ID = re.compile(r"[\w.-]{8,64}", re.ASCII)


def problem(status: int, detail: str, request_id: str, **more: Any) -> dict[str, Any]:
    """Return the body of an error for programs: a problem by RFC 9457 with the request's id.

    ``error`` repeats the sentence for clients that are older than these bodies.
    """
    title = HTTPStatus(status).phrase
    fields = {"type": "about:blank", "title": title, "status": status, "detail": detail, "error": detail}
    return {**fields, "request_id": request_id, **more}


def problem_at(path: str, status: int, detail: str, request_id: str, **more: Any) -> dict[str, Any]:
    """Return the body of an error for this path; below /v1/ ``error`` is the object that OpenAI's clients read."""
    if path.startswith(OPENAI_PATHS):
        more["error"] = openai_error(status, detail)
    return problem(status, detail, request_id, **more)


def openai_error(status: int, message: str, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return the object that OpenAI's clients expect in the field ``error``."""
    kind = OPENAI_KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"message": message, "type": kind, "param": param, "code": code}


def id_of_request(given: str) -> str:
    """Return the id that a request came with, or a new one."""
    return given if GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
