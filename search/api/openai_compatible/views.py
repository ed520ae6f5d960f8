"""/v1/models, /v1/chat/completions and /v1/embeddings, as OpenAI's clients ask for them.

The last message of the user is the question; those before it only tell what it is about. System messages are not
followed: the rules of an answer are this site's own. When the client hangs up, its answer is no longer written.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import NoReturn

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from ingestion.models import Collection
from search.access.caller import ASK, SEARCH, Caller
from search.answering.answer import answer
from search.answering.inert_markdown import inert
from search.answering.rewriter import condense
from search.api.events import event_stream, first_event, stream_response
from search.api.links import absolute, site_address
from search.api.openai_compatible import catalogue
from search.api.openai_compatible.access import admitted, caller_behind
from search.api.openai_compatible.bodies import ChatRequest, EmbeddingsRequest, read
from search.api.openai_compatible.completion import Completion, CompletionStream
from search.api.openai_compatible.embeddings import embed, in_base64
from search.api.openai_compatible.errors import RequestRefused, endpoint
from search.catalogue import source_names
from search.forms import read_question
from search.questions import Passage
from search.timings import Timings


@endpoint("GET")
async def models(request: HttpRequest) -> JsonResponse:
    """List the models that can be asked: one for all sources, one for each source, and the embedder."""
    return JsonResponse({"object": "list", "data": await listing(await caller_behind(request))})


@endpoint("GET")
async def model(request: HttpRequest, name: str) -> JsonResponse:
    """Return one entry of the list."""
    for entry in await listing(await caller_behind(request)):
        if entry["id"] == name:
            return JsonResponse(entry)
    raise catalogue.unknown(name)


async def listing(caller: Caller) -> list[dict[str, object]]:
    """Return the models that the caller may choose."""
    sources = await sync_to_async(source_names)(caller)
    searched = await sync_to_async(Collection.objects.searched)()
    embedder = catalogue.embedder_name(searched.model) if searched else ""
    return catalogue.listing(sources, embedder)


@endpoint("POST")
async def chat_completions(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Answer the last message from the documentation."""
    caller = await admitted(request, ASK)
    wanted = read(ChatRequest, request)
    source = await sync_to_async(catalogue.source_of)(wanted.model, caller)
    fields = {"q": wanted.question, "source": source}
    read_as = read_question(fields, caller, limit=settings.ANSWER_PASSAGES)
    alone = await condense(wanted.history, read_as.text, caller)
    question = replace(read_as, text=alone, follow_up=bool(wanted.history))
    base = site_address(request)

    def link(passage: Passage) -> str:
        """Return the address of a passage with a host: this site's, unless the passage's own link names one."""
        return absolute(passage.link, base)

    events = inert(answer(question, Timings()))
    completion = Completion(wanted.model, link, streamed=bool(wanted.stream))
    if not wanted.stream:
        async with aclosing(events):
            async for event in events:
                completion.add(event)
        return JsonResponse(completion.whole())
    first = await first_event(events)
    return stream_response(event_stream(events, first, CompletionStream(completion, wanted.counts)))


@endpoint("POST")
async def embeddings(request: HttpRequest) -> JsonResponse:
    """Return the vectors of texts."""
    caller = await admitted(request, SEARCH)
    wanted = read(EmbeddingsRequest, request)
    vectors, tokens = await embed(wanted.input, wanted.model, caller)
    if wanted.dimensions not in (None, len(vectors[0])):
        raise RequestRefused(f"dimensions: this model's vectors have {len(vectors[0])}.", param="dimensions")
    written = in_base64 if wanted.encoding_format == "base64" else lambda vector: vector.tolist()
    data = [{"object": "embedding", "index": n, "embedding": written(v)} for n, v in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JsonResponse({"object": "list", "data": data, "model": wanted.model, "usage": usage})


@endpoint()
async def nothing(request: HttpRequest, path: str) -> NoReturn:
    """Raise RequestRefused for an address below /v1/ that does not exist."""
    known = "/v1/models, /v1/chat/completions and /v1/embeddings"
    raise RequestRefused(f"There is nothing at /v1/{path[:100]}; there are {known}.", 404)
