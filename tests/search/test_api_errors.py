"""Every error of the API is a problem (RFC 9457) with one sentence, whoever made it, and names the request."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.test import AsyncClient, Client
from pytest_django import Settings

from search.api import views
from search.api.errors import is_api
from search.api.v1 import questions

PATHS = ["/api/search", "/api/ask", "/api/sources", "/healthz", "/readyz"]
UNKNOWN = ["/api", "/api/", "/api/nothing", "/api/search/", "/api/ask/x", "/api/ñ"]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"]
SECRET = "secret-detail"
FAULTS: list[tuple[Exception, int]] = [
    (RuntimeError(SECRET), 500),
    (Http404(SECRET), 404),
    (PermissionDenied(SECRET), 403),
    (SuspiciousOperation(SECRET), 400),
]


async def awaited(method: str, path: str, **options: Any) -> Any:
    client = AsyncClient(enforce_csrf_checks=True, raise_request_exception=False)
    return await client.generic(method, path, **options)


def sent(method: str, path: str, *, asynchronous: bool, **options: Any) -> Any:
    """Through the middleware as a server runs it, or as Django's plain test client does."""
    if asynchronous:
        return async_to_sync(awaited)(method, path, **options)
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    return client.generic(method, path, **options)


def check(response: Any, status: int, method: str = "GET") -> None:
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    if method == "HEAD":
        return
    body = response.json()
    error = body["error"]
    assert (body["status"], body["detail"], body["request_id"]) == (status, error, response["X-Request-ID"])
    assert error.endswith(".")
    assert "\n" not in error
    assert SECRET not in error


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS)
def test_a_method_that_is_not_taken_is_405(db: None, path: str, method: str, asynchronous: bool) -> None:
    allowed = {"POST"} if path == "/api/ask" else {"GET", "HEAD"}
    if method in allowed:
        return
    response = sent(method, path, asynchronous=asynchronous)
    check(response, 405, method)
    assert set(response["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("path", UNKNOWN)
def test_an_unknown_path_is_404(db: None, path: str, method: str, asynchronous: bool) -> None:
    check(sent(method, path, asynchronous=asynchronous), 404, method)


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize(("fault", "status"), FAULTS, ids=lambda value: str(type(value).__name__))
@pytest.mark.parametrize("path", PATHS)
def test_what_a_view_raises_is_json_without_internals(
    db: None, monkeypatch: pytest.MonkeyPatch, path: str, fault: Exception, status: int, asynchronous: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def broken(*args: object, **kwargs: object) -> None:
        raise fault

    for name in ("indexed_sources", "missing_services", "JsonResponse"):
        monkeypatch.setattr(views, name, broken)
    monkeypatch.setattr(questions, "read_question", broken)
    method = "POST" if path == "/api/ask" else "GET"
    check(sent(method, path, asynchronous=asynchronous), status, method)
    if status == 500:
        assert SECRET in caplog.text


@pytest.mark.parametrize("path", PATHS)
def test_a_host_that_is_not_ours_is_400(db: None, path: str) -> None:
    check(Client(headers={"host": "evil.example"}).get(path), 400)


def test_a_debugging_page_is_not_shown_to_programs(db: None, settings: Settings) -> None:
    settings.DEBUG = True
    check(sent("GET", "/api/search/x", asynchronous=True), 404)


def test_a_form_that_cannot_be_read_is_400(db: None) -> None:
    options = {"data": b"--x\r\nbroken", "content_type": "multipart/form-data; boundary="}
    check(sent("POST", "/api/ask", asynchronous=True, **options), 400)


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1234.x_", True), ("short", False), ("x" * 65, False), ("a b c d e f", False)]
)
def test_a_request_keeps_a_sensible_id(db: None, given: str, kept: bool) -> None:
    response = Client().get("/healthz", headers={"X-Request-ID": given})
    assert (response["X-Request-ID"] == given) == kept


def test_pages_keep_their_own_errors(db: None) -> None:
    response = Client().get("/documents/1/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")
    assert not is_api("/apiary")
    assert not is_api("/admin/api/")
