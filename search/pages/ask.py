"""The page's own question: an answer as HTML, which is kept for this reader.

POST ``/ask`` takes what ``/api/ask`` takes, and ``after``, the key of the answer that this question follows on. The
events are those of ``api.events`` in another form:

passages   {"mode", "count", "html"}    the list of sources
html       {"block", "html"}            a part of the answer; it replaces the part with the same number
markdown   {"text"}                     the whole answer with its sources, to be copied
discard, notice, timings, done, error   as there; notices of the kind "understood" say how a follow-up was read
kept       {"key"}                      the answer is stored under this name, for this reader
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from search.access.admission import admit_request
from search.access.caller import ASK, Caller
from search.answering.answer import Event, Found, Timed
from search.answering.citations import Token
from search.answering.keeping import Recording, Stored, kept_answer, passages_of
from search.answering.support import Unsupported
from search.answering.thinking import Discard
from search.api.errors import problem_response
from search.api.events import described, encode, event_stream, first_event, stream_response
from search.api.v1.failures import failed
from search.catalogue import may_see
from search.exceptions import FAILURES
from search.forms import body_of, read_question
from search.models import StoredAnswer
from search.origins import from_another_site
from search.pages.answer_html import AnswerHtml
from search.pages.readers import reader_of
from search.pages.results import markdown_with_sources, numbered
from search.questions import Passage
from search.timings import Timings

# What waits is made into HTML once in this time: a screen shows little more.
FRAME_SECONDS = 0.04


@csrf_exempt  # ``origins`` tells our own pages from others
@require_POST
async def ask(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Answer a question with a stream of events."""
    if from_another_site(request):
        return problem_response(request, 403, "Browsers may ask from this site's own pages only.")
    timings = Timings()
    try:
        with timings.stage("parse"):
            caller = await admit_request(request, "page", ASK)
            body = body_of(request)
            question = read_question(body, caller, limit=settings.ANSWER_PASSAGES)
        reader = await reader_of(request) if settings.ANSWERS_KEPT_DAYS else ""
        before = await sync_to_async(answer_before)(reader, str(body.get("after", "")), caller)
        return await streamed(kept_answer(question, timings, Recording(reader, question.text, before)))
    except FAILURES as error:
        return failed(request, error)


async def streamed(events: AsyncGenerator[Any, None]) -> StreamingHttpResponse:
    """Return the response whose body is the stream. Raises what prevents the first event."""
    first = await first_event(events)
    return stream_response(event_stream(events, first, PageEvents(), frame_seconds=FRAME_SECONDS))


def answer_before(reader: str, key: str, caller: Caller) -> StoredAnswer | None:
    """Return the reader's answer that a question follows on.

    There is none where it is gone, has rested for too long, or tells of documents that the reader may not see any more.
    """
    recent = timezone.now() - timedelta(hours=settings.CONVERSATION_HOURS)
    mine = StoredAnswer.objects.of_reader(reader).named(key).filter(created_at__gte=recent)
    before = mine.select_related("conversation").first()
    return before if before and may_see(caller, {passage.document for passage in passages_of(before)}) else None


class PageEvents:
    """The events of one answer as the page reads them: the sources and the answer are HTML."""

    def __init__(self) -> None:
        self._answer = AnswerHtml(extracts=False)
        self._ended = False
        self._text = ""
        self._passages: tuple[Passage, ...] = ()

    def __call__(self, events: Sequence[Event | Stored | Exception]) -> Iterator[str]:
        """Yield the text of the stream for the events that wait; a block of the answer is rendered once."""
        for name, data in self._read(events):
            yield encode(name, data)

    def _read(self, events: Sequence[Event | Stored | Exception]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name and the data of each event for the page, in order.

        With the timings come the last blocks and the answer as Markdown, before an error the blocks so far. While the
        answer goes on, its changed blocks come at the end.
        """
        for event in events:
            match event:
                case Token() | Unsupported():
                    self._answer.feed(event)
                    self._text += event.text if isinstance(event, Token) else ""
                    continue
                case Timed():
                    yield from self._blocks(final=True)
                    self._ended = True
                    yield "markdown", {"text": markdown_with_sources(self._text, self._passages)}
                case Found(passages, mode):
                    self._passages = passages
                    self._answer = AnswerHtml(extracts=mode == "extractive")
                    html = render_to_string("search/sources.html", {"sources": numbered(passages)})
                    yield "passages", {"mode": mode, "count": len(passages), "html": html}
                    continue
                case Stored(key):
                    yield "kept", {"key": key}
                    continue
                case Exception():
                    yield from self._blocks()
                    self._ended = True
                case Discard():
                    self._answer.feed(event)
                    self._text = ""
            yield described(event)
        if not self._ended:
            yield from self._blocks()

    def _blocks(self, *, final: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield an "html" event for each block that has changed since the last call; ``final``: no text will follow."""
        for block in self._answer.changed(final=final):
            yield "html", {"block": block.number, "html": block.html}
