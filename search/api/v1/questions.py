"""/search and /ask: passages, and an answer as one object or as a stream of events (``api.events``)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from ninja import Query, Router

from search.access.caller import ASK, SEARCH, Caller
from search.answering.answer import Event
from search.answering.inert_markdown import inert
from search.answering.keeping import Recording, Stored, kept_answer
from search.api.events import described, event_stream, first_event, stream_response
from search.api.v1.door import Door, caller_of
from search.api.v1.feedback import reader_of
from search.api.v1.responses import NO_STORE, documented
from search.api.v1.schemas import AnswerOut, AskFields, SearchFields, SearchOut
from search.exceptions import LLMFailed, public_message
from search.forms import read_question
from search.retrieval.retriever import retrieve_queued
from search.timings import Timings

EVENTS = "text/event-stream"
SEARCH_LIMIT = 10

router = Router(tags=["questions"])


@router.get("/search", auth=Door(SEARCH), **documented(SearchOut, 400, 429, 503, door=SEARCH))
async def search(request: HttpRequest, fields: Query[SearchFields]) -> HttpResponse:
    """Find the passages that answer a question, best first."""
    return await searched(caller_of(request), fields.dict(exclude_none=True))


@router.post(
    "/ask",
    auth=Door(ASK),
    **documented(AnswerOut, 400, 429, 503, door=ASK, also=EVENTS),
)
async def ask(request: HttpRequest, fields: AskFields) -> HttpResponse | StreamingHttpResponse:
    """Answer a question: one JSON object, or events as they come."""
    streams = fields.stream or request.headers.get("Accept", "").startswith(EVENTS)
    return await asked(caller_of(request), fields.dict(exclude_none=True), streams=streams)


async def searched(caller: Caller, fields: Mapping[str, Any]) -> HttpResponse:
    """Return the passages that answer the caller's question."""
    timings = Timings()
    with timings.stage("parse"):
        question = read_question(fields, caller, limit=SEARCH_LIMIT)
    passages = await retrieve_queued(question, timings)
    found = [passage.as_citation(number) for number, passage in enumerate(passages, 1)]
    return JsonResponse({"passages": found, "timings": timings.milliseconds()}, headers=NO_STORE)


async def asked(caller: Caller, fields: Mapping[str, Any], *, streams: bool) -> HttpResponse | StreamingHttpResponse:
    """Return the answer to the caller's question, whole or as a stream.

    What fails before the answer begins raises; later failures are part of what is returned.
    """
    timings = Timings()
    with timings.stage("parse"):
        question = read_question(fields, caller, limit=settings.ANSWER_PASSAGES)
    events = inert(kept_answer(question, timings, Recording(reader_of(caller), question.text)))
    if not streams:
        return JsonResponse(await whole_answer(events), headers=NO_STORE)
    first = await first_event(events)
    return stream_response(event_stream(events, first))


async def whole_answer(events: AsyncGenerator[Event | Stored, None]) -> dict[str, Any]:
    """Return the answer with all that was said of it."""
    whole: dict[str, Any] = {"id": "", "answer": "", "mode": "extractive", "passages": [], "notices": []}
    whole |= {"unsupported": [], "error": "", "timings": {}, "tokens": 0, "tokens_per_second": 0.0}
    try:
        async with aclosing(events):
            async for event in events:
                match described(event):
                    case "token", {"text": text}:
                        whole["answer"] += text
                    case "discard", _:
                        whole["answer"] = ""
                    case "unsupported", {"missing": missing}:
                        whole["unsupported"] += missing
                    case "notice", notice if notice["kind"] not in ("thinking", "waiting"):
                        whole["notices"].append(notice)
                    case "timings", stages:
                        whole["timings"] = stages
                    case "passages" | "kept" | "done", fields:
                        whole |= fields
    except LLMFailed as error:
        whole["error"] = public_message(error)
    return whole
