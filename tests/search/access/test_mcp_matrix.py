"""Every tool and resource of MCP and every kind of caller: who is served, and that nobody reads what is not theirs.

A session is nothing at /mcp: a reader of the group is nobody in particular there.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from asgiref.sync import sync_to_async
from django.test import Client as Browser
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from pytest_django import Settings

from search.access.fair_queue import FairQueue
from search.api.mcp_server.endpoint import McpEndpoint
from search.exceptions import TooBusy
from tests.support.callers import CALLERS, SECRETS

pytestmark = pytest.mark.django_db(transaction=True)
QUESTION = "How do I create migrations after changing a model?"
SEES_IT = ("admin key",)
IN, REFUSED, HIDDEN = "in", "refused", "hidden"
REFUSALS = {"This needs a key": REFUSED, "no such page": HIDDEN, "There is no source named": HIDDEN}
ALL = (IN,) * 5
ASKING = (IN, REFUSED, IN, IN, IN)
OF_THE_GROUP = (HIDDEN, HIDDEN, HIDDEN, IN, HIDDEN)
# A call, and what each kind of caller gets.
CALLS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("search_docs", {"query": QUESTION, "limit": 10}, ALL),
    ("search_docs", {"query": QUESTION, "source": "Handbook"}, OF_THE_GROUP),
    ("ask_docs", {"question": QUESTION}, ASKING),
    ("ask_docs", {"question": QUESTION, "source": "Handbook"}, (HIDDEN, REFUSED, HIDDEN, IN, HIDDEN)),
    ("fetch_page", {"page": "911"}, OF_THE_GROUP),
    ("fetch_page", {"page": "921"}, ALL),
    ("list_sources", {}, ALL),
    ("search", {"query": QUESTION}, ALL),
    ("fetch", {"id": "911.0"}, OF_THE_GROUP),
    ("fetch", {"id": "921.0"}, ALL),
    ("docs://pages/911", {}, OF_THE_GROUP),
    ("docs://pages/921", {}, ALL),
]


def headers_of(caller: dict[str, Any]) -> dict[str, str]:
    """What a client of this kind sends: its key, or the cookie of a browser that is signed in."""
    if "user" not in caller:
        return dict(caller.get("headers", {}))
    browser = Browser()
    browser.force_login(caller["user"])
    return {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())}


@asynccontextmanager
async def connected(caller: dict[str, Any]) -> AsyncIterator[Client]:
    endpoint, headers = McpEndpoint(), await sync_to_async(headers_of)(caller)
    async with (
        endpoint.lifespan(None),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=endpoint), headers=headers, timeout=300) as http,
        Client(streamable_http_client("http://localhost/mcp", http_client=http)) as client,
    ):
        yield client


async def said(client: Client, name: str, arguments: dict[str, Any]) -> tuple[str, str]:
    """What came of a call, and all of its text."""
    if "://" in name:
        try:
            text = (await client.read_resource(name)).model_dump_json()
        except MCPError as error:
            return outcome_of(str(error)), ""
        return IN, text
    result = await client.call_tool(name, arguments)
    text = result.model_dump_json()
    return (outcome_of(text), "") if result.is_error else (IN, text)


def outcome_of(refusal: str) -> str:
    return next((outcome for part, outcome in REFUSALS.items() if part in refusal), refusal)


async def test_every_tool_has_a_verdict(kinds: dict[str, dict[str, Any]]) -> None:
    async with connected(kinds["nobody"]) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        templates = (await client.list_resource_templates()).resource_templates
        assert not (await client.list_resources()).resources
    assert listed == {name for name, *_ in CALLS if "://" not in name}
    assert [template.uri_template for template in templates] == ["docs://pages/{page}"]


@pytest.mark.parametrize("who", CALLERS)
async def test_each_caller_is_served_where_it_may_be_and_reads_nothing_else(
    kinds: dict[str, dict[str, Any]], who: str
) -> None:
    wrong = []
    async with connected(kinds[who]) as client:
        for name, arguments, verdict in CALLS:
            outcome, text = await said(client, name, arguments)
            if outcome != verdict[CALLERS.index(who)]:
                wrong.append((name, arguments, outcome))
            asked = json.dumps(arguments).encode()
            if who not in SEES_IT and re.search(SECRETS, text.encode().replace(asked, b"")):
                wrong.append((name, arguments, "the text of another's source"))
        listings = [await client.list_tools(), await client.list_resource_templates()]
    assert not wrong
    assert not any(SECRETS.search(listing.model_dump_json().encode()) for listing in listings)


async def test_who_may_read_the_source_does(kinds: dict[str, dict[str, Any]]) -> None:
    async with connected(kinds["admin key"]) as client:
        texts = [(await said(client, name, given))[1] for name, given, verdict in CALLS if verdict == OF_THE_GROUP]
    assert all(SECRETS.search(text.encode()) for text in texts)


async def test_where_a_closed_site_lets_nobody_in_no_tool_is_listed(
    kinds: dict[str, dict[str, Any]], settings: Settings
) -> None:
    settings.ANONYMOUS_ACCESS = ["page"]
    with pytest.raises(ExceptionGroup) as refused:
        async with connected(kinds["nobody"]):
            pass
    assert refused.group_contains(MCPError, match="This needs a key")


@pytest.mark.parametrize("tool", ["search_docs", "ask_docs", "search"])
async def test_who_gets_no_turn_is_told_when_to_call_again(
    kinds: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    def full(*args: object) -> None:
        raise TooBusy("16 of your requests wait for their turn already. Try again in 1 s.", 1, 429)

    monkeypatch.setattr(FairQueue, "_add", full)
    async with connected(kinds["nobody"]) as client:
        result = await client.call_tool(tool, {"question" if tool == "ask_docs" else "query": QUESTION})
    assert result.is_error
    assert "Try again in 1 s." in result.model_dump_json()


async def test_who_calls_too_often_is_told_when_to_call_again(
    kinds: dict[str, dict[str, Any]], settings: Settings
) -> None:
    settings.REQUEST_LIMITS = {"search": ("1/minute", ""), "ask": ("", "")}
    async with connected(kinds["nobody"]) as client:
        assert not (await client.call_tool("list_sources")).is_error
        result = await client.call_tool("list_sources")
    assert result.is_error
    assert re.search(r"too many requests in a short time. Try again in \d+ s\.", result.model_dump_json())
