"""A language model that a passage has taken over writes what clients would fetch: no interface hands it on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from search.access.caller import OPERATOR
from search.answering import llm
from search.api.mcp_server.asking import Asking
from search.api.mcp_server.tools import collected
from search.questions import Question
from tests.search.answering.test_inert_markdown import EVIL, fetched
from tests.search.api.test_openai_compatible import chat, chunks, text_of
from tests.search.api.test_rest import QUESTION, ask
from tests.support.search_services import ModelServer

HOSTILE = [
    ["Run makemigrations", f" ![a]({EVIL})", " [1]."],
    ["Run makemigrations ", "!", "[a]", f"({EVIL})", " [1]."],
    ["Run makemigrations ![x][9]\n\n", f"[9]: {EVIL}\n"],
    ["Run makemigrations [1]", f" <img src='{EVIL}'>", "<script src=//evil.example></script>"],
    [f"<style>@import '{EVIL}'</style>Run makemigrations [1]. <", "svg onload=x>"],
    ["Run it![1]\n\n", f"[1]: {EVIL}\n"],
    ["Run `", "makemigrations`", f" > ```\n![a]({EVIL})"],
    [f"- Run `a\n- ![a]({EVIL})`\n"],
    [f"<think>x</think>![a]({EVIL}) Run makemigrations [1]."],
]


class Client:
    """What a tool needs of its call."""

    async def report_progress(self, progress: float, message: str) -> None:
        pass


def through_mcp() -> str:
    async def call() -> str:
        try:
            found = await collected(Question(QUESTION, OPERATOR), Asking(OPERATOR, "http://x"), Client())  # type: ignore[arg-type]
            return found.answer
        finally:
            await llm.close_client()

    return str(async_to_sync(call)())


def through_events() -> str:
    blocks = [block.split("\ndata: ") for block in ask(stream=True)[1].strip().split("\n\n")]
    return "".join(json.loads(data)["text"] for name, data in blocks if name == "event: token")


def copied_from_the_page() -> str:
    async def asked() -> str:
        try:
            response = await AsyncClient().post("/ask", {"q": QUESTION}, content_type="application/json")
            return "".join([part.decode() async for part in response])  # type: ignore[attr-defined]
        finally:
            await llm.close_client()

    [data] = [part for part in async_to_sync(asked)().split("\n\n") if part.startswith("event: markdown")]
    return str(json.loads(data.split("\ndata: ")[1])["text"])


INTERFACES: dict[str, Callable[[], str]] = {
    "REST": lambda: str(ask()[1]["answer"]),
    "REST, streamed": through_events,
    "OpenAI": lambda: str(chat().json()["choices"][0]["message"]["content"]),
    "OpenAI, streamed": lambda: text_of(chunks(chat(stream=True))),
    "MCP": through_mcp,
    "page, copied": copied_from_the_page,
}


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("pieces", HOSTILE)
def test_no_client_fetches_what_a_hostile_model_writes(
    index: None, clean_redis: redis.Redis, language_model: ModelServer, pieces: list[str], interface: str
) -> None:
    language_model.pieces = pieces
    text = INTERFACES[interface]()
    assert "Run" in text
    assert not fetched(text)


def test_an_image_becomes_text_and_code_stays(index: None, clean_redis: Any, language_model: ModelServer) -> None:
    language_model.pieces = [f"![a]({EVIL}) and `<b>`:\n\n```html\n<form>\n```\nRun makemigrations ", "[1]."]
    assert ask()[1]["answer"] == f"!\\[a]({EVIL}) and `<b>`:\n\n```html\n<form>\n```\nRun makemigrations [1]."
