"""Middleware in the event loop: the same answers as Django's own, in a thread only where something is stored."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.conf import settings as project
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from django.urls import path
from pytest_django import Settings

from ragproject import middleware

OURS = [name.rpartition(".")[2] for name in project.MIDDLEWARE if name.startswith("ragproject.middleware.")]


async def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


async def counted(request: HttpRequest) -> HttpResponse:
    number = await request.session.aget("number", 0) + 1
    await request.session.aset("number", number)
    return HttpResponse(f"{number}")


async def told(request: HttpRequest) -> HttpResponse:
    messages.info(request, "remember")
    return HttpResponse("told")


urlpatterns = [path("plain", plain), path("counted", counted), path("told", told)]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> dict[str, list[bool]]:
    """Of each class of ours: whether its end of a request ran in a thread of its own."""
    settings.ROOT_URLCONF = __name__
    seen: dict[str, list[bool]] = {}
    for name in OURS:
        kind: Any = getattr(middleware, name)
        if end := getattr(kind, "process_response", None):

            def noting(self: Any, request: Any, response: Any, name: str = name, end: Any = end) -> Any:
                seen.setdefault(name, []).append(threading.current_thread() is not threading.main_thread())
                return end(self, request, response)

            monkeypatch.setattr(kind, "process_response", noting)
    return seen


async def test_a_request_that_stores_nothing_stays_in_the_loop(threads: dict[str, list[bool]]) -> None:
    response = await AsyncClient().get("/plain")
    assert response.status_code == 200
    assert {name for name, seen in threads.items() if seen == [False]} == set(threads) != set()
    for header in ("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Content-Length"):
        assert header in response, header


@pytest.mark.django_db(transaction=True)
async def test_a_session_is_stored_in_the_requests_thread(threads: dict[str, list[bool]]) -> None:
    client = AsyncClient()
    answers = [(await client.get("/counted")).content for _ in range(3)]
    assert answers == [b"1", b"2", b"3"]
    assert threads["Sessions"] == [True] * 3
    assert threads["Common"] == [False] * 3


@pytest.mark.django_db(transaction=True)
async def test_messages_are_stored_in_the_requests_thread(threads: dict[str, list[bool]]) -> None:
    await AsyncClient().get("/told")
    assert threads["Messages"] == [True]


@pytest.mark.django_db(transaction=True)
async def test_the_admin_works_in_an_asynchronous_process() -> None:
    make = User.objects.acreate_superuser
    await make("ann", "ann@example.org", "a long password")
    client = AsyncClient(enforce_csrf_checks=True)
    login = await client.get("/admin/login/?next=/admin/")
    fields = {"username": "ann", "password": "a long password", "next": "/admin/"}
    assert (await client.post("/admin/login/", fields)).status_code == 403
    fields["csrfmiddlewaretoken"] = login.cookies["csrftoken"].value
    assert (await client.post("/admin/login/", fields)).status_code == 302
    page = await client.get("/admin/")
    assert b"ann" in page.content
