"""Middleware: a request's id in every response, and errors for programs as problems (RFC 9457).

In: whatever the views and all other middleware answered, Django's own HTML pages for 400, 403, 404, 405 and 500
included. Out: the same status and headers; below /api/ and /v1/, and for /healthz and /readyz with its roles, with a
body that names no internals. What an exception was is in the log, where Django puts it. A HEAD is answered as a GET
without its body.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from ragproject.logs import keep_log_ids
from ragproject.problems import OPENAI_PATHS, PROBLEM_TYPE, id_of_request, problem_at
from ragproject.tracing import name_request

SENTENCES = {
    400: "The request cannot be read.",
    403: "This is not allowed.",
    404: "There is nothing here. /api/v1/docs lists the addresses of the API.",
    413: "The body is too large.",
    429: "Too many requests. Try again later.",
    500: "This site made a mistake. Its log says which.",
    503: "The site is not available at the moment. Try again in a minute.",
}
OTHERS = ("/api", "/healthz", "/readyz")
ID_HEADER = "X-Request-ID"


@sync_and_async_middleware
def problems(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Return the middleware that gives each request an id, and programs an error's JSON instead of an HTML page."""
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            """Return what the application answers, with the request's id; for programs an error is JSON (RFC 9457)."""
            method = prepare(request)
            return finished(request, method, await get_response(request))

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponseBase:
        """Return what the application answers, with the request's id; for programs an error is JSON (RFC 9457)."""
        method = prepare(request)
        return finished(request, method, get_response(request))

    return synchronous


def prepare(request: HttpRequest) -> str | None:
    """Give the request its id, turn a HEAD for programs into a GET, and return the method it came with."""
    method = request.method
    request.request_id = id_of_request(request.headers.get(ID_HEADER, ""))  # type: ignore[attr-defined]
    keep_log_ids(request=request.request_id)  # type: ignore[attr-defined]
    if method == "HEAD" and is_api(request.path):
        request.method = "GET"
    return method


def finished(request: HttpRequest, method: str | None, response: HttpResponseBase) -> HttpResponseBase:
    """Return the response with the request's id added.

    For programs an error becomes a problem (JSON by RFC 9457), and the answer to a HEAD loses its body.
    """
    if request.resolver_match:
        name_request(method or "", request.resolver_match.route)
    if is_api(request.path):
        request.method = method
        response = as_problem(request, response)
        if method == "HEAD" and response.streaming:
            response.close()
            response = HttpResponse(headers=dict(response.items()))
    response[ID_HEADER] = request.request_id  # type: ignore[attr-defined]
    return response


def as_problem(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return the response; one of an error without JSON gets a problem (JSON by RFC 9457) as its body."""
    status = response.status_code
    if status == 405 and "GET" in (allowed := [m.strip() for m in response.get("Allow", "").split(",")]):
        response["Allow"] = ", ".join(dict.fromkeys([*allowed, "HEAD"]))
    if status < 400 or "json" in response.get("Content-Type", ""):
        return response
    sentence = SENTENCES.get(status, f"The request failed: {response.reason_phrase}.")
    if status == 405:
        sentence = f"{request.method} is not possible here; use {response.get('Allow')}."
    kept = {name: value for name, value in response.items() if not name.lower().startswith("content-")}
    return problem_response(request, status, sentence, kept)


def problem_response(
    request: HttpRequest, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> HttpResponse:
    """Return a response whose body is a problem (JSON by RFC 9457) with the request's id and the fields in ``more``."""
    body = problem_at(request.path, status, detail, getattr(request, "request_id", ""), **more)
    shown = {"Cache-Control": "no-store", **(headers or {})}
    return HttpResponse(json.dumps(body), content_type=PROBLEM_TYPE, status=status, headers=shown)


def is_api(path: str) -> bool:
    """Return whether programs, not people, ask for the path."""
    return path.startswith(("/api/", "/readyz/", OPENAI_PATHS)) or path in OTHERS
