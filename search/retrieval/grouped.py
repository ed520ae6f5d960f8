"""Work that several requests want at the same time → done for all of them at once, in a thread that does only this.

In: items, one from each request. Out: for each what the work returned for it; an exception is raised. So they share a
connection to the database, its queries and the requests to Milvus and Redis. A request that comes while nobody works
begins at once; those that come meanwhile wait in the event loop, hold no thread, and go together when it has ended.
Who hangs up leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar, cast

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from ragproject.connections import release
from search.access.fair_queue import to_its_end

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False, slots=True)
class Place(Generic[Item, Result]):
    """A request's item; ``called`` is done when the request has to work for a group, or its ``outcome`` is there."""

    item: Item
    leads: bool = False
    outcome: Result | BaseException | None = None
    ended: bool = False
    called: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Grouped(Generic[Item, Result]):
    """One event loop's work of a kind: ``work`` takes at most ``most`` items and returns an outcome for each."""

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result | BaseException]], most: int) -> None:
        self.waiting: list[Place[Item, Result]] = []
        self._work, self._most = work, most
        self._busy = False
        self._thread = ThreadSensitiveContext()  # asgiref's name for what has a thread of its own
        self._in_thread = sync_to_async(self._done)

    async def done(self, item: Item) -> Result:
        """Return what the work returns for an item. Raises the exception that it returns in its place."""
        place = Place[Item, Result](item)
        self.waiting.append(place)
        try:
            if self._busy:
                await place.called
            else:
                self._busy = place.leads = True
            if not place.ended:
                await asyncio.sleep(0)  # whoever comes in the same moment goes along
                await self._lead()
        finally:
            if place in self.waiting:  # its client hung up
                self.waiting.remove(place)
                if place.leads:
                    self._call_next()
        if isinstance(place.outcome, BaseException):
            raise place.outcome
        return cast("Result", place.outcome)

    async def _lead(self) -> None:
        """Have the work done for those who came first."""
        group, self.waiting = self.waiting[: self._most], self.waiting[self._most :]
        context = copy_context()
        context.run(SyncToAsync.thread_sensitive_context.set, self._thread)
        done = self._in_thread([place.item for place in group])
        work = asyncio.get_running_loop().create_task(done, context=context)
        work.add_done_callback(partial(self._end, group))
        await to_its_end(work)

    def _done(self, items: Sequence[Item]) -> Sequence[Result | BaseException]:
        """Return the work's outcome for each item, in order, and release this thread's database connections.

        Raises what the work raises, after they are released.
        """
        try:
            return self._work(items)
        finally:
            release()

    def _end(
        self, group: Sequence[Place[Item, Result]], work: asyncio.Future[Sequence[Result | BaseException]]
    ) -> None:
        """Tell a group what came of its work, and let the next begin."""
        failure = asyncio.CancelledError() if work.cancelled() else work.exception()
        outcomes: Sequence[Result | BaseException] = [failure] * len(group) if failure else work.result()
        for place, outcome in zip(group, outcomes, strict=True):
            place.outcome, place.ended = outcome, True
            if not place.called.done():
                place.called.set_result(None)
        self._call_next()

    def _call_next(self) -> None:
        """Let the first of those who wait work for the next group."""
        self._busy = bool(self.waiting)
        for place in self.waiting[:1]:
            place.leads = True
            if not place.called.done():  # otherwise its client hung up, and it calls the next itself
                place.called.set_result(None)
