"""JSON over HTTP at fixed addresses: /api/search, /api/ask (server-sent events), /api/sources, /healthz, /readyz.

The first three are the routes of ``v1`` as they were before there was one: they read the same fields and answer with
the same functions. What fails before an answer begins has a status and a problem; later failures are events in the
stream. ``api.errors`` answers for errors that no view here makes.
"""

from __future__ import annotations

from dataclasses import asdict

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from ragproject.embedded.preflight import OLD_TABLES
from search.access.caller import ASK, SEARCH
from search.api.health import MIGRATIONS, missing_services
from search.api.v1.door import Door
from search.api.v1.failures import failed
from search.api.v1.questions import asked, searched
from search.catalogue import indexed_sources
from search.exceptions import FAILURES
from search.forms import body_of


@csrf_exempt
@require_safe
@never_cache
async def search(request: HttpRequest) -> HttpResponse:
    """Answer ``?q=`` with passages, best first."""
    try:
        return await searched(await Door(SEARCH)(request), request.GET)
    except FAILURES as error:
        return failed(request, error)


@csrf_exempt
@require_POST
async def ask(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Answer a question with a stream of events; see ``events``."""
    try:
        return await asked(await Door(ASK)(request), body_of(request), streams=True)
    except FAILURES as error:
        return failed(request, error)


@csrf_exempt
@require_safe
@never_cache
async def sources(request: HttpRequest) -> HttpResponse:
    """List every source with the documents and chunks that can be found in it."""
    try:
        caller = await Door(SEARCH)(request)
    except FAILURES as error:
        return failed(request, error)
    found = await sync_to_async(indexed_sources)(caller)
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
        silent = ", ".join(name for name in missing if name != MIGRATIONS)
        silence = f"These services do not answer as they should: {silent}. `manage.py doctor` says why."
        error = silence if silent else OLD_TABLES
        return JsonResponse({"status": "unavailable", "missing": missing, "error": error}, status=503)
    return JsonResponse({"status": "ok"})
