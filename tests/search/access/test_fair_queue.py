"""The order in which callers are served, counted in tickets: a crowd delays nobody else by more than its share."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from hypothesis import given
from hypothesis import strategies as st

from search.access import fair_queue
from search.access.caller import ASK, SEARCH, Caller
from search.access.fair_queue import FairQueue, to_its_end
from search.exceptions import TooBusy, headers_of, status_of


@pytest.fixture(autouse=True)
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """How often somebody who waits gave a connection back; what is done for that takes a thread, and time."""
    found: list[None] = []

    async def give_back() -> None:
        found.append(None)

    monkeypatch.setattr(fair_queue, "give_back", give_back)
    return found


def address(number: int) -> Caller:
    return Caller(f"192.0.2.{number}", f"192.0.2.{number}", frozenset({SEARCH, ASK}), None)


def key(number: int) -> Caller:
    return Caller(f"key {number}", "192.0.2.1", frozenset({SEARCH, ASK}), None)


CROWD, READER = address(1), address(2)


class Scene:
    """FairQueue whose work goes on until the test lets it end, one after the other."""

    def __init__(self, **limits: int) -> None:
        bounds: dict[str, Any] = {
            "at_once": 1,
            "per_client": 1,
            "waiting": 100,
            "waiting_per_client": 100,
            "retry_seconds": 3,
        }
        self.queue = FairQueue(**{**bounds, **limits})
        self.begun: list[str] = []
        self.most_at_once = 0
        self.tasks: list[asyncio.Task[None]] = []
        self._work: list[asyncio.Event] = []

    def ask(self, caller: Caller) -> asyncio.Task[None]:
        async def search() -> None:
            async with self.queue.served(caller):
                self.begun.append(caller.name)
                self._work.append(asyncio.Event())
                self.most_at_once = max(self.most_at_once, self.queue.running.total())
                await self._work[-1].wait()

        self.tasks.append(asyncio.create_task(search()))
        return self.tasks[-1]

    async def ended(self) -> list[Any]:
        """End the work that runs, and what begins then, until nothing waits; return what each got."""
        while not all(task.done() for task in self.tasks):
            for work in self._work:
                work.set()
            await asyncio.sleep(0)
        assert not self.queue.running
        assert not self.queue.rounds[True] and not self.queue.rounds[False]
        return await asyncio.gather(*self.tasks, return_exceptions=True)


def played(play: Callable[[Scene], Awaitable[None] | None], **limits: int) -> tuple[Scene, list[Any]]:
    async def run() -> tuple[Scene, list[Any]]:
        scene = Scene(**limits)
        if waiting := play(scene):
            await waiting
        await asyncio.sleep(0)
        return scene, await scene.ended()

    return asyncio.run(run())


def test_another_caller_is_next_whatever_a_crowd_asked_before() -> None:
    async def play(scene: Scene) -> None:
        for _ in range(40):
            scene.ask(CROWD)
        await asyncio.sleep(0)
        scene.ask(READER)

    scene, _ = played(play)
    assert scene.begun.index(READER.name) == 2  # one ran when the reader came, one of the crowd was next


def test_a_key_waits_for_one_of_a_crowd_of_addresses_and_they_are_not_kept_out() -> None:
    async def play(scene: Scene) -> None:
        for number in range(50):
            scene.ask(address(number))
        await asyncio.sleep(0)
        for _ in range(3):
            scene.ask(key(1))

    scene, _ = played(play)
    known = [at for at, name in enumerate(scene.begun) if name == "key 1"]
    assert known == [1, 3, 5]


def test_while_known_callers_come_addresses_leave_them_places(monkeypatch: pytest.MonkeyPatch) -> None:
    async def begun(first: Caller | None) -> list[str]:
        scene = Scene(at_once=4, kept=3, per_client=4)
        if first:
            scene.ask(first)
            await scene.ended()
            scene.begun.clear()
        for number in range(5):
            scene.ask(address(number))
        await asyncio.sleep(0)
        for _ in range(4):
            scene.ask(key(2))
        await asyncio.sleep(0)
        at_once = list(scene.begun)
        await scene.ended()
        assert len(scene.begun) == 9
        return at_once

    crowd = [address(number).name for number in range(4)]
    assert asyncio.run(begun(None)) == crowd
    assert asyncio.run(begun(key(1))) == [*crowd[:1], *["key 2"] * 3]
    monkeypatch.setattr(fair_queue, "KNOWN_SECONDS", -1.0)
    assert asyncio.run(begun(key(1))) == crowd


async def test_addresses_leave_known_callers_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    now, timers = 100.0, list[tuple[float, Callable[[], None]]]()
    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr(loop, "call_at", lambda when, call: timers.append((when, call)))
    queue = FairQueue(at_once=4, per_client=4, waiting=9, waiting_per_client=9, retry_seconds=1, kept=3, cpu_bound=True)
    with ExitStack() as stack:
        crowd = [ExitStack() for _ in range(4)]
        tickets = [each.enter_context(queue.queued(address(n))) for n, each in enumerate(crowd)]
        assert all(ticket.runs for ticket in tickets), "nobody is known yet"
        crowd[0].close()
        assert not timers
        for each in crowd[1:]:
            each.close()
        known = stack.enter_context(ExitStack())
        assert known.enter_context(queue.queued(key(1))).runs
        crowd = [stack.enter_context(ExitStack()) for _ in range(3)]
        first, second, third = [each.enter_context(queue.queued(address(n))) for n, each in enumerate(crowd)]
        assert not first.runs, "the last address has just begun, and a known caller's work runs"
        now += fair_queue.APART_SECONDS
        queue._grant()
        assert (first.runs, second.runs) == (True, False)
        known.close()
        now += 0.25
        crowd[0].close()
        assert not second.runs, "it rests"
        now += 0.25
        queue._grant()
        assert not second.runs
        now += (fair_queue.RESTS - 1) * 0.25
        assert timers[-1][0] == now
        timers[-1][1]()
        assert (second.runs, third.runs) == (True, False)
        now += fair_queue.KNOWN_SECONDS
        queue._grant()
        assert third.runs, "no known caller has come for long"


def test_nobody_is_served_twice_before_everybody_was_served_once() -> None:
    def play(scene: Scene) -> None:
        scene.ask(address(9))
        for number in range(1, 6):
            for _ in range(3):
                scene.ask(address(number))

    scene, _ = played(play)
    assert [len(set(scene.begun[at : at + 5])) for at in (1, 6, 11)] == [5, 5, 5]


def test_one_caller_never_has_all_turns() -> None:
    async def play(scene: Scene) -> None:
        for _ in range(10):
            scene.ask(CROWD)
        await asyncio.sleep(0)
        assert scene.queue.running == Counter({CROWD.name: 2})
        scene.ask(READER)
        await asyncio.sleep(0)
        assert scene.begun[-1] == READER.name

    scene, _ = played(play, at_once=3, per_client=2)
    assert scene.most_at_once == 3


def test_one_caller_may_wait_with_so_many() -> None:
    def play(scene: Scene) -> None:
        for _ in range(5):
            scene.ask(CROWD)
        scene.ask(READER)

    _, found = played(play, waiting_per_client=2)
    refused = [at for at, each in enumerate(found) if isinstance(each, TooBusy)]
    assert refused == [3, 4]
    assert (status_of(found[3]), headers_of(found[3])) == (429, {"Retry-After": "3"})
    assert str(found[3]) == "2 of your requests wait for their turn already. Try again in 3 s."


def test_where_too_many_wait_whoever_has_the_most_loses_the_newest() -> None:
    def play(scene: Scene) -> None:
        scene.ask(key(9))
        for caller in (READER, CROWD, CROWD, CROWD, address(3), key(1)):
            scene.ask(caller)

    _, found = played(play, waiting=4)
    refused = [at for at, each in enumerate(found) if isinstance(each, TooBusy)]
    assert refused == [3, 4]
    assert status_of(found[3]) == 429, "of others one more could wait"
    assert "Try again in 3 s." in str(found[3])


def test_of_callers_with_one_each_the_last_to_come_is_refused() -> None:
    def play(scene: Scene) -> None:
        for number in range(6):
            scene.ask(address(number))

    _, found = played(play, waiting=3)
    assert [isinstance(each, TooBusy) for each in found] == [False] * 4 + [True] * 2
    assert {status_of(each) for each in found[4:]} == {503}


def test_who_waits_holds_no_connection(given_back: list[None]) -> None:
    def play(scene: Scene) -> None:
        for number in range(3):
            scene.ask(address(number))

    played(play)
    assert len(given_back) == 2


def test_who_hangs_up_leaves_whether_waiting_or_not() -> None:
    async def play(scene: Scene) -> None:
        crowd = [scene.ask(CROWD) for _ in range(5)]
        scene.ask(READER)
        await asyncio.sleep(0)
        for task in crowd[:3]:
            task.cancel()

    scene, found = played(play)
    assert scene.begun == [CROWD.name, READER.name, CROWD.name, CROWD.name]
    assert [isinstance(each, asyncio.CancelledError) for each in found] == [True] * 3 + [False] * 3


def test_a_turn_that_is_given_to_somebody_who_just_hung_up_goes_on() -> None:
    async def play(scene: Scene) -> None:
        first, second, third = (scene.ask(address(number)) for number in range(3))
        await asyncio.sleep(0)
        second.cancel()
        first.cancel()  # in the same step of the loop: the second turn is still in the queue
        while len(scene.begun) < 2:
            await asyncio.sleep(0)
        assert scene.begun == [address(0).name, address(2).name]
        assert not third.done()

    played(play)


def test_it_says_how_many_come_first() -> None:
    async def run() -> list[int]:
        queue = FairQueue(at_once=2, per_client=1, waiting=9, waiting_per_client=9, retry_seconds=1)
        zero, one, two = map(address, range(3))
        with ExitStack() as held:
            asked = (zero, one, two, address(3), zero, key(1))
            *_, third, own, known = [held.enter_context(queue.queued(caller)) for caller in asked]
            return [queue.ahead(ticket) for ticket in (third, own, known)]

    assert asyncio.run(run()) == [4, 1, 2]


def test_a_turn_lasts_until_its_thread_is_done() -> None:
    """A caller that hangs up again and again has no more threads at work than others."""

    async def run() -> None:
        queue = FairQueue(at_once=1, per_client=1, waiting=9, waiting_per_client=9, retry_seconds=1)
        begun, free = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            assert free.wait(300)

        async def search() -> None:
            async with queue.served(CROWD):
                await to_its_end(sync_to_async(work, thread_sensitive=False)())

        task = asyncio.create_task(search())
        while not begun.is_set():
            await asyncio.sleep(0)
        for _ in range(2):  # its client hangs up, and the server stops
            task.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
        assert queue.running.total() == 1
        free.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not queue.running

    asyncio.run(run())


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 6)), min_size=1, max_size=60),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 4),
)
def test_everybody_is_served_or_refused_and_the_bounds_hold(
    asked: list[tuple[bool, int]], at_once: int, per_client: int, kept: int
) -> None:
    def play(scene: Scene) -> None:
        for known, number in asked:
            scene.ask(key(number) if known else address(number))

    scene, found = played(play, at_once=at_once, per_client=per_client, kept=kept, waiting=20, waiting_per_client=5)
    refused = sum(isinstance(each, TooBusy) for each in found)
    assert len(scene.begun) + refused == len(asked)
    assert scene.most_at_once <= at_once
