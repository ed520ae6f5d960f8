"""The widget that other sites put on their pages with one script tag, its answers, and a page that shows it.

Answers go to the pages of WIDGET_ORIGINS and to our own; a browser lets no other page read them, and the request of
another page is refused before anything is searched. Nothing about the reader is kept: the widget sends no cookies, and
its answers are stored for statistics alone.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.templatetags.static import static
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from search.access.admission import admit_request
from search.access.caller import ASK
from search.answering.keeping import Recording, kept_answer
from search.api.errors import problem_response
from search.api.v1.failures import failed
from search.exceptions import FAILURES
from search.forms import body_of, read_question
from search.origins import from_another_site, widget_origin
from search.pages.ask import streamed
from search.pages.views import results
from search.timings import Timings

View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponseBase]]
# How long a browser may remember that it may ask.
PREFLIGHT_SECONDS = "3600"


def for_allowed_sites(view: View) -> View:
    """Answer the pages of WIDGET_ORIGINS and our own, preflights included; refuse others."""

    @wraps(view)
    async def answering(request: HttpRequest) -> HttpResponseBase:
        """Return the view's response, with the headers that let a page of WIDGET_ORIGINS read it and with Vary: Origin.

        A preflight gets an empty 204, another site's page 403, both without the view.
        """
        origin = widget_origin(request)
        if not origin and from_another_site(request):
            sentence = "This site may not hold the widget; its operator can name it in WIDGET_ORIGINS."
            return problem_response(request, 403, sentence)
        response = HttpResponse(status=204) if request.method == "OPTIONS" else await view(request)
        patch_vary_headers(response, ["Origin"])
        if origin:
            response["Access-Control-Allow-Origin"] = origin
            response["Access-Control-Allow-Headers"] = "Content-Type"
            response["Access-Control-Allow-Methods"] = "GET, POST"
            response["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
        return response

    return answering


@csrf_exempt  # cookies mean nothing here
@require_http_methods(["POST", "OPTIONS"])
@for_allowed_sites
async def ask(request: HttpRequest) -> HttpResponseBase:
    """Answer a question of the widget with the events of the page."""
    timings = Timings()
    try:
        with timings.stage("parse"):
            caller = await admit_request(request, "page", ASK)
            question = read_question(body_of(request), caller, limit=settings.ANSWER_PASSAGES)
        return await streamed(kept_answer(question, timings, Recording("", question.text, told=False)))
    except FAILURES as error:
        return failed(request, error)


@require_http_methods(["GET", "HEAD", "OPTIONS"])
@for_allowed_sites
async def found(request: HttpRequest) -> HttpResponseBase:
    """Show what is found, as a part of the widget."""
    return await results(request)


@require_safe
@never_cache
async def demo(request: HttpRequest) -> HttpResponse:
    """Show the widget, and the script tag that puts it on a page."""
    address = request.build_absolute_uri(static("search/widget.js"))
    return render(request, "search/widget.html", {"script": address, "origins": settings.WIDGET_ORIGINS})
