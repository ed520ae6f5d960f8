"""Messages → the pieces of what an OpenAI-compatible server generates, as they come.

The only module that speaks to a language model. Silence ends an answer after LLM_TIMEOUT_SECONDS, anything after
LLM_ANSWER_SECONDS. Until the first piece a refusal is met: once with the parameters that the server does take
(``server_habits``), with a wait where the server is busy or loads its model, once more where the connection broke.
Raises LLMFailed, and its ContextTooLong where fewer passages may help. What the server itself said is in the error,
which is for whoever runs the site.

Does not know what the pieces mean (``completion_stream`` reads them).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.conf import settings

from search.answering.completion_stream import CompletionReader, Ended, Piece, Said, ServerError, Thought, words_of
from search.answering.prompt import Message
from search.answering.server_habits import ServerHabits, habits_of, tokens_told
from search.exceptions import LLMFailed

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_SECONDS = 5.0
# After the end of an answer the server may still say how many tokens it took.
AFTER_END_SECONDS = 0.5
# A server that is busy or loading and does not say for how long is asked again after these.
PAUSES = (0.5, 2.0, 4.0, 8.0)
# Parameters that are changed, one after the other, because the server refuses them.
MOST_CHANGES = 4
# Loading a model takes minutes; an overloaded gateway is asked once more only.
LOADING, BUSY = (503,), (408, 409, 429, 500, 502, 504, 529)
ASKED_FOR_CONTEXT_SECONDS = 2.0

# One client per event loop keeps connections alive between answers and spares ~45 ms, most of it
# reading certificates, on every answer.
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Waiting:
    """The server is busy; it is asked again after so many seconds."""

    seconds: float


class ContextTooLong(LLMFailed):
    """The prompt has more tokens than the model takes; ``share`` of it would fit."""

    def __init__(self, message: str, share: float) -> None:
        super().__init__(message, "the passages are longer than the model can read")
        self.share = share


class Refused(Exception):
    """The server answered with an error status, or not at all (0), before the first piece."""

    def __init__(self, status: int, words: str, retry_after: float | None = None) -> None:
        super().__init__(f"HTTP {status}: {words}" if status else words)
        self.status, self.words, self.retry_after = status, words, retry_after


def configured() -> bool:
    """Return whether there is a language model to ask."""
    return bool(settings.LLM_BASE_URL)


async def stream_completion(messages: list[Message]) -> AsyncGenerator[Piece | Waiting, None]:
    """Yield the pieces of the language model's completion; ask again where the server refused for a reason that passes.

    Raises LLMFailed, or ContextTooLong where the prompt is too long. The connection is closed when the caller stops
    listening.
    """
    habits, now = habits_of(settings.LLM_BASE_URL, settings.LLM_MODEL), asyncio.get_running_loop().time
    deadline, tries, changes = now() + settings.LLM_TIMEOUT_SECONDS, 0, 0
    known, tried, first_by = replace(habits), replace(habits), deadline
    while True:
        try:
            async with aclosing(completion(messages, tried, first_by)) as pieces:
                async for piece in pieces:
                    # What was tried is right; what others learnt meanwhile stays.
                    vars(habits).update(vars(tried).items() - vars(known).items())
                    known = tried
                    yield piece
            return
        except Refused as refusal:
            refused_by_server = bool(refusal.status)
            changed = changes < MOST_CHANGES and tried.learn(refusal.status, refusal.words)
            pause = 0.0 if changed else pause_after(refusal, tries)
            if share := tried.share_that_fits(refusal.status, refusal.words):
                if tried.context_tokens != known.context_tokens:
                    habits.context_tokens = tried.context_tokens
                raise ContextTooLong(described(refusal), share) from refusal
            if pause is None or now() + pause > deadline:
                raise LLMFailed(described(refusal), reason_of(refusal)) from refusal
        changes, tries = changes + changed, tries + (not changed)
        if pause >= 1:
            yield Waiting(pause)
        await asyncio.sleep(pause)
        if refused_by_server:
            first_by = now() + settings.LLM_TIMEOUT_SECONDS


def pause_after(refusal: Refused, tries: int) -> float | None:
    """Return how many seconds to wait before the server is asked again; None where asking again is useless.

    ``tries`` says how often it was asked again already.
    """
    if refusal.status not in (0, *LOADING, *BUSY) or "quota" in refusal.words.casefold():
        return None
    if refusal.retry_after is not None:
        return max(refusal.retry_after, PAUSES[0])
    if refusal.status in LOADING:
        return PAUSES[min(tries, len(PAUSES) - 1)]
    return PAUSES[0] if tries == 0 else None


async def completion(messages: list[Message], habits: ServerHabits, first_by: float) -> AsyncGenerator[Piece, None]:
    """Yield the pieces of one request, the first at ``first_by`` (a time of the event loop) at the latest.

    Raises Refused before the first piece, LLMFailed after it.
    """
    import httpx2  # the library's own client, whose errors come out while a body is read
    import openai

    create = (await client()).chat.completions.with_streaming_response.create
    any_piece = False
    try:
        request: dict[str, Any] = habits.request(messages)
        async with AsyncExitStack() as opened:
            async with asyncio.timeout_at(first_by):
                response = await opened.enter_async_context(create(**request))
            pieces = await opened.enter_async_context(aclosing(read(response.iter_bytes(), first_by)))
            async for piece in pieces:
                any_piece = True
                yield piece
    except openai.APIStatusError as error:
        words = hidden(words_of(error.body or error.response.text))
        raise Refused(error.status_code, words, seconds_of(error.response.headers)) from error
    except (TimeoutError, openai.APITimeoutError, httpx2.TimeoutException) as error:
        raise LLMFailed(
            f"The language model at {settings.LLM_BASE_URL} took longer than LLM_TIMEOUT_SECONDS "
            f"({settings.LLM_TIMEOUT_SECONDS:g} s), or its whole answer longer than LLM_ANSWER_SECONDS "
            f"({settings.LLM_ANSWER_SECONDS:g} s)."
        ) from error
    except ServerError as error:
        raise LLMFailed(f"The language model at {settings.LLM_BASE_URL} failed: {hidden(str(error))}") from error
    except (openai.OpenAIError, httpx2.HTTPError, ValueError) as error:
        cause = error.__cause__ or error
        if not any_piece:
            raise Refused(0, f"{error} ({type(cause).__name__}: {cause})") from error
        raise LLMFailed(f"The language model at {settings.LLM_BASE_URL} broke off: {cause!r}.") from error


async def read(body: Any, first_by: float) -> AsyncGenerator[Piece, None]:
    """Yield the pieces of a response's body.

    Raises TimeoutError, ServerError, or LLMFailed where it is not complete.
    """
    now = asyncio.get_running_loop().time
    last, silent = now() + settings.LLM_ANSWER_SECONDS, first_by
    reader, ended = CompletionReader(), False
    while True:
        try:
            async with asyncio.timeout_at(min(last, silent)):
                chunk = await anext(body, None)
        except TimeoutError:
            if ended:
                return
            raise
        for piece in reader.feed(chunk) if chunk is not None else reader.finish():
            silent = now() + (AFTER_END_SECONDS if ended else settings.LLM_TIMEOUT_SECONDS)
            if isinstance(piece, Ended):
                if ended or not piece.reason:
                    yield piece
                    return
                ended, silent = True, now() + AFTER_END_SECONDS
            if not (ended and isinstance(piece, Said | Thought)):
                yield piece
        if chunk is None and not ended:
            raise LLMFailed(f"The language model at {settings.LLM_BASE_URL} broke off in the middle of its answer.")
        if chunk is None:
            return


def described(refusal: Refused) -> str:
    """Return the sentence for whoever runs the site: what the server said, and which setting to look at."""
    address = settings.LLM_BASE_URL
    match refusal.status:
        case 0:
            hint = "Check that it runs and that LLM_BASE_URL is right."
            return f"The language model at {address} does not answer: {refusal}. {hint}"
        case 401 | 403:
            hint = "Check LLM_API_KEY."
        case 404 if "model" in refusal.words.casefold():
            hint = f"Check LLM_MODEL ({settings.LLM_MODEL or 'empty'})."
        case 404 | 405:
            hint = f"Check LLM_BASE_URL ({address}): most servers' ends with /v1. Or LLM_MODEL names no model there."
        case 429:
            hint = "It takes no more requests for now, or its quota is used up."
        case status if status >= 500:
            hint = "Look at the server's own log."
        case _:
            hint = f"Check LLM_MODEL ({settings.LLM_MODEL or 'empty'}) and the server's log."
    return f"The language model at {address} refused: {refusal} {hint}"


def reason_of(refusal: Refused) -> str:
    """Return the part of a sentence that tells readers why a request was refused; empty where it is not for them."""
    if refusal.status in (429, 503):
        after = f"; ask again in {refusal.retry_after:.0f} s" if refusal.retry_after else "; ask again in a minute"
        return f"it is busy{after}"
    if 400 <= refusal.status < 500:
        return "its server refuses to be asked; whoever runs this site finds the reason in the log"
    return ""


def seconds_of(headers: Any) -> float | None:
    """Return the seconds of Retry-After; None where there is none or it is no number."""
    value = headers.get("retry-after", "")
    return float(value) if re.fullmatch(r"\d{1,6}(?:\.\d+)?", value) else None


def hidden(words: str) -> str:
    """Return the server's words without our key."""
    return words.replace(settings.LLM_API_KEY, "…") if settings.LLM_API_KEY else words


