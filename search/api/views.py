"""JSON over HTTP: /api/search, /api/ask (server-sent events), /api/sources, /healthz, /readyz.

Errors are ``{"error": sentence}`` with 400 for what the caller can mend and 503 for what time or the operator can.
What fails before an answer begins has a status; later failures are events in the stream. ``api.errors`` answers for
errors that no view here makes. Cookies mean nothing here, so that a program needs no CSRF token.
"""

from __future__ import annotations

import logging
from dataclasses import asdict

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from ragproject.clients import client_of
from search.answering.answer import answer
from search.api.events import event_stream, first_event
from search.api.health import missing_services
from search.catalogue import indexed_sources
from search.exceptions import FAILURES, headers_of, public_message, status_of
from search.forms import body_of, read_question
from search.origins import from_another_site
from search.retrieval.retriever import retrieve_queued
from search.timings import Timings

logger = logging.getLogger(__name__)

SEARCH_LIMIT = 10


@csrf_exempt
@require_safe
@never_cache
async def search(request: HttpRequest) -> JsonResponse:
    """Answer ``?q=`` with passages, best first."""
    timings = Timings()
    try:
        with timings.stage("parse"):
            question = read_question(request.GET, limit=SEARCH_LIMIT)
        passages = await retrieve_queued(question, timings, client_of(request))
    except FAILURES as error:
        return failure(error)
    found = [p.as_citation(number) for number, p in enumerate(passages, 1)]
    return JsonResponse({"passages": found, "timings": timings.milliseconds()})


@csrf_exempt
@require_POST
async def ask(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Answer a question with a stream of events; see ``events``."""
    if from_another_site(request):
        return JsonResponse({"error": "Browsers may ask from this site's own pages only."}, status=403)
    timings = Timings()
    try:
        with timings.stage("parse"):
            question = read_question(body_of(request), limit=settings.ANSWER_PASSAGES)
        events = answer(question, timings, client_of(request))
        first = await first_event(events)
    except FAILURES as error:
        return failure(error)
    response = StreamingHttpResponse(event_stream(events, first), content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # nginx would hold the tokens back otherwise
    return response


@csrf_exempt
@require_safe
@never_cache
async def sources(request: HttpRequest) -> JsonResponse:
    """List every source with the documents and chunks that can be found in it."""
    found = await sync_to_async(indexed_sources)()
    return JsonResponse({"sources": [asdict(source) for source in found]})


@csrf_exempt
@require_safe
@never_cache
async def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as the process lives."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_safe
@never_cache
async def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when every service that answers and new documents need is there, else 503 with those that are not."""
    missing = await sync_to_async(missing_services, thread_sensitive=False)()  # not behind a question
    if missing:
        error = f"These services do not answer: {', '.join(missing)}."
        return JsonResponse({"status": "unavailable", "missing": missing, "error": error}, status=503)
    return JsonResponse({"status": "ok"})


def failure(error: Exception) -> JsonResponse:
    """Return the response to a question that failed before its answer began."""
    status = status_of(error)
    if status >= 500:
        logger.warning("a question was not answered: %s", error)
    return JsonResponse({"error": public_message(error)}, status=status, headers=headers_of(error))
