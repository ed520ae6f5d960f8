"""/mcp without a client: how the server has to be started, and what is refused before a message is read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from pytest_django import Settings

from ragproject.embedded import services
from search.access.caller import OPERATOR
from search.api.mcp_server import tools
from search.api.mcp_server.asking import Asking
from search.api.mcp_server.endpoint import McpEndpoint

LISTING = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


async def post(endpoint: McpEndpoint, host: str = "localhost", **headers: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=endpoint)
    async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        return await client.post("/mcp", json=LISTING, headers={**ACCEPT, **headers})


async def test_a_server_without_its_lifespan_says_so() -> None:
    response = await post(McpEndpoint())
    assert (response.status_code, response.json()["error"]["code"]) == (503, -32600)
    assert "--lifespan on" in response.text


def test_the_stack_starts_the_web_process_with_its_lifespan() -> None:
    command = services.web().command
    assert command[command.index("--lifespan") + 1] == "on"


@pytest.mark.django_db(transaction=True)
async def test_a_server_can_be_started_again(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = [".example.org"]
    endpoint = McpEndpoint()
    for _ in range(2):
        async with endpoint.lifespan(None):
            assert (await post(endpoint, "docs.example.org")).status_code == 200
            assert (await post(endpoint, "docs.example.com")).status_code == 421
            assert (await post(endpoint, "docs.example.org", Origin="https://evil.example")).status_code == 403
            assert (await post(endpoint, "docs.example.org", Origin="https://docs.example.org")).status_code == 200
    assert (await post(endpoint, "docs.example.org")).status_code == 503


async def test_a_key_is_not_read_in_the_clear_where_the_site_has_https(settings: Settings) -> None:
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["docs.example.org"], True
    endpoint = McpEndpoint()
    async with endpoint.lifespan(None):
        response = await post(endpoint, "docs.example.org", Authorization="Bearer rag_00000000_x")
    assert (response.status_code, response.json()["error"]["message"]) == (403, "Use https.")


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["\0", "http://[#", "9" * 18, "x" * 2048])
def test_a_page_that_no_index_has_is_none(page: str) -> None:
    assert tools.stored_page(page, Asking(OPERATOR, "http://localhost/"), 0) is None


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the connection to SQLite is a file")
@pytest.mark.django_db(transaction=True)
async def test_over_standard_input_a_connection_that_the_database_closed_is_opened_again() -> None:
    started_us: Any = SimpleNamespace(request_context=SimpleNamespace(request=None))
    assert (await tools.list_sources(started_us)).sources == []
    await sync_to_async(lambda: connection.connection.close())()
    assert (await tools.list_sources(started_us)).sources == []
