"""A refusal that said until when is repeated until then, without asking the application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ragproject import refusals
from ragproject.clients import Slots
from ragproject.refusals import Refusals, Sender, sender_of
from ragproject.request_limits import Receive, RequestLimits, Scope, Send
from tests.ragproject.test_request_limits import Caller, scope_of, who_has_a_session

KEY = {"authorization": "Bearer rag_1_2"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(refusals, "time", clock)
    monkeypatch.setattr(refusals, "spread", lambda: 1.0)
    monkeypatch.setattr(refusals, "SLOWED_SECONDS", 0.0)
    return clock


class Site:
    """An application that refuses, behind the limits."""

    def __init__(self, status: int = 429, kind: str = "application/problem+json", seconds: str = "30") -> None:
        self.asked = 0
        self.head = (status, [(b"content-type", kind.encode()), (b"retry-after", seconds.encode())])
        self.limits = RequestLimits(self.refusing, Slots(9, 9), 1, who_has_a_session)

    async def refusing(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        status, headers = self.head
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"error": "No."}'})

    def ask(self, path: str = "/api/v1/search", client: str = "192.0.2.1", **headers: str) -> Caller:
        caller = Caller()
        asyncio.run(self.limits(scope_of(path, client, **headers), caller.receive, caller.send))
        return caller


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("headers", [{}, KEY, {"x_api_key": "rag_1_2"}])
def test_who_was_refused_is_refused_again_until_then(clock: Clock, headers: dict[str, str], status: int) -> None:
    site = Site(status, seconds="3")
    site.ask(**headers)
    clock.now += 1.2
    again = site.ask(**headers)
    assert (site.asked, again.status, again.error) == (1, status, "Too many requests. Try again in 3 s.")
    assert (b"retry-after", b"3") in again.sent[0]["headers"]
    clock.now += 3.1
    assert (site.ask(**headers).error, site.asked) == ("No.", 2)


def test_the_time_of_who_comes_too_early_begins_anew_for_a_moment(clock: Clock) -> None:
    site = Site(503, seconds="1")
    for _ in range(18):
        assert site.ask().status == 503
        clock.now += 0.5
    assert site.asked == 2, "one refusal, and another after REPEATED_SECONDS"
    site.head = (429, [(b"content-type", b"application/json"), (b"retry-after", b"60")])
    clock.now += 5
    site.ask()
    clock.now += 2
    assert site.ask().error == "Too many requests. Try again in 58 s."


def test_after_a_moment_the_limits_are_asked_again(clock: Clock) -> None:
    site = Site(seconds="3600")
    site.ask()
    clock.now += refusals.REPEATED_SECONDS + 0.1
    site.ask()
    assert site.asked == 2


def test_others_and_other_paths_are_heard(clock: Clock) -> None:
    site = Site()
    site.ask()
    site.ask(client="192.0.2.2")
    site.ask("/api/v1/ask")
    site.ask(**KEY)
    site.ask(client="192.0.2.2", **KEY)
    site.ask(authorization="Bearer rag_1_3")
    site.ask(cookie="sessionid=x")
    site.ask(cookie="sessionid=x")
    assert site.asked == 8


def test_where_there_is_no_room_for_one_more_all_addresses_are_told_so_for_a_moment(clock: Clock) -> None:
    site = Site(503, seconds="1")
    site.ask()
    others = [site.ask(client=f"192.0.2.{number}") for number in range(2, 9)]
    assert {(other.status, other.error) for other in others} == {(503, "Too many requests. Try again in 1 s.")}
    assert site.asked == 1
    site.ask(**KEY)
    site.ask(cookie="sessionid=x")
    site.ask("/api/v1/ask", client="192.0.2.2")
    assert site.asked == 4, "who is known by more is heard, and whoever asks for something else"
    clock.now += refusals.CROWDED_SECONDS + 0.1
    site.ask(client="192.0.2.9")
    assert site.asked == 5, "there may be room now"
    site.ask(client="192.0.2.2")
    assert site.asked == 5, "who was told to wait for a second is too early"


def test_what_somebody_known_is_told_holds_for_no_address(clock: Clock) -> None:
    site = Site(503)
    site.ask(**KEY)
    site.ask()
    assert site.asked == 2


def test_all_documents_are_one_path(clock: Clock) -> None:
    site = Site()
    for number in range(5):
        site.ask(f"/api/v1/documents/{number}")
    assert site.asked == 1


@pytest.mark.parametrize("options", [{"status": 500}, {"kind": "text/html"}, {"seconds": "soon"}, {"status": 200}])
def test_nothing_else_is_remembered(clock: Clock, options: dict[str, Any]) -> None:
    site = Site(**options)
    site.ask()
    site.ask()
    assert site.asked == 2


def test_what_is_remembered_is_bounded_and_holds_no_key(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MOST_REMEMBERED", 3)
    kept = Refusals()
    head = {"status": 429, "headers": [(b"Retry-After", b"9"), (b"Content-Type", b"application/json")]}
    senders = [Sender(f"192.0.2.{number}", is_address=True) for number in range(5)]
    for sender in senders:
        kept.note(sender, "/", head)
    told = [kept.again(sender, "/") for sender in senders]
    assert [each and (each.status, each.seconds_left) for each in told] == [None] * 2 + [(429, 9)] * 3
    kept.note(senders[2], "/", head)  # who asks again is not who is forgotten next
    kept.note(senders[0], "/", head)
    assert [bool(kept.again(sender, "/")) for sender in senders] == [True, False, True, False, True]
    assert "rag_1_2" not in sender_of(scope_of(**KEY), "192.0.2.1").name


def test_each_repetition_comes_later_up_to_a_bound(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "SLOWED_SECONDS", 0.8)
    kept, sender = Refusals(), Sender("192.0.2.1", is_address=True)
    kept.note(sender, "/", {"status": 503, "headers": [(b"retry-after", b"1"), (b"content-type", b"x/json")]})
    told = [kept.again(sender, "/") for _ in range(5)]
    assert [each and each.delay for each in told] == [0.8, 1.6, 3.2, 5.0, 5.0]
    assert [each and each.seconds_left for each in told] == [2, 3, 5, 6, 6], "counted from the end of the delay"
    clock.now += 3.9
    assert kept.again(sender, "/"), "who comes right after the repetition is too early"
    clock.now += refusals.REPEATED_SECONDS
    assert kept.again(sender, "/") is None


async def test_whoever_asks_again_waits_for_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "SLOWED_SECONDS", 600.0)
    monkeypatch.setattr(refusals, "MOST_SLOWED", 2)
    site = Site()
    callers = [Caller() for _ in range(4)]
    scope = scope_of("/api/v1/search", "192.0.2.1")
    first, *again = [asyncio.create_task(site.limits(scope, caller.receive, caller.send)) for caller in callers]
    await first  # is told at once
    await again[-1]  # beyond the clients that are held
    assert [bool(caller.sent) for caller in callers] == [True, False, False, True]
    for task in again[:2]:
        task.cancel()
    await asyncio.gather(*again, return_exceptions=True)
    monkeypatch.setattr(refusals, "SLOWED_SECONDS", 0.0)
    await site.limits(scope, callers[1].receive, callers[1].send)
    assert (callers[1].status, site.asked) == (429, 1)
