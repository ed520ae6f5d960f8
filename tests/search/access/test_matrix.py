"""Every route, method and kind of caller: who comes in, and that nobody reads what is not theirs.

The routes come from the URL configuration and the OpenAPI document; one without a verdict here fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import AsyncClient
from django.urls import URLPattern, get_resolver

from search.api.v1.routes import api
from tests.support.callers import CALLERS, SECRETS, SEES_IT
from tests.support.search_services import HANDBOOK

pytestmark = pytest.mark.slow

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
QUESTION = "How do I create migrations after changing a model?"
LOGIN = re.compile(r"^/(admin/)?login/\?next=")

IN, REFUSED, HIDDEN = "in", "refused", "hidden"
Verdict = tuple[str, ...]
ALL: Verdict = (IN,) * 5
ASKING: Verdict = (IN, REFUSED, IN, IN, IN)
OF_THE_GROUP: Verdict = (HIDDEN, HIDDEN, HIDDEN, IN, IN)
OF_STAFF: Verdict = (REFUSED, REFUSED, REFUSED, IN, REFUSED)

OF_ITS_READER: Verdict = (HIDDEN,) * 5

VERDICTS: dict[str, dict[str, Verdict]] = {
    "": {"GET": ALL},
    "results": {"GET": ALL},
    "ask": {"POST": ASKING},
    "answers/<slug:key>/": {"GET": OF_THE_GROUP},
    "answers/<slug:key>/mine": {"GET": OF_ITS_READER},
    "answers/<slug:key>/change": {"POST": OF_ITS_READER},
    "widget/": {"GET": ALL},
    "widget/ask": {"POST": ASKING, "OPTIONS": ALL},
    "widget/results": {"GET": ALL, "OPTIONS": ALL},
    "documents/<int:document_id>/": {"GET": OF_THE_GROUP},
    "login/": {"GET": ALL, "POST": ALL, "PUT": ALL, "OPTIONS": ALL},
    "logout/": {"POST": ALL, "OPTIONS": ALL},
    "favicon.ico": dict.fromkeys(set(METHODS) - {"TRACE"}, ALL),
    "api/search": {"GET": ALL},
    "api/ask": {"POST": ASKING},
    "api/sources": {"GET": ALL},
    "api/v1/": {},
    "api/v1/docs": {"GET": ALL},
    "api/v1/openapi.json": {"GET": ALL},
    "api/v1/search": {"GET": ALL},
    "api/v1/ask": {"POST": ASKING},
    "api/v1/feedback": {"POST": (HIDDEN, REFUSED, HIDDEN, HIDDEN, HIDDEN)},
    "api/v1/documents": {"GET": ALL},
    "api/v1/documents/<document_id>": {"GET": OF_THE_GROUP},
    "api/v1/sources": {"GET": ALL, "POST": OF_STAFF},
    "api/v1/sources/<source_id>": {"GET": OF_STAFF, "DELETE": OF_STAFF},
    "api/v1/sources/<source_id>/refresh": {"POST": OF_STAFF},
    "api/v1/sources/<source_id>/pause": {"POST": OF_STAFF},
    "api/v1/sources/<source_id>/cancel": {"POST": OF_STAFF},
    "api/v1/sources/<source_id>/resume": {"POST": OF_STAFF},
    "api/v1/runs": {"GET": OF_STAFF},
    "api/v1/runs/<run_id>": {"GET": OF_STAFF},
    "api/v1/runs/<run_id>/events": {"GET": OF_STAFF},
    "v1/models": {"GET": ALL},
    "v1/models/<path:name>": {"GET": ALL},
    "v1/chat/completions": {"POST": ASKING},
    "v1/embeddings": {"POST": ALL},
    "v1/<path:path>": dict.fromkeys(METHODS, OF_ITS_READER),
    "healthz": {"GET": ALL},
    "readyz": {"GET": ALL},
}
BODIES = {
    "ask": {"q": QUESTION},
    "answers/<slug:key>/change": {"do": "share"},
    "widget/ask": {"q": QUESTION},
    "api/ask": {"q": QUESTION},
    "api/v1/ask": {"q": QUESTION},
    "api/v1/feedback": {"id": "kept", "rating": "up"},
    "v1/chat/completions": {"model": "docs", "messages": [{"role": "user", "content": QUESTION}]},
    "v1/embeddings": {"model": "stand-in", "input": QUESTION},
    "api/v1/sources": {"name": "New", "kind": "website", "target": "https://docs.example.org/new/"},
}
QUESTIONS = ("", "results", "widget/results", "api/search", "api/v1/search")


@dataclass(frozen=True)
class Answer:
    status: int
    location: str
    body: bytes

    @property
    def outcome(self) -> str:
        if self.status in (401, 403) or LOGIN.match(self.location):
            return REFUSED
        if self.status == 404:
            return HIDDEN
        return IN if self.status < 400 else str(self.status)


def routes(patterns: list[Any] | None = None, before: str = "") -> Iterator[str]:
    """Every address of the URL configuration, with the names of its arguments."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        address = before + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield address
        else:
            yield from routes(pattern.url_patterns, address)


