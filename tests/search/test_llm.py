"""Streaming from an OpenAI-compatible server, and from servers that misbehave."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from pytest_django import Settings

from search.answering import llm
from search.answering.citations import CitationReader, Token
from search.answering.completion_stream import Said
from search.exceptions import LLMFailed, public_message
from tests.support.search_services import ModelServer

MESSAGES = [{"role": "system", "content": "rules"}, {"role": "user", "content": "question"}]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    async def and_close() -> Any:
        try:
            return await work
        finally:
            await llm.close_client()

    return asyncio.run(and_close())


async def pieces_into(got: list[str]) -> list[str]:
    async with aclosing(llm.stream_completion(MESSAGES)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Said):
                got.append(piece.text)
    return got


def read(pieces: list[str], passages: int = 2) -> list[Token]:
    reader = CitationReader(passages)
    tokens = [token for piece in pieces for token in reader.feed(piece)]
    return [*tokens, *reader.finish()]


def text_of(pieces: list[str], passages: int = 2) -> str:
    return "".join(token.text for token in read(pieces, passages))


def test_it_streams_the_pieces(language_model: ModelServer, settings: Settings) -> None:
    settings.LLM_API_KEY, settings.LLM_MAX_TOKENS = "key-1", 77
    assert run(pieces_into([])) == language_model.pieces
    sent = language_model.requests[0]
    assert sent["messages"] == MESSAGES
    assert (sent["model"], sent["max_tokens"], sent["stream"]) == ("stub", 77, True)
    assert sent["authorization"] == "Bearer key-1"


def test_it_needs_no_key(language_model: ModelServer) -> None:
    run(pieces_into([]))
    assert language_model.requests[0]["authorization"] == "Bearer none"


def test_a_refusal_is_tried_twice_and_has_the_servers_words_for_the_operator_only(language_model: ModelServer) -> None:
    language_model.behaviour = "refuse"
    with pytest.raises(LLMFailed, match=r"HTTP 500: secret stack trace Look at the server's own log") as caught:
        run(pieces_into([]))
    assert len(language_model.requests) == 2
    assert "secret" not in public_message(caught.value)


def test_the_key_is_never_in_an_error(language_model: ModelServer, settings: Settings) -> None:
    settings.LLM_API_KEY = "secret stack trace"
    language_model.behaviour = "refuse"
    with pytest.raises(LLMFailed, match="HTTP 500: …"):
        run(pieces_into([]))


def test_a_stalled_answer_ends_with_the_time_limit(language_model: ModelServer, settings: Settings) -> None:
    import openai  # noqa: F401  or its import would use the time up where no test did it before

    language_model.behaviour = "stall"
    settings.LLM_TIMEOUT_SECONDS = 5.0  # a busy machine adds seconds
    got: list[str] = []
    with pytest.raises(LLMFailed, match="LLM_TIMEOUT_SECONDS"):
        run(pieces_into(got))
    language_model.hung_up.set()
    assert got == ["I think"]


def test_an_answer_that_never_ends_meets_the_time_limit(language_model: ModelServer, settings: Settings) -> None:
    language_model.behaviour = "endless"
    settings.LLM_ANSWER_SECONDS = 0.5
    with pytest.raises(LLMFailed, match="LLM_TIMEOUT_SECONDS"):
        run(pieces_into([]))
    assert language_model.hung_up.wait(120)


@pytest.mark.parametrize(("behaviour", "message"), [("half", "broke off"), ("garbage", "failed: no JSON")])
def test_half_an_answer_is_an_error_and_keeps_its_beginning(
    language_model: ModelServer, behaviour: str, message: str
) -> None:
    language_model.behaviour = behaviour
    got: list[str] = []
    with pytest.raises(LLMFailed, match=message):
        run(pieces_into(got))
    assert got


def test_no_server_is_an_error_that_names_the_setting(settings: Settings) -> None:
    settings.LLM_BASE_URL = "http://127.0.0.1:9/v1"
    with pytest.raises(LLMFailed, match="LLM_BASE_URL is right"):
        run(pieces_into([]))


async def hung_up(server: ModelServer) -> bool:
    """While the client is still open: a connection that ends only with the client would leak in a web server."""
    return await asyncio.to_thread(server.hung_up.wait, 120)


def test_leaving_early_closes_the_connection(language_model: ModelServer) -> None:
    language_model.behaviour = "endless"
    kept: list[object] = []

    async def take_two() -> bool:
        pieces = llm.stream_completion(MESSAGES)
        kept.append(pieces)
        await anext(pieces)
        await anext(pieces)
        await pieces.aclose()
        return await hung_up(language_model)

    assert run(take_two())


def test_cancelling_closes_the_connection(language_model: ModelServer) -> None:
    language_model.behaviour = "endless"

    async def cancel() -> bool:
        got: list[str] = []
        task = asyncio.create_task(pieces_into(got))
        while not got:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await hung_up(language_model)

    assert run(cancel())


def test_citations_become_tokens_of_their_own() -> None:
    assert read(["So it is [1]."]) == [Token("So it is "), Token("[1]", 1), Token(".")]


def test_a_citation_may_be_split_anywhere() -> None:
    whole = "Both say so [1, 2], really [2]."
    for at in range(len(whole)):
        cited = [t.citation for t in read([whole[:at], whole[at:]]) if t.citation]
        assert cited == [1, 2, 2]
    assert text_of(list(whole)) == "Both say so [1][2], really [2]."


def test_citations_that_do_not_exist_vanish() -> None:
    assert text_of(["No [7]. Mixed [3, 1]."]) == "No. Mixed [1]."


def test_brackets_in_code_are_no_citations() -> None:
    tokens = read(["Use `a[1]", "[9]` or\n```py\nb[2] = c[1]\n``", "`\nas told [1] and x[0]"])
    assert [t.citation for t in tokens if t.citation] == [1]
    assert "".join(t.text for t in tokens) == "Use `a[1][9]` or\n```py\nb[2] = c[1]\n```\nas told [1] and x[0]"


def test_an_unfinished_bracket_comes_out_at_the_end() -> None:
    assert text_of(["ends with [1"]) == "ends with [1"
    assert text_of(["a [link", "](x)"]) == "a [link](x)"


def test_what_cannot_be_shown_is_removed() -> None:
    assert text_of(["a\x00b\x1b[31mc\u202ed\ud800\r\n\te\x9b"]) == "ab[31mcd\n\te"


@pytest.mark.slow
def test_openai_is_imported_on_first_use_only() -> None:
    code = (
        "import django, sys; django.setup(); import search.urls; "
        "assert not {'torch', 'FlagEmbedding', 'transformers', 'openai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
