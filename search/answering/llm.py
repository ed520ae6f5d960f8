"""Messages -> the text that an OpenAI-compatible server generates, as it comes.

The only module that speaks to a language model. One retry, before the first token only; the whole answer has
LLM_TIMEOUT_SECONDS. Every failure is LLMFailed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from django.conf import settings

from search.answering.prompt import Message
from search.exceptions import LLMFailed

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream
    from openai.types.chat import ChatCompletionChunk

CONNECT_SECONDS = 5.0

# One client per event loop keeps connections alive between answers and spares ~45 ms, most of it
# reading certificates, on every answer.
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI] = WeakKeyDictionary()


def configured() -> bool:
    """Return whether there is a language model to ask."""
    return bool(settings.LLM_BASE_URL)


async def stream_completion(messages: list[Message]) -> AsyncGenerator[str, None]:
    """Yield the pieces of the answer, none of them empty. Raises LLMFailed.

    The connection is closed when the caller stops listening.
    """
    deadline = asyncio.get_running_loop().time() + settings.LLM_TIMEOUT_SECONDS
    request = (await client()).chat.completions.create(
        model=settings.LLM_MODEL,
        messages=cast(Any, messages),
        max_tokens=settings.LLM_MAX_TOKENS,
        stream=True,
    )
    stream: AsyncStream[ChatCompletionChunk] = await before(deadline, request)
    finished = False
    try:
        while chunk := await before(deadline, anext(stream, None)):
            # The first chunk of some servers holds a role only, the last one of others no choice at all.
            for choice in (getattr(chunk, "choices", None) or [])[:1]:
                finished = finished or bool(choice.finish_reason)
                if choice.delta and choice.delta.content:
                    yield choice.delta.content
    finally:
        await stream.close()
    if not finished:
        raise LLMFailed(f"The language model at {settings.LLM_BASE_URL} broke off in the middle of its answer.")


async def before(deadline: float, awaitable: Awaitable[Any]) -> Any:
    """Return the result.

    Raises LLMFailed when the server refuses, breaks off or has not answered at ``deadline``, a time of the event loop.
    """
    import openai

    try:
        async with asyncio.timeout_at(deadline):
            return await awaitable
    except (TimeoutError, openai.APITimeoutError) as error:
        raise LLMFailed(
            f"The language model at {settings.LLM_BASE_URL} took longer than LLM_TIMEOUT_SECONDS "
            f"({settings.LLM_TIMEOUT_SECONDS:g} s)."
        ) from error
    except openai.APIStatusError as error:
        raise LLMFailed(
            f"The language model at {settings.LLM_BASE_URL} refused: HTTP {error.status_code}. Check LLM_MODEL "
            "and LLM_API_KEY, and the server's log."
        ) from error
    except (openai.OpenAIError, ValueError) as error:  # ValueError: a chunk that is no JSON
        raise LLMFailed(
            f"The language model at {settings.LLM_BASE_URL} does not answer: {error}. Check that it runs and "
            "that LLM_BASE_URL is right."
        ) from error


async def client() -> AsyncOpenAI:
    """Return this event loop's client. Importing the library takes over a second, so that a thread does it."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients.setdefault(loop, await asyncio.to_thread(new_client))
    return _clients[loop]


def new_client() -> AsyncOpenAI:
    """Import the library and make a client."""
    import openai

    return openai.AsyncOpenAI(
        base_url=settings.LLM_BASE_URL,
        api_key=settings.LLM_API_KEY or "none",
        timeout=openai.Timeout(settings.LLM_TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
        max_retries=1,
    )


async def close_client() -> None:
    """Close this event loop's connections, for loops that end."""
    if closing := _clients.pop(asyncio.get_running_loop(), None):
        await closing.close()
