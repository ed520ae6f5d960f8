"""Log lines: ids of what was worked on, and no credentials."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from ingestion import tasks
from ingestion.pipeline.process import process_document
from ragproject.environment import without_credentials
from ragproject.logs import JsonLine, Line, log_ids
from search.api.errors import problems

logger = logging.getLogger("tests.logs")


def made(message: str, *arguments: object, exc_info: Any = None) -> logging.LogRecord:
    return logger.makeRecord("tests.logs", logging.WARNING, __file__, 1, message, arguments, exc_info)


def as_json(record: logging.LogRecord) -> dict[str, Any]:
    line = JsonLine().format(record)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_an_object_says_when_where_what_and_of_which_ids() -> None:
    with log_ids(run=3), log_ids(document=7):
        found = as_json(made("page %s\nis “odd”", 1))
    assert found["message"] == "page 1\nis “odd”"
    assert (found["level"], found["logger"], found["run"], found["document"]) == ("WARNING", "tests.logs", 3, 7)
    assert found["time"].endswith("+00:00")
    assert "run" not in as_json(made("later"))


def test_a_traceback_is_part_of_the_object() -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        found = as_json(made("it failed", exc_info=sys.exc_info()))
    assert "ValueError: odd" in found["traceback"]


@pytest.mark.parametrize("formatter", [Line(), JsonLine()])
def test_credentials_in_addresses_are_hidden(formatter: logging.Formatter) -> None:
    try:
        raise ConnectionError("redis://:pass word@host:6379/0 https://me:secret1@host/?api_key=secret2")
    except ConnectionError:
        said = formatter.format(made("no answer from %s", "postgres://u:secret3@db/x", exc_info=sys.exc_info()))
    assert "db/x" in said and "secret" not in said and "***@host" in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sqlite:////tmp/a@b", "sqlite:////tmp/a@b"),
        ("file:///x?u=redis://u:p@h", "file:///x?u=redis://***@h"),
        ("?x?token=abc&y=1 a@b ://", "?x?token=***&y=1 a@b ://"),
        ("https://a@b@c/d", "https://***@c/d"),
    ],
)
def test_what_stands_beside_credentials_is_shown(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize("part", ["?pass", "://", "a://", "&a", "=:///"])
def test_addresses_of_strangers_cost_no_more_than_their_length(part: str) -> None:
    """A pattern that backtracks would take longer than anybody waits."""
    assert without_credentials(f"/{part * 50_000}") == f"/{part * 50_000}"


def test_what_a_task_logs_names_its_document(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Enough(Exception):
        pass

    def process(document_id: int, attempt: int) -> None:
        seen.append(as_json(made("working")))
        raise Enough

    monkeypatch.setattr(process_document, "process", process)
    with pytest.raises(Enough):
        tasks.process(17, 0)
    assert seen[0]["document"] == 17


async def test_what_a_request_logs_has_the_id_of_its_response() -> None:
    logged: list[str] = []

    async def view(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        logged.append(as_json(made("asked"))["request"])
        return HttpResponse()

    async def one(number: int) -> str:
        request = RequestFactory().get("/", headers={"X-Request-ID": f"request-{number}"})
        response = await problems(view)(request)
        return str(response["X-Request-ID"])

    told = await asyncio.gather(*(asyncio.create_task(one(number)) for number in range(3)))
    assert sorted(logged) == sorted(told) == ["request-0", "request-1", "request-2"]
