"""What routes raise → problems (RFC 9457), whose sentences name no internals."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from search.api.errors import problem_response
from search.exceptions import FAILURES, headers_of, public_message, status_of

logger = logging.getLogger(__name__)

UNREADABLE = "The request cannot be read as /api/v1/openapi.json describes it."
# A list with a thousand wrong items has a thousand errors.
MOST_ERRORS = 20


def handle_failures(api: NinjaAPI) -> None:
    """Let the API answer with problems whatever its routes raise."""
    for kind in FAILURES:
        api.add_exception_handler(kind, failed)
    api.add_exception_handler(ValidationError, invalid)
    api.add_exception_handler(HttpError, refused)
    api.add_exception_handler(Http404, missing)
    api.add_exception_handler(ObjectDoesNotExist, gone)
    api.add_exception_handler(Exception, unexpected)


def failed(request: HttpRequest, error: Any) -> HttpResponse:
    """Return a problem for a failure that is no bug, such as a refused question or a missing service."""
    status = status_of(error)
    if status >= 500:
        logger.warning("request %s was not answered: %s", getattr(request, "request_id", ""), error)
    return problem_response(request, status, public_message(error), headers_of(error))


def invalid(request: HttpRequest, error: Any) -> HttpResponse:
    """Return a problem with status 422 that names the fields which do not have the described form."""
    named = error.errors[:MOST_ERRORS]
    errors = [{"field": ".".join(map(str, each["loc"])), "detail": each["msg"]} for each in named]
    return problem_response(request, 422, UNREADABLE, errors=errors)


def refused(request: HttpRequest, error: Any) -> HttpResponse:
    """Return a problem for a body that cannot be read as JSON."""
    return problem_response(request, error.status_code, "The body cannot be read as JSON.")


def missing(request: HttpRequest, error: Any) -> HttpResponse:
    """Return a problem with status 404 for a thing that does not exist, or that the caller may not see."""
    return problem_response(request, 404, str(error) or "There is nothing here.")


def gone(request: HttpRequest, error: Any) -> HttpResponse:
    """Return a problem with status 404 for a thing that was deleted while the request was handled."""
    return problem_response(request, 404, "This has just been deleted.")


def unexpected(request: HttpRequest, error: Any) -> HttpResponse:
    """Raise the error again, so that Django logs it and the middleware answers with a problem."""
    raise error
