"""The pages: search with its answers, and our copy of a document that no browser can open.

``/`` works without JavaScript: ``?q=`` renders what was found on the server. ``/results`` is the same list alone, which
the page asks for while somebody types.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from search.access.admission import admit
from search.access.caller import SEARCH, Caller
from search.access.identify import identify
from search.answering import llm
from search.answering.answer import NOTHING_FOUND
from search.api.v1.failures import failed
from search.catalogue import overview, stored_document
from search.exceptions import FAILURES, AccessRefused, headers_of, public_message, status_of
from search.forms import read_question
from search.pages.results import by_page
from search.questions import is_web_address, other_texts
from search.retrieval.question_model import warm_up
from search.retrieval.retriever import retrieve_queued
from search.retrieval.versions import age
from search.timings import Timings

logger = logging.getLogger(__name__)

# Passages; some are of one section, which is shown once, and more than a screen shows is not read while typing.
RESULTS = 15


@require_safe
async def page(request: HttpRequest) -> HttpResponse:
    """Show the search page; with ``?q=`` also what was found."""
    try:
        caller = await sync_to_async(identify)(request, "page")
    except AccessRefused:
        return redirect_to_login(request.get_full_path())
    about = await sync_to_async(overview)(caller)
    if about.documents:
        await sync_to_async(warm_up)()
    shown: dict[str, Any] = {
        "overview": about,
        "stand_in": settings.EMBED_MODEL == settings.STAND_IN,
        "extractive": not llm.configured(),
        "question": request.GET.get("q", ""),
        "source": request.GET.get("source", ""),
        "version": request.GET.get("version", ""),
        "versions": sorted(about.versions, key=age, reverse=True),
        "max_chars": settings.QUESTION_MAX_CHARS,
        "sharing": settings.SHARED_ANSWERS,
    }
    status: int = HTTPStatus.OK
    headers: dict[str, str] = {}
    if "q" in request.GET:
        found, status, headers = await results_of(request, caller)
        shown |= found
    response = render(request, "search/page.html", shown, status=status)
    for name, value in headers.items():
        response[name] = value
    return response


@require_safe
@never_cache
async def results(request: HttpRequest) -> HttpResponse:
    """Show what is found, as a part of the page."""
    try:
        caller = await sync_to_async(identify)(request, "page")
    except AccessRefused as error:
        return failed(request, error)
    shown, status, headers = await results_of(request, caller)
    response = render(request, "search/results.html", shown, status=status)
    for name, value in headers.items():
        response[name] = value
    return response


async def results_of(request: HttpRequest, caller: Caller) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Return what the templates show of a search, and the response's status and headers."""
    timings = Timings()
    try:
        with timings.stage("parse"):
            await sync_to_async(admit)(caller, SEARCH)
            question = read_question(request.GET, caller, limit=RESULTS)
        passages = await retrieve_queued(question, timings)
    except FAILURES as error:
        logger.warning("a question was not answered: %s", error)
        return {"error": public_message(error)}, status_of(error), headers_of(error)
    nothing = "" if passages else NOTHING_FOUND
    shown = {"pages": by_page(passages, question.text), "searched": other_texts(passages), "nothing_found": nothing}
    return shown, HTTPStatus.OK, {}


@require_safe
async def document(request: HttpRequest, document_id: int) -> HttpResponse:
    """Show the text of one document, each chunk with an id that citations lead to."""
    try:
        caller = await sync_to_async(identify)(request, "page")
    except AccessRefused:
        return redirect_to_login(request.get_full_path())
    found = await sync_to_async(stored_document)(document_id, caller)
    if found is None:
        raise Http404("There is no such document in the index.")
    row, chunks = found
    original = row.url if is_web_address(row.url) else ""
    return render(request, "search/document.html", {"document": row, "chunks": chunks, "original": original})