def addresses() -> list[str]:
    """The routes without the admin's and those that tell of the system's state, which have tests of their own."""
    return sorted({route for route in routes() if not route.startswith(("admin/", "metrics", "readyz/"))})


# One, because each makes all middleware anew.
CLIENT = AsyncClient()


def send(method: str, route: str, caller: dict[str, Any]) -> Answer:
    """The answer to a request that is right for the route; what it changed is rolled back."""
    path = "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda m: str(ARGUMENTS[m.group(1)]), route)
    options: dict[str, Any] = {"headers": caller.get("headers", {})}
    if route in QUESTIONS:
        path += "?q=" + QUESTION.replace(" ", "+").replace("?", "%3F")

    async def asked() -> Answer:
        CLIENT.cookies.clear()
        if "user" in caller:
            await CLIENT.aforce_login(caller["user"])
        if method in ("POST", "PUT", "PATCH"):
            sending = getattr(CLIENT, method.lower())
            response = await sending(path, BODIES.get(route, {}), content_type="application/json", **options)
        else:
            response = await CLIENT.generic(method, path, **options)
        streams = response.streaming
        body = b"".join([part async for part in response.streaming_content]) if streams else response.content
        return Answer(response.status_code, response.get("Location", ""), body)

    with transaction.atomic():
        answer: Answer = async_to_sync(asked)()
        transaction.set_rollback(True)
    return answer


ARGUMENTS = {"name": "docs", "path": "nothing", "document_id": 911, "source_id": HANDBOOK, "run_id": 1, "key": "kept"}


def expected(route: str, method: str, who: str) -> str:
    """What the verdicts say; a HEAD is a GET, and what has no verdict is not possible."""
    known = VERDICTS[route]
    verdict = known.get(method) or (known.get("GET") if method == "HEAD" else None)
    if verdict is None:
        return HIDDEN if route == "api/v1/" else "405"
    return verdict[CALLERS.index(who)]


def test_every_route_has_a_verdict() -> None:
    assert set(addresses()) == set(VERDICTS)


def test_every_operation_of_the_document_has_a_verdict() -> None:
    described = {
        (address.lstrip("/").replace("{", "<").replace("}", ">"), method.upper())
        for address, methods in api.get_openapi_schema()["paths"].items()
        for method in methods
    }
    judged = {
        (route, method) for route, methods in VERDICTS.items() if route.startswith("api/v1/") for method in methods
    }
    assert described == judged - {("api/v1/docs", "GET"), ("api/v1/openapi.json", "GET")}


@pytest.mark.parametrize("who", CALLERS)
def test_each_caller_comes_in_where_it_may_and_reads_nothing_else(kinds: dict[str, dict[str, Any]], who: str) -> None:
    wrong, cells = [], 0
    for route in addresses():
        for method in METHODS:
            answer = send(method, route, kinds[who])
            cells += 1
            if answer.outcome != expected(route, method, who):
                wrong.append((method, route, answer.status, expected(route, method, who)))
            if who not in SEES_IT and SECRETS.search(answer.body):
                wrong.append((method, route, answer.status, "the text of another's source"))
    print(f"{who}: {cells} cells")  # noqa: T201
    assert not wrong
    assert cells == len(METHODS) * len(VERDICTS)


@pytest.mark.parametrize("who", sorted(SEES_IT))
@pytest.mark.parametrize(
    "route", ["", "documents/<int:document_id>/", "api/search", "api/v1/search", "api/v1/documents"]
)
def test_who_may_read_the_source_does(kinds: dict[str, dict[str, Any]], route: str, who: str) -> None:
    assert SECRETS.search(send("GET", route, kinds[who]).body)


@pytest.mark.parametrize("who", CALLERS)
def test_the_admin_is_for_staff_alone_whatever_key_is_sent(kinds: dict[str, dict[str, Any]], who: str) -> None:
    found = []
    admin = {re.sub(r"<[^>]+>", "1", route) for route in routes() if route.startswith("admin/") and "(?P" not in route}
    for route in sorted(admin - {"admin/login/", "admin/logout/"}):
        for method in ("GET", "POST"):
            answer = send(method, route, kinds[who])
            if answer.outcome == IN or SECRETS.search(answer.body):
                found.append((method, route, answer.status, answer.location))
    assert not found
