"""Stored answers: shown again to their reader, shared by a link, rated, forgotten.

A reader's answers are those of the browser's session that asked; others have 404 for them. A link is the answer's own
name, which nobody can guess; it works from when the reader shares it until the reader or staff delete it. What changes
something is taken from this site's own pages alone (``origins``), and changes rows that the reader's own questions
made, so that it adds nothing to what a client can store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from search.access.identify import identify
from search.answering import feedback
from search.answering.keeping import events_of, passages_of
from search.api.errors import problem_response
from search.api.v1.failures import failed
from search.catalogue import may_see, with_visible_copies
from search.exceptions import AccessRefused, QuestionRefused
from search.forms import body_of
from search.models import StoredAnswer
from search.origins import from_another_site
from search.pages.answer_html import answer_html
from search.pages.readers import known_reader
from search.pages.results import markdown_with_sources, numbered
from search.questions import Passage


@require_safe
@never_cache
async def mine(request: HttpRequest, key: str) -> JsonResponse:
    """Return one of the reader's answers, for a page that was loaded again."""
    stored = await own_answer(request, key)
    passages = await sync_to_async(shown_passages)(request, stored)
    return JsonResponse(
        {
            "question": stored.question,
            "source": stored.source,
            "version": stored.version,
            "mode": stored.mode,
            "at": stored.created_at.isoformat(),
            "rating": stored.rating,
            "shared": link_to(request, stored) if stored.shared_at and settings.SHARED_ANSWERS else "",
            "markdown": markdown_with_sources(stored.markdown, passages),
            "html": answer_html(events_of(stored), extracts=stored.mode == "extractive"),
            "count": len(passages),
            "passages": render_to_string("search/sources.html", {"sources": numbered(passages)}),
        }
    )


@require_safe
@never_cache
async def shared(request: HttpRequest, key: str) -> HttpResponse:
    """Show an answer that was shared, with its passages as they were."""
    stored = await StoredAnswer.objects.shared().filter(key=key).afirst()
    if stored is None or not await sync_to_async(is_visible)(request, stored):
        raise Http404("There is no such link.")
    reader, user = await known_reader(request), await request.auser()
    shown = {
        "stored": stored,
        "html": answer_html(events_of(stored), extracts=stored.mode == "extractive"),
        "sources": numbered(await sync_to_async(shown_passages)(request, stored)),
        "may_delete": user.is_staff or (reader and reader == stored.reader),
    }
    response = await sync_to_async(render)(request, "search/shared.html", shown)
    response["X-Robots-Tag"] = "noindex"
    return response


@csrf_exempt  # ``origins`` tells our own pages from others
@require_POST
async def change(request: HttpRequest, key: str) -> HttpResponse:
    """Rate an answer, share it, end its link, or forget it with its conversation; ``do`` says which."""
    if from_another_site(request):
        return problem_response(request, 403, "This is possible on this site's own pages only.")
    try:
        body = body_of(request)
        action = str(body.get("do", ""))
        if action not in ACTIONS:
            raise QuestionRefused(f"do is one of {', '.join(ACTIONS)}.")
        stored = await (answer_to_unshare if action == "unshare" else own_answer)(request, key)
        said = await ACTIONS[action](request, stored, body)
    except QuestionRefused as error:
        return failed(request, error)
    return said


async def own_answer(request: HttpRequest, key: str) -> StoredAnswer:
    """Return one of the reader's answers. Raises Http404."""
    own = StoredAnswer.objects.of_reader(await known_reader(request)).select_related("conversation")
    stored = await own.filter(key=key).afirst()
    if stored is None or not await sync_to_async(is_visible)(request, stored):
        raise Http404("There is no such answer of yours.")
    return stored


def is_visible(request: HttpRequest, stored: StoredAnswer) -> bool:
    """Return whether whoever asks may see the documents that an answer was made of; nobody may where a key is asked."""
    try:
        caller = identify(request, "page")
    except AccessRefused:
        return False
    return may_see(caller, {passage.document for passage in passages_of(stored)})


def shown_passages(request: HttpRequest, stored: StoredAnswer) -> list[Passage]:
    """Return the passages of an answer that is visible, as they were, without copies that whoever asks may not see."""
    return with_visible_copies(identify(request, "page"), passages_of(stored))


async def answer_to_unshare(request: HttpRequest, key: str) -> StoredAnswer:
    """Return an answer whose link this reader may end: staff may end every one. Raises Http404."""
    user = await request.auser()
    stored = await StoredAnswer.objects.filter(key=key).afirst() if user.is_staff else None
    return stored or await own_answer(request, key)


async def rate(request: HttpRequest, stored: StoredAnswer, body: Mapping[str, Any]) -> HttpResponse:
    """Store whether the answer helped, and what the reader says about it."""
    rating = str(body.get("rating") or "")
    await sync_to_async(feedback.rate)(stored, rating, str(body.get("note") or ""))
    return JsonResponse({"rating": rating})


async def share(request: HttpRequest, stored: StoredAnswer, body: Mapping[str, Any]) -> HttpResponse:
    """Make the answer's link work, and return it."""
    if not settings.SHARED_ANSWERS:
        raise QuestionRefused("Answers are not shared on this site.")
    await StoredAnswer.objects.filter(pk=stored.pk, shared_at=None).aupdate(shared_at=timezone.now())
    return JsonResponse({"link": link_to(request, stored)})


async def unshare(request: HttpRequest, stored: StoredAnswer, body: Mapping[str, Any]) -> HttpResponse:
    """End the answer's link."""
    await StoredAnswer.objects.filter(pk=stored.pk).aupdate(shared_at=None)
    if request.content_type == "application/json":
        return JsonResponse({"link": ""})
    return await sync_to_async(render)(request, "search/unshared.html")


async def forget(request: HttpRequest, stored: StoredAnswer, body: Mapping[str, Any]) -> HttpResponse:
    """Delete the answer, and all others of its conversation, with their links."""
    if stored.conversation:
        await stored.conversation.adelete()
    else:
        await stored.adelete()
    return JsonResponse({"forgotten": True})


def link_to(request: HttpRequest, stored: StoredAnswer) -> str:
    """Return the address under which an answer is shared."""
    return request.build_absolute_uri(reverse("shared", args=[stored.key]))


ACTIONS = {"rate": rate, "share": share, "unshare": unshare, "forget": forget}
