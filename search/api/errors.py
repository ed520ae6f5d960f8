"""Middleware: every error below /api/, and of /healthz and /readyz with its roles, is ``{"error": sentence}``.

In: whatever the views and all other middleware answered, Django's own HTML pages for 400, 403, 404, 405 and 500
included. Out: the same status and headers, with a sentence that names no internals. What an exception was is in the
log, where Django puts it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

SENTENCES = {
    400: "The request cannot be read.",
    403: "This is not allowed.",
    404: "There is nothing here. The README lists the addresses of the API.",
    413: "The body is too large.",
    429: "Too many requests. Try again later.",
    500: "This site made a mistake. Its log says which.",
    503: "The site is not available at the moment. Try again in a minute.",
}
OTHERS = ("/api", "/healthz", "/readyz")


@sync_and_async_middleware
def json_errors(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Replace an error's HTML page by JSON where programs ask."""
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            return with_json_error(request, await get_response(request))

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponseBase:
        return with_json_error(request, get_response(request))

    return synchronous


def with_json_error(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return the response, or its status and headers with a JSON body where it is an error that is not JSON yet."""
    status = response.status_code
    if status < 400 or not is_api(request.path) or response.get("Content-Type", "").startswith("application/json"):
        return response
    sentence = SENTENCES.get(status, f"The request failed: {response.reason_phrase}.")
    if status == 405:
        sentence = f"{request.method} is not possible here; use {response.get('Allow')}."
    kept = {name: value for name, value in response.items() if not name.lower().startswith("content-")}
    return JsonResponse({"error": sentence}, status=status, headers=kept)


def is_api(path: str) -> bool:
    """Return whether programs, not people, ask for the path."""
    return path.startswith(("/api/", "/readyz/")) or path in OTHERS
