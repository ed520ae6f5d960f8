"""Answer events -> the bytes of a server-sent event stream.

passages     {"mode", "passages": [citation, …]}
token        {"text", "citation"}     citation is a passage's number or 0
unsupported  {"missing": [name, …]}   the sentence before says what its passages do not have
discard      {}                       the tokens so far were the model's thoughts, and are no answer
notice       {"kind", "message"}      for readers; kinds: thinking, waiting, read, cut, refused, unanswered,
                                      remembered, searched
timings      {stage: ms, …, "total": ms}
kept         {"id"}                   the answer is kept under this name, for feedback
done         {} or {"tokens", "tokens_per_second"}, of a language model
error        {"message"}              for readers; what came before stays valid

A comment goes out whenever HEARTBEAT_SECONDS pass in silence, so that proxies keep the connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Any

from django.http import StreamingHttpResponse

from search.answering.answer import Done, Event, Found, Timed
from search.answering.citations import Token
from search.answering.draft import Notice
from search.answering.keeping import Stored
from search.answering.support import Unsupported
from search.answering.thinking import Discard
from search.exceptions import FAILURES, public_message

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
HEARTBEAT = ": still here\n\n"
# Events made ahead of a slow reader before the language model has to wait.
AHEAD = 64

# Writes the events that wait, and the exception that ended them, as the stream's text.
Form = Callable[[Sequence[Any]], Iterable[str]]


async def first_event(events: AsyncGenerator[Any, None]) -> asyncio.Task[Any]:
    """Return the task of the first event, done unless that takes longer than HEARTBEAT_SECONDS.

    Loading a model may take longer, and a proxy must not wait for the response's head meanwhile. Raises what prevented
    the event until then.
    """
    first = asyncio.ensure_future(anext(events))
    try:
        await asyncio.wait({first}, timeout=HEARTBEAT_SECONDS)
    except asyncio.CancelledError:
        first.cancel()
        raise
    if first.done():
        first.result()
    return first


def for_programs(waiting: Sequence[Event | Stored | Exception]) -> Iterator[str]:
    """Yield the text of the stream for events, or for an error that ended them, as the module's docstring describes."""
    for event in waiting:
        yield encode(*described(event))


async def event_stream(
    events: AsyncGenerator[Any, None],
    first: asyncio.Task[Any] | None = None,
    form: Form = for_programs,
    *,
    frame_seconds: float = 0.0,
) -> AsyncGenerator[str, None]:
    """Yield the stream of an answer's events. Closing it stops whatever makes the events.

    ``first`` is what ``first_event`` returned. ``form`` is given one event after the other or, with ``frame_seconds``,
    all that have come in such a time, so that a costly form is made once for many tokens.
    """
    queue: asyncio.Queue[Any] = asyncio.Queue(AHEAD)
    producer = asyncio.create_task(produce(events, first, queue))
    try:
        ended = False
        while not ended and not (queue.empty() and producer.done()):
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    waiting = [await queue.get()]
            except TimeoutError:
                yield HEARTBEAT
                continue
            while frame_seconds and not queue.empty():
                waiting.append(queue.get_nowait())
            ended = waiting[-1] is None
            found = [event for event in waiting if event is not None]
            for text in form(found):
                yield text
            if frame_seconds and any(isinstance(event, Token) for event in found):
                await asyncio.sleep(frame_seconds)
        await producer
    finally:
        producer.cancel()
        await asyncio.wait({producer})


def stream_response(stream: AsyncGenerator[str, None]) -> StreamingHttpResponse:
    """Return the response whose body is the stream, which neither caches nor nginx hold back."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(stream, content_type="text/event-stream; charset=utf-8", headers=headers)


async def produce(
    events: AsyncGenerator[Any, None], first: asyncio.Task[Any] | None, queue: asyncio.Queue[Any]
) -> None:
    """Put the whole answer into the queue, then None, in one task: a pause of the reader cancels no step of it."""
    try:
        async with aclosing(events):
            if first:
                await queue.put(await first)
            async for event in events:
                await queue.put(event)
    except FAILURES as error:
        logger.warning("a question was not answered: %s", error)
        await queue.put(error)
    finally:
        with suppress(asyncio.QueueFull):  # then the reader is busy and sees that we are done
            queue.put_nowait(None)


def described(event: Event | Stored | Exception) -> tuple[str, dict[str, Any]]:
    """Return an event's name and data as the module's docstring lists them; an exception is an "error"."""
    match event:
        case Exception():
            return "error", {"message": public_message(event)}
        case Found(passages, mode):
            citations = [p.as_citation(n) for n, p in enumerate(passages, 1)]
            return "passages", {"mode": mode, "passages": citations}
        case Token(text, citation):
            return "token", {"text": text, "citation": citation}
        case Unsupported(missing):
            return "unsupported", {"missing": list(missing)}
        case Discard():
            return "discard", {}
        case Notice(kind, message):
            return "notice", {"kind": kind, "message": message}
        case Timed(timings):
            return "timings", timings
        case Stored(key):
            return "kept", {"id": key}
        case Done(tokens, speed):
            return "done", {"tokens": tokens, "tokens_per_second": speed} if tokens else {}


def encode(name: str, data: dict[str, Any]) -> str:
    """Return one event of the stream. JSON escapes line ends, so that one line of data is always enough."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
