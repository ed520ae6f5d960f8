"""The limits on open requests and bodies, in front of an application that a test drives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from ragproject import refusals, request_limits
from ragproject.clients import Slots, client_at
from ragproject.request_limits import (
    BODY_BYTES,
    CONVERSATION_BYTES,
    FORM_BYTES,
    Message,
    Receive,
    RequestLimits,
    Scope,
    Send,
)
from ragproject.uploaders import may_upload

UPLOAD = 1000
FORM = "/admin/ingestion/source/add/"


async def who_has_a_session(cookies: str) -> bool:
    return "session" in cookies


def scope_of(path: str = "/api/ask", client: str = "192.0.2.1", **headers: str) -> Scope:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": path, "client": (client, 1), "headers": named}


class Caller:
    """The server's side of one request."""

    def __init__(self, pieces: Iterable[bytes] = (b"",)) -> None:
        self.pieces = list(pieces)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if not self.pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.pieces.pop(0), "more_body": bool(self.pieces)}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def error(self) -> str:
        return str(json.loads(self.sent[1]["body"])["error"])


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """Read a body as Django does, and answer how long it was."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps({"size": size}).encode()})


def passed(pieces: Iterable[bytes], scope: Scope) -> Caller:
    caller = Caller(pieces)
    limits = RequestLimits(reading, Slots(1, 1), UPLOAD, who_has_a_session)
    asyncio.run(limits(scope, caller.receive, caller.send))
    assert not limits.slots.held
    return caller


def test_a_body_within_the_limit_arrives_whole() -> None:
    caller = passed([b"x" * BODY_BYTES], scope_of(content_length=str(BODY_BYTES)))
    assert caller.status == 200
    assert json.loads(caller.sent[1]["body"]) == {"size": BODY_BYTES}


@pytest.mark.parametrize("declared", [True, False])
def test_a_larger_body_is_413_declared_or_not(declared: bool) -> None:
    size = BODY_BYTES + 1
    pieces = [b"x" * BODY_BYTES, b"x", b"rest"]
    caller = passed(pieces, scope_of(**({"content_length": str(size)} if declared else {})))
    assert (caller.status, caller.error) == (413, f"The body is larger than {BODY_BYTES} bytes. Send less.")
    assert caller.pieces == [], "the rest is read, or the client would not see the answer"


def test_whoever_asks_before_sending_a_large_body_is_not_made_to_send_it() -> None:
    caller = passed([b"x" * 3_000_000], scope_of(content_length="3000000", expect="100-continue"))
    assert caller.status == 413
    assert len(caller.pieces) == 1


def test_uploads_have_a_limit_of_their_own() -> None:
    for path in (FORM, "/admin/ingestion/source/7/change/"):
        assert passed([b"x" * (UPLOAD + FORM_BYTES)], scope_of(path, cookie="session")).status == 200
        assert passed([b"x" * (UPLOAD + FORM_BYTES + 1)], scope_of(path, cookie="session")).status == 413


def test_a_conversation_may_be_longer_than_a_question() -> None:
    scope = scope_of("/v1/chat/completions")
    assert passed([b"x" * CONVERSATION_BYTES], scope).status == 200
    assert passed([b"x" * (CONVERSATION_BYTES + 1)], scope).status == 413
    assert CONVERSATION_BYTES > BODY_BYTES


@pytest.mark.parametrize(
    ("path", "cookie"),
    [(FORM, "theme=dark"), ("/admin/login/", "session"), ("/admin/ingestion/source/", "session")],
)
def test_who_may_not_upload_sends_no_more_than_a_form(path: str, cookie: str) -> None:
    assert passed([b"x" * FORM_BYTES], scope_of(path, cookie=cookie)).status == 200
    refused = passed([b"x" * (FORM_BYTES + 1)], scope_of(path, cookie=cookie))
    assert refused.status == 413
    assert refused.error.endswith("To upload files, sign in first.")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("is_staff", "right", "allowed"),
    [
        (True, "add_source", True),
        (True, "change_source", True),
        (True, "view_source", False),
        (False, "change_source", False),
    ],
)
def test_uploads_are_for_staff_with_a_right_to_sources(is_staff: bool, right: str, allowed: bool) -> None:
    user = get_user_model().objects.create_user("ada", is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename=right))
    browser = Client()
    browser.force_login(user)
    cookies = "theme=dark; " + browser.cookies.output(header="", sep=";").strip()
    assert asyncio.run(may_upload(cookies)) is allowed


@pytest.mark.django_db(transaction=True)
def test_a_session_that_nobody_has_uploads_nothing() -> None:
    for cookies in ("", "sessionid=", "sessionid=made-up", "sessionid=\xff\x00"):
        assert not asyncio.run(may_upload(cookies))


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8:1:2::1"])
def test_one_client_cannot_take_all_places(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place is held until the response has been sent, and no longer; a crash gives it back as well."""
    monkeypatch.setattr(refusals, "SLOWED_SECONDS", 0.0)

    async def scenario() -> list[int]:
        free, statuses = asyncio.Event(), []

        async def held(scope: Scope, receive: Receive, send: Send) -> None:
            await free.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if scope["path"] == "/crash":
                raise ZeroDivisionError

        limits = RequestLimits(held, Slots(2, 3), UPLOAD, who_has_a_session)

        def ask(client: str, path: str = "/") -> tuple[Caller, asyncio.Task[Any]]:
            caller = Caller()
            return caller, asyncio.create_task(limits(scope_of(path, client), caller.receive, caller.send))

        crowd = [ask(address, "/crash"), ask(address), ask(address)]
        await crowd[2][1]
        other = ask("198.51.100.7")
        late = ask("203.0.113.9")
        await late[1]
        statuses += [crowd[2][0].status, late[0].status]
        assert late[0].sent[0]["headers"][-1] == (b"retry-after", b"1")
        free.set()
        await asyncio.gather(*(task for _, task in [*crowd, other, late]), return_exceptions=True)
        assert not limits.slots.held
        return [*statuses, other[0].status, crowd[0][0].status]

    assert asyncio.run(scenario()) == [503, 503, 200, 200]