async def context_tokens() -> int:
    """Return the tokens that the model's context holds, as set or as the server tells; 0 where it does not."""
    import openai

    habits = habits_of(settings.LLM_BASE_URL, settings.LLM_MODEL)
    if settings.LLM_CONTEXT_TOKENS:
        return settings.LLM_CONTEXT_TOKENS
    if habits.context_tokens is None:
        habits.context_tokens = 0
        try:
            async with asyncio.timeout(ASKED_FOR_CONTEXT_SECONDS):
                listing = await (await client()).get("/models", cast_to=object)
            habits.context_tokens = tokens_told(listing, settings.LLM_MODEL)
        except (TimeoutError, openai.OpenAIError, ValueError):
            pass
    return habits.context_tokens


async def client() -> AsyncOpenAI:
    """Return this event loop's client. Importing the library takes over a second, so that a thread does it."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients.setdefault(loop, await asyncio.to_thread(new_client))
    return _clients[loop]


def new_client() -> AsyncOpenAI:
    """Import the library and make a client; retries are ours, because a reader is told of them."""
    import openai

    return openai.AsyncOpenAI(
        base_url=settings.LLM_BASE_URL,
        api_key=settings.LLM_API_KEY or "none",
        timeout=openai.Timeout(settings.LLM_TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
        max_retries=0,
    )


async def close_client() -> None:
    """Close this event loop's connections, for loops that end."""
    if closing := _clients.pop(asyncio.get_running_loop(), None):
        await closing.close()
