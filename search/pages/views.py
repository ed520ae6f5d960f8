"""The pages: the question and its answer, and our copy of a document that no browser can open.

``/`` works without JavaScript: ``?q=`` renders the extractive answer's passages on the server.
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
from django.views.decorators.http import require_safe

from search.access.admission import admit
from search.access.caller import SEARCH
from search.access.identify import identify
from search.answering import llm
from search.answering.answer import EXTRACTIVE_NOTICE, NOTHING_FOUND
from search.catalogue import overview, stored_document
from search.exceptions import FAILURES, AccessRefused, headers_of, public_message, status_of
from search.forms import read_question
from search.retrieval.retriever import retrieve_queued, warm_up
from search.timings import Timings

logger = logging.getLogger(__name__)


@require_safe
async def page(request: HttpRequest) -> HttpResponse:
    """Show the question page; with ``?q=`` also what was found."""
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
        "extractive_notice": EXTRACTIVE_NOTICE,
        "question": request.GET.get("q", ""),
        "source": request.GET.get("source", ""),
        "max_chars": settings.QUESTION_MAX_CHARS,
    }
    status: int = HTTPStatus.OK
    headers: dict[str, str] = {}
    if "q" in request.GET:
        timings = Timings()
        try:
            with timings.stage("parse"):
                await sync_to_async(admit)(caller, SEARCH)
                question = read_question(request.GET, caller, limit=settings.ANSWER_PASSAGES)
            passages = await retrieve_queued(question, timings)
        except FAILURES as error:
            logger.warning("a question was not answered: %s", error)
            status, headers = status_of(error), headers_of(error)
            shown["error"] = public_message(error)
        else:
            shown["results"] = [passage.as_citation(number) for number, passage in enumerate(passages, 1)]
            shown["timings"] = timings.milliseconds()
            shown["nothing_found"] = "" if passages else NOTHING_FOUND
    response = render(request, "search/page.html", shown, status=status)
    for name, value in headers.items():
        response[name] = value
    return response


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
    original = row.url if row.url.startswith(("http://", "https://")) else ""
    return render(request, "search/document.html", {"document": row, "chunks": chunks, "original": original})
