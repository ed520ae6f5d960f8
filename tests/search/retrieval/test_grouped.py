"""Work that is done together: a work that a test holds back, and what is wanted meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest
from asgiref.sync import ThreadSensitiveContext
from hypothesis import given
from hypothesis import strategies as st

from search.retrieval import grouped
from search.retrieval.grouped import Grouped

MOST = 3
REFUSED, FATAL = 13, 66


class HeldWork:
    """Doubles numbers when the test lets it; REFUSED has an error of its own, and FATAL fails them all."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.threads: set[int] = set()
        self.free, self.started = threading.Event(), threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int | BaseException]:
        self.groups.append(list(numbers))
        self.threads.add(threading.get_ident())
        self.started.set()
        assert self.free.wait(300)
        if FATAL in numbers:
            raise ZeroDivisionError
        return [ValueError(number) if number == REFUSED else 2 * number for number in numbers]


class Scene:
    """Work that is busy with 0, so that whoever comes now has to wait."""

    def __init__(self) -> None:
        self.work = HeldWork()
        self.grouped = Grouped[int, int](self.work, MOST)
        self.wanted: list[asyncio.Task[int]] = []

    async def begin(self, number: int = 0) -> None:
        self.want(number)
        while not self.work.started.is_set():
            await asyncio.sleep(0)

    def want(self, number: int) -> asyncio.Task[int]:
        async def as_a_request() -> int:
            async with ThreadSensitiveContext():
                return await self.grouped.done(number)

        self.wanted.append(asyncio.create_task(as_a_request()))
        return self.wanted[-1]

    async def end(self) -> list[int | BaseException]:
        self.work.free.set()
        return await asyncio.gather(*self.wanted, return_exceptions=True)


def played(play: Callable[[Scene], Awaitable[object]], first: int = 0) -> tuple[Scene, list[int | BaseException]]:
    async def run() -> tuple[Scene, list[int | BaseException]]:
        scene = Scene()
        await scene.begin(first)
        try:
            await play(scene)
            await asyncio.sleep(0)
        finally:
            found = await scene.end()
        return scene, found

    return asyncio.run(run())


def test_those_who_come_meanwhile_go_together_in_groups_of_a_bounded_size() -> None:
    async def play(scene: Scene) -> None:
        for number in range(1, 8):
            scene.want(number)

    scene, found = played(play)
    assert found == [0, 2, 4, 6, 8, 10, 12, 14]
    assert scene.work.groups == [[0], [1, 2, 3], [4, 5, 6], [7]]
    assert len(scene.work.threads) == 1


def test_those_who_come_in_the_same_moment_go_together() -> None:
    async def run() -> tuple[list[list[int]], list[int]]:
        work = HeldWork()
        work.free.set()
        grouped = Grouped[int, int](work, MOST)
        return work.groups, await asyncio.gather(*(grouped.done(number) for number in (1, 2, 3)))

    assert asyncio.run(run()) == ([[1, 2, 3]], [2, 4, 6])


def test_those_who_wait_hold_no_thread() -> None:
    before = 0

    async def play(scene: Scene) -> None:
        nonlocal before
        before = threading.active_count()
        for number in range(1, 61):
            scene.want(number)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(scene.grouped.waiting) == 60
        assert threading.active_count() <= before  # those of tests before may end meanwhile

    scene, _ = played(play)
    assert len(scene.work.groups) == 21


def test_an_error_is_raised_where_it_belongs() -> None:
    async def play(scene: Scene) -> None:
        for number in (1, REFUSED, 2, 3, FATAL, 4, 5):
            scene.want(number)

    scene, found = played(play)
    assert [type(each) for each in found] == [int, int, ValueError, int, *[ZeroDivisionError] * 3, int]
    assert scene.work.groups[-1] == [5]


def test_after_each_group_its_thread_gives_its_connections_back_whatever_happened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released: list[int] = []
    monkeypatch.setattr(grouped, "release", lambda: released.append(threading.get_ident()))

    async def play(scene: Scene) -> None:
        scene.want(FATAL)

    scene, _ = played(play)
    assert released == [*scene.work.threads] * len(scene.work.groups)


def test_the_request_that_works_is_told_of_its_own_error_only() -> None:
    async def play(scene: Scene) -> None:
        scene.want(1)

    assert [type(each) for each in played(play, first=FATAL)[1]] == [ZeroDivisionError, int]


def test_who_hangs_up_before_its_turn_is_left_out_and_holds_nobody_up() -> None:
    async def play(scene: Scene) -> None:
        gone = [scene.want(number) for number in (1, 2)]
        scene.want(3)
        gone.append(scene.want(4))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()

    scene, found = played(play)
    assert scene.work.groups == [[0], [3]]
    assert [type(each) for each in found] == [int, *[asyncio.CancelledError] * 2, int, asyncio.CancelledError]


def test_who_hangs_up_while_it_works_for_others_works_to_the_end() -> None:
    async def run() -> tuple[Scene, list[int | BaseException]]:
        scene = Scene()
        for number in (1, 2):
            scene.want(number)
        await scene.begin(3)
        scene.wanted[0].cancel()
        scene.want(4)
        return scene, await scene.end()

    scene, found = asyncio.run(run())
    assert scene.work.groups == [[1, 2, 3], [4]]
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [4, 6, 8]


@pytest.mark.parametrize("steps", range(6))
def test_who_hangs_up_when_it_is_called_calls_the_next(steps: int) -> None:
    """At whichever moment: the first of those who wait is cancelled some steps of the loop after the group ended."""

    async def run() -> list[int | BaseException]:
        scene = Scene()
        await scene.begin()
        called = scene.want(1)
        scene.want(2)
        await asyncio.sleep(0)
        scene.work.free.set()
        await scene.wanted[0]
        for _ in range(steps):
            await asyncio.sleep(0)
        called.cancel()
        return await asyncio.wait_for(scene.end(), 300)

    found = asyncio.run(run())
    assert found[2] == 4


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=30))
def test_everybody_who_stays_gets_its_own_result(arrivals: list[tuple[int, bool]]) -> None:
    """Each comes some steps of the loop after the one before, and may hang up while others come."""

    async def run() -> None:
        groups: list[list[int]] = []

        def work(numbers: Sequence[int]) -> list[int | BaseException]:
            groups.append(list(numbers))
            return [-number for number in numbers]

        grouped = Grouped[int, int](work, MOST)
        tasks = []
        for number, (pause, _) in enumerate(arrivals):
            tasks.append(asyncio.create_task(grouped.done(number)))
            for _ in range(pause):
                await asyncio.sleep(0)
            for task, (_, leaves) in zip(tasks[:-2], arrivals, strict=False):
                if leaves:
                    task.cancel()
        found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 300)
        for number, (outcome, (_, leaves)) in enumerate(zip(found, arrivals, strict=True)):
            assert outcome == -number or (leaves and isinstance(outcome, asyncio.CancelledError))
        served = [number for group in groups for number in group]
        assert served == sorted(set(served))
        assert max(map(len, groups), default=0) <= MOST
        assert not grouped.waiting

    asyncio.run(run())