async def test_a_place_that_becomes_free_in_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MOST_SLOWED", 1)
    limits = RequestLimits(reading, Slots(1, 1), UPLOAD, who_has_a_session)
    assert limits.slots.take("192.0.2.1")

    async def given_back(seconds: float) -> None:
        limits.slots.give_back("192.0.2.1")

    monkeypatch.setattr(asyncio, "sleep", given_back)
    caller = Caller()
    await limits(scope_of(), caller.receive, caller.send)
    assert (caller.status, limits.slots.held) == (200, {})


def test_a_body_that_does_not_come_gives_the_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limits, "BODY_SECONDS", 0.0)

    async def silent() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def run() -> None:
        await limits(scope_of(content_length="10"), silent, caller.send)

    caller, limits = Caller(), RequestLimits(reading, Slots(1, 1), UPLOAD, who_has_a_session)
    asyncio.run(run())
    assert (caller.status, caller.error) == (408, "The body did not arrive in time. Send it again.")
    assert not limits.slots.held


def test_waiting_for_an_answer_has_no_such_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the body is there, the application waits for the client to hang up, however long that takes."""
    order: list[str] = []

    async def listening(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        monkeypatch.setattr(request_limits, "BODY_SECONDS", -1.0)
        order.append((await receive())["type"])

    caller = Caller()

    async def late() -> Message:
        await asyncio.sleep(0)  # a time limit that is over cancels whoever waits, and nobody else
        return await caller.receive()

    asyncio.run(RequestLimits(listening, Slots(1, 1), UPLOAD, who_has_a_session)(scope_of(), late, caller.send))
    assert (order, caller.sent) == (["http.disconnect"], [])


def test_a_response_that_nobody_reads_gives_the_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limits, "READ_SECONDS", 0.0)

    async def stuck(message: Message) -> None:
        await asyncio.Event().wait()

    limits = RequestLimits(reading, Slots(1, 1), UPLOAD, who_has_a_session)
    asyncio.run(limits(scope_of(), Caller().receive, stuck))
    assert not limits.slots.held


def test_an_ipv6_network_is_one_client() -> None:
    assert client_at("2001:db8:1:2::1") == client_at("2001:db8:1:2:ffff::9") == "2001:db8:1:2::"
    assert client_at("2001:db8:1:3::1") != client_at("2001:db8:1:2::1")
    assert client_at("::ffff:192.0.2.1") == "192.0.2.1"
    assert client_at("") == client_at("a socket") == "127.0.0.1"


async def test_a_client_that_leaves_while_a_piece_is_sent_ends_the_response() -> None:
    written, pieces = asyncio.Event(), []

    async def send(message: Message) -> None:
        await written.wait()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            await send({"type": "http.response.body", "body": b"on and ", "more_body": True})
            pieces.append(b"on and ")
            await asyncio.sleep(0)

    limits = RequestLimits(endless, Slots(1, 1), UPLOAD, who_has_a_session)
    response = asyncio.create_task(limits(scope_of(), Caller().receive, send))
    for _ in range(5):
        await asyncio.sleep(0)  # until it waits for the first piece to be written
    written.set()
    response.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    ended = response.cancelled()
    response.cancel()
    assert ended and not pieces
