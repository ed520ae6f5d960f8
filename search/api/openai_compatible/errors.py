"""Failures → responses in the form that OpenAI's clients read: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from ragproject.problems import openai_error
from search.exceptions import FAILURES, headers_of, public_message, status_of
from search.origins import from_another_site

logger = logging.getLogger(__name__)

CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


class RequestRefused(Exception):
    """A request that its sender can correct; ``param`` names the field, ``code`` is OpenAI's word where it has one."""

    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.headers = status, param, code, dict(headers or {})


def endpoint(method: str = "") -> Callable[[View], View]:
    """Return a decorator that makes an asynchronous view answer failures in the form of OpenAI's API.

    It refuses other methods than ``method``, if one is given, and pages of other sites that send no key.
    """

    def decorate(view: View) -> View:
        """Return the view with its failures answered in OpenAI's form, without CSRF tokens and never cached."""

        @csrf_exempt
        @never_cache
        @wraps(view)
        async def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            """Return the view's response, or an error in OpenAI's form for a request that is refused or fails.

            Other methods than ``method`` are refused with 405, and pages of other sites without a key with 403. An
            exception of the view that is neither RequestRefused nor one of FAILURES is raised.
            """
            try:
                if method and request.method != method:
                    raise RequestRefused(f"Use {method} here.", 405, headers={"Allow": method})
                if "Authorization" not in request.headers and from_another_site(request):
                    raise RequestRefused("Pages of other sites may ask with a key only.", 403)
                return await view(request, *args, **kwargs)
            except (RequestRefused, *FAILURES) as error:
                return response_to(error)

        return answered

    return decorate


def response_to(error: Exception) -> JsonResponse:
    """Return the response to a request that failed before its answer began."""
    if isinstance(error, RequestRefused):
        return JsonResponse(error_body(error), status=error.status, headers=error.headers)
    status = status_of(error)
    if status >= 500:
        logger.warning("a request was not answered: %s", error)
    return JsonResponse(error_body(error), status=status, headers=headers_of(error))


def error_body(error: Exception) -> dict[str, Any]:
    """Return the body that says what went wrong."""
    if isinstance(error, RequestRefused):
        return {"error": openai_error(error.status, str(error), param=error.param, code=error.code)}
    status = status_of(error)
    return {"error": openai_error(status, public_message(error, with_passages=False), code=CODES.get(status))}
