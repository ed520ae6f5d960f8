"""One web process as uvicorn runs it: many connections of one client, another reader, and proxies.

The model is a test's own, so that what is held is held until the test lets it go.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import uvicorn
from django.core.checks import Warning
from django.http import HttpRequest
from pytest_django import Settings
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ragproject import asgi
from ragproject.clients import Slots
from ragproject.embedded import services
from ragproject.refusals import Refusals
from search import checks
from search.access import fair_queue, identify
from search.retrieval import query_embedder, retriever
from search.retrieval.preparation import Asked, PreparedQuestion
from search.retrieval.question_model import ServedModel
from search.retrieval.selection import Selection
from tests.conftest import wait_until
from tests.search.test_query_embedder import HeldEmbedder

CROWD, READER = "127.0.0.1", "127.0.0.2"
REQUEST = b"GET /api/search?q=%d HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


class Site:
    """A server in a thread, over a model that is held."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model = HeldEmbedder()
        both = fair_queue.new_queues()
        self.searches = both.searches
        monkeypatch.setattr(retriever, "process_queues", lambda: both)
        monkeypatch.setattr(asgi.limited, "refusals", Refusals())  # what other tests were told is over
        monkeypatch.setattr(query_embedder, "BATCH_WAIT_SECONDS", 0)  # the first question does not wait for others
        monkeypatch.setattr(retriever, "prepare_each", lambda asked: [self.prepare(each) for each in asked])
        monkeypatch.setattr(retriever, "find_each", lambda embedded: [[] for _ in embedded])
        monkeypatch.setattr(identify, "visible_to_groups", lambda groups: None)  # there is no database here
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])
        self.server = uvicorn.Server(uvicorn.Config(asgi.application, lifespan="on", log_level="error"))
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve([self.socket])))
        self.thread.start()

    def prepare(self, asked: Asked) -> PreparedQuestion:
        ids = np.full(10, int(asked.question.text), np.uint32)
        return PreparedQuestion(
            ServedModel(None, self.model),  # type: ignore[arg-type]
            Selection(),
            [asked.question.text],
            [ids],
        )

    def connect(self, number: int) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), source_address=(CROWD, 0))
        connection.sendall(REQUEST % number)
        return connection

    def ask(self, number: int, **headers: str) -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, source_address=(READER, 0))) as connection:
            connection.request("GET", f"/api/search?q={number}", headers=headers)
            response = connection.getresponse()
            response.read()
            return response.status

    def waiting(self) -> int:
        """Questions that wait for their turn."""
        return self.searches.waiting(known=False)

    def searching(self) -> int:
        """Questions whose turn it is."""
        return self.searches.running.total()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    running = Site(monkeypatch)
    wait_until(lambda: running.server.started)
    yield running
    running.model.free.set()
    running.server.should_exit = True
    running.thread.join()
    running.socket.close()


def status_of(connection: socket.socket) -> int:
    with connection:
        data = b"".join(iter(lambda: connection.recv(65_536), b""))
    return int(data.split()[1])


def in_thread(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(call()))
    thread.start()
    return thread, got


def test_a_reader_is_served_at_once_while_one_client_holds_sixty_questions(site: Site, settings: Settings) -> None:
    connections = [site.connect(n) for n in range(60)]
    wait_until(lambda: site.waiting() == settings.QUESTIONS_WAITING_PER_CLIENT)
    thread, got = in_thread(lambda: site.ask(100))
    wait_until(lambda: site.searching() == settings.SEARCHES_PER_CLIENT + 1)
    assert site.waiting() == settings.QUESTIONS_WAITING_PER_CLIENT
    site.model.free.set()
    thread.join()
    assert got == [200]
    statuses = [status_of(c) for c in connections]
    assert statuses.count(200) == settings.QUESTIONS_WAITING_PER_CLIENT + settings.SEARCHES_PER_CLIENT
    assert statuses.count(429) == 60 - statuses.count(200)


def test_questions_of_clients_that_hung_up_are_never_embedded(site: Site, settings: Settings) -> None:
    connections = [site.connect(n) for n in range(10)]
    wait_until(lambda: site.searching() == settings.SEARCHES_PER_CLIENT and site.searching() + site.waiting() == 10)
    wait_until(site.model.started.is_set)
    for connection in connections:
        connection.close()
    wait_until(lambda: site.waiting() == 0)
    site.model.free.set()
    assert site.ask(100) == 200
    assert site.model.batches[-1] == [100]
    assert sum(map(len, site.model.batches)) <= settings.SEARCHES_PER_CLIENT + 1


@pytest.mark.parametrize(("trusted", "counted"), [([], READER), ([READER], "203.0.113.5"), (["10.0.0.0/8"], READER)])
def test_a_forwarded_address_counts_only_from_a_trusted_proxy(
    site: Site, monkeypatch: pytest.MonkeyPatch, trusted: list[str], counted: str
) -> None:
    seen: list[str] = []

    def noted(request: HttpRequest) -> str:
        seen.append(request.META["REMOTE_ADDR"])
        return READER

    monkeypatch.setattr(identify, "client_of", noted)
    asking = ProxyHeadersMiddleware(asgi.limited, trusted_hosts=trusted)  # type: ignore[arg-type]
    monkeypatch.setattr(asgi.application, "trusted_hosts", asking.trusted_hosts)
    site.model.free.set()
    assert site.ask(1, **{"X-Forwarded-For": "203.0.113.5"}) == 200
    assert seen == [counted]


def test_the_server_itself_believes_no_forwarded_address() -> None:
    assert "--no-proxy-headers" in services.web().command


def test_a_large_body_is_json_413_through_the_server(site: Site) -> None:
    body = b"q=" + b"x" * 3_000_000
    with closing(http.client.HTTPConnection("127.0.0.1", site.port)) as connection:
        connection.request("POST", "/api/ask", body, {"Content-Type": "application/x-www-form-urlencoded"})
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Type"]) == (413, "application/problem+json")
        assert json.loads(response.read())["error"].startswith("The body is larger than")


def test_the_server_gives_back_every_place(site: Site) -> None:
    slots: Slots = asgi.limited.slots
    site.model.free.set()
    assert [site.ask(n) for n in range(3)] == [200] * 3
    wait_until(lambda: not slots.held)


def test_a_proxy_that_is_not_named_is_warned_of(settings: Settings) -> None:
    settings.BEHIND_HTTPS, settings.TRUSTED_PROXIES = True, []
    [found] = checks.check_proxies()
    assert isinstance(found, Warning)
    assert "TRUSTED_PROXIES" in str(found.hint)
    settings.TRUSTED_PROXIES = ["10.0.0.1"]
    assert checks.check_proxies() == []
    settings.TRUSTED_PROXIES = ["10.0.0.1/8", "proxy"]
    assert [found.id for found in checks.check_proxies()] == ["search.E001"] * 2
