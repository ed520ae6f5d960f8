"""Answer events -> the bytes of a server-sent event stream.

passages     {"mode", "passages": [citation, …]}
token        {"text", "citation"}     citation is a passage's number or 0
unsupported  {"missing": [name, …]}   the sentence before says what its passages do not have
discard      {}                       the tokens so far were the model's thoughts, and are no answer
notice       {"kind", "message"}      for readers; kinds: thinking, waiting, cut, refused, unanswered,
                                      remembered, searched
timings      {stage: ms, …, "total": ms}
done         {} or {"tokens", "tokens_per_second"}, of a language model
error        {"message"}              for readers; what came before stays valid

A comment goes out whenever HEARTBEAT_SECONDS pass in silence, so that proxies keep the connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from search.answering.answer import Done, Event, Found, Timed
from search.answering.citations import Token
from search.answering.draft import Notice
from search.answering.support import Unsupported
from search.answering.thinking import Discard
from search.exceptions import FAILURES, public_message

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
HEARTBEAT = ": still here\n\n"
END = ""
# Events made ahead of a slow reader before the language model has to wait.
AHEAD = 64


async def first_event(events: AsyncGenerator[Event, None]) -> asyncio.Task[Event]:
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


async def event_stream(
    events: AsyncGenerator[Event, None], first: asyncio.Task[Event] | None = None
) -> AsyncGenerator[str, None]:
    """Yield the stream. Closing it stops whatever makes the events. ``first`` is what ``first_event`` returned."""
    queue: asyncio.Queue[str] = asyncio.Queue(AHEAD)
    producer = asyncio.create_task(produce(events, first, queue))
    try:
        while not queue.empty() or not producer.done():
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    text = await queue.get()
            except TimeoutError:
                text = HEARTBEAT
            if text == END:
                break
            yield text
        await producer
    finally:
        producer.cancel()
        await asyncio.wait({producer})


async def produce(
    events: AsyncGenerator[Event, None], first: asyncio.Task[Event] | None, queue: asyncio.Queue[str]
) -> None:
    """Put the whole answer into the queue, then END, in one task: a pause of the reader cancels no step of it."""
    try:
        async with aclosing(events):
            if first:
                await queue.put(encode(*described(await first)))
            async for event in events:
                await queue.put(encode(*described(event)))
    except FAILURES as error:
        logger.warning("a question was not answered: %s", error)
        await queue.put(encode("error", {"message": public_message(error)}))
    finally:
        with suppress(asyncio.QueueFull):  # then the reader is busy and sees that we are done
            queue.put_nowait(END)


def described(event: Event) -> tuple[str, dict[str, Any]]:
    """Return the name and the data of an event, as the table above has them."""
    match event:
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
        case Done(tokens, speed):
            return "done", {"tokens": tokens, "tokens_per_second": speed} if tokens else {}


def encode(name: str, data: dict[str, Any]) -> str:
    """Return one event of the stream. JSON escapes line ends, so that one line of data is always enough."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
