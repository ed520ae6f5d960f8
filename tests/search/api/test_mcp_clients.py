"""/mcp and `manage.py mcp`, through the official client, as an assistant calls them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from ragproject.settings import BASE_DIR
from tests.search.api.conftest import ProgramSites

pytestmark = pytest.mark.slow

QUESTION = "How do I create migrations after changing a model?"
TOOLS = ["search_docs", "ask_docs", "fetch_page", "list_sources", "search", "fetch"]
Transport = Literal["http", "older http", "stdio"]


def connected(site: ProgramSites, transport: Transport, *, generating: bool = False) -> Client:
    if transport == "stdio":
        model = {"LLM_BASE_URL": site.model.url, "LLM_MODEL": "stub"} if generating else {}
        command = StdioServerParameters(
            command=sys.executable, args=["manage.py", "mcp"], env={**site.environment, **model}, cwd=str(BASE_DIR)
        )
        return Client(command)
    address = site.generating if generating else site.extracting
    return Client(f"{address}/mcp", mode="legacy" if transport == "older http" else "auto")


def data_of(result: CallToolResult) -> dict[str, Any]:
    """The structured result; its text says the same."""
    assert not result.is_error, result.content
    [content] = result.content
    assert isinstance(content, TextContent)
    found: dict[str, Any] = json.loads(content.text)
    assert result.structured_content == found
    return found


def sentence_of(result: CallToolResult) -> str:
    assert result.is_error
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


@pytest.mark.parametrize("transport", ["http", "older http", "stdio"])
async def test_every_tool_can_be_listed_and_called(site: ProgramSites, transport: Transport) -> None:
    async with connected(site, transport) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == TOOLS
        assert all(tool.output_schema and tool.annotations and tool.annotations.read_only_hint for tool in tools)
        found = data_of(await client.call_tool("search_docs", {"query": QUESTION, "limit": 2}))
        assert "quotations" in found["note"]
        first = found["passages"][0]
        assert (first["title"], first["section"], first["page"], first["position"]) == (
            "Migrations",
            "Creating",
            "911",
            0,
        )
        assert first["url"].startswith("http://") and first["url"].endswith("/documents/911/#p0")
        answer = data_of(await client.call_tool("ask_docs", {"question": QUESTION, "source": "Handbook"}))
        assert answer["written_by"] == "extracts"
        assert "makemigrations" in answer["answer"]
        assert answer["citations"][0]["url"] == first["url"]
        page = data_of(await client.call_tool("fetch_page", {"page": "911"}))
        assert page["text"].startswith("## Migrations › Creating\n\nMigrations record")
        assert page["next_position"] is None
        sources = data_of(await client.call_tool("list_sources"))["sources"]
        assert sources == [{"name": "Handbook", "pages": 2, "passages": 4}, {"name": "Site", "pages": 2, "passages": 3}]
        results = data_of(await client.call_tool("search", {"query": QUESTION}))["results"]
        assert set(results[0]) == {"id", "title", "url"}
        fetched = data_of(await client.call_tool("fetch", {"id": results[0]["id"]}))
        assert fetched["text"] == page["text"]
        assert set(fetched) == {"id", "title", "text", "url", "metadata"}
        [template] = (await client.list_resource_templates()).resource_templates
        resource = await client.read_resource(template.uri_template.replace("{page}", "911"))
        assert page["text"] in resource.contents[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize("transport", ["http", "older http", "stdio"])
async def test_failures_are_sentences_that_say_what_to_do(site: ProgramSites, transport: Transport) -> None:
    async with connected(site, transport) as client:
        unknown = await client.call_tool("search_docs", {"query": "x", "source": "Nowhere"})
        assert sentence_of(unknown).endswith("There is no source named 'Nowhere'. list_sources names those there are.")
        empty = await client.call_tool("ask_docs", {"question": "  "})
        assert sentence_of(empty).endswith("Ask a question first.")
        long = await client.call_tool("ask_docs", {"question": "x" * 3000})
        assert "at most 2000 are read. Shorten it." in sentence_of(long)
        for arguments in ({"page": "77"}, {"page": "9" * 30}, {"page": "https://nowhere.example/"}, {"page": "-1"}):
            assert "Take the id from a result" in sentence_of(await client.call_tool("fetch_page", arguments))
        assert sentence_of(await client.call_tool("search_docs", {"query": "x", "limit": 1000}))
        assert sentence_of(await client.call_tool("search_docs", {"query": "x" * 30_000}))
        assert sentence_of(await client.call_tool("no_such_tool", {}))
        with pytest.raises(MCPError, match="no such page"):
            await client.read_resource("docs://pages/77")


@pytest.mark.parametrize("transport", ["http", "older http", "stdio"])
async def test_a_call_that_is_cancelled_stops_the_language_model(site: ProgramSites, transport: Transport) -> None:
    site.model.behaviour = "endless"
    told: list[str | None] = []
    begun = anyio.Event()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)
        if progress:
            begun.set()

    async with connected(site, transport, generating=True) as client, anyio.create_task_group() as calls:

        async def call() -> None:
            await client.call_tool("ask_docs", {"question": QUESTION}, progress_callback=progress)

        calls.start_soon(call)
        await begun.wait()
        assert not site.model.hung_up.is_set()
        calls.cancel_scope.cancel()
    assert str(told[0]).endswith("passages found")
    assert str(told[1]).endswith("characters written")
    assert await anyio.to_thread.run_sync(site.model.hung_up.wait, 300)


async def test_twenty_clients_are_answered_at_once(site: ProgramSites) -> None:
    answers: list[dict[str, Any]] = []

    async def ask(transport: Transport) -> None:
        async with connected(site, transport, generating=True) as client:
            found = data_of(await client.call_tool("search_docs", {"query": QUESTION}))
            answers.append(data_of(await client.call_tool("ask_docs", {"question": QUESTION})))
            assert found["passages"][0]["page"] == "911"

    async with anyio.create_task_group() as clients:
        for number in range(20):
            clients.start_soon(ask, "older http" if number % 2 else "http")
    assert len(answers) == 20
    assert {answer["answer"] for answer in answers} == {"Run makemigrations [1]."}


async def test_a_page_is_found_by_its_address_and_nothing_tells_where_files_are(site: ProgramSites) -> None:
    async with connected(site, "http") as client:
        page = data_of(await client.call_tool("fetch_page", {"page": "https://docs.example.org/topics/cache/#x"}))
        assert (page["title"], page["page"]) == ("Caching", "921")
        told = [
            await client.call_tool("search_docs", {"query": "migrations zebra", "limit": 10}),
            await client.call_tool("ask_docs", {"question": QUESTION}),
            await client.call_tool("fetch_page", {"page": "922"}),
            await client.call_tool("fetch", {"id": "911.2"}),
        ]
        assert not any("file://" in data.model_dump_json() for data in told)
        assert not any(data_of(data).get("url", "").startswith("javascript:") for data in told)


@asynccontextmanager
async def with_key(site: ProgramSites, key: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=300) as http,
        Client(streamable_http_client(f"{site.closed}/mcp", http_client=http)) as client,
    ):
        yield client


async def test_a_key_opens_a_closed_site_as_far_as_its_scopes_and_sources_go(site: ProgramSites) -> None:
    async with with_key(site, site.keys["searching"]) as client:
        assert data_of(await client.call_tool("search_docs", {"query": QUESTION}))["passages"]
        refused = await client.call_tool("ask_docs", {"question": QUESTION})
        assert sentence_of(refused).endswith("This needs a key with the scope “ask”.")
    async with with_key(site, site.keys["handbook"]) as client:
        [source] = data_of(await client.call_tool("list_sources"))["sources"]
        assert source["name"] == "Handbook"
        found = data_of(await client.call_tool("search_docs", {"query": "How do I cache in Redis?"}))
        assert {passage["source"] for passage in found["passages"]} == {"Handbook"}
        assert "Take the id from a result" in sentence_of(await client.call_tool("fetch_page", {"page": "921"}))
        assert "There is no source named 'Site'" in sentence_of(
            await client.call_tool("ask_docs", {"question": "How do I cache?", "source": "Site"})
        )
        with pytest.raises(MCPError, match="no such page"):
            await client.read_resource("docs://pages/921")


@pytest.mark.parametrize("key", ["", "rag_00000000_wrong"])
def test_a_missing_or_wrong_key_is_refused_before_anything_is_read(site: ProgramSites, key: str) -> None:
    address, headers = (site.extracting, {"Authorization": f"Bearer {key}"}) if key else (site.closed, {})
    status, body = sent(f"{address}/mcp", b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}', **headers)
    assert (status, body["id"], body["error"]["code"]) == (401, None, -32600)
    assert "key" in body["error"]["message"]


async def test_a_client_with_a_wrong_key_is_told_so(site: ProgramSites) -> None:
    with pytest.raises(ExceptionGroup) as refused:
        async with with_key(site, "rag_00000000_wrong"):
            pass
    assert refused.group_contains(MCPError, match="unknown, expired or revoked")


def sent(url: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **names})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310  our own server
            return response.status, {}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Accept": "text/html"}, 406),
    ],
)
def test_requests_from_elsewhere_are_refused(site: ProgramSites, headers: dict[str, str], status: int) -> None:
    found, body = sent(f"{site.extracting}/mcp", b"{}", **headers)
    assert found == status
    assert set(body) == {"jsonrpc", "id", "error"}


def test_a_stream_that_nothing_could_come_over_is_not_opened(site: ProgramSites) -> None:
    status, body = sent(f"{site.extracting}/mcp", Accept="text/event-stream")
    assert (status, body["error"]["message"]) == (405, "Use POST here.")


def test_a_large_body_is_refused(site: ProgramSites) -> None:
    assert sent(f"{site.extracting}/mcp", b"x" * 100_000)[0] == 413


def test_standard_output_carries_the_protocol_alone(site: ProgramSites) -> None:
    """One line for each answer, whatever Django, the model or the logs have to say."""
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    asked = {**listing, "params": {"name": "search_docs", "arguments": {"query": QUESTION}}}
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    messages = [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        asked,
    ]
    with subprocess.Popen(
        [sys.executable, "manage.py", "mcp"],
        env={**site.environment, "LOG_LEVEL": "DEBUG"},
        cwd=BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        logs = threading.Thread(target=process.stderr.read)
        logs.start()
        process.stdin.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.stdin.close()
        rest = process.stdout.read()
        logs.join()
    assert [answer["id"] for answer in answers] == [0, 1]
    assert not answers[1]["result"]["isError"]
    assert (rest, process.returncode) == (b"", 0)
