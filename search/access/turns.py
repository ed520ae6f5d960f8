"""In which order callers are served where not all can be at once: fairly, and with a bound on waiting.

In: who asks. Out: a turn, or TooBusy. At most ``at_once`` turns run, ``per_client`` of them one caller's; others wait
in the event loop and hold no thread. Callers are served round robin: one turn of each, then a second. Those who are
known by a key or a login have a round of their own, which alternates with that of all addresses, so that a crowd of
addresses cannot keep them out. Where too many wait, the newest turn of the caller with the most is refused, in the
fuller round. Who hangs up leaves.

Counted for each web process. ``searches`` are what processors do for a question, ``answers`` what a language model
writes. It does not say how often a caller may come (``limits``).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, takewhile, zip_longest
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings

from search.access.caller import Caller
from search.exceptions import TooBusy

Result = TypeVar("Result")


@dataclass(eq=False, slots=True)
class Turn:
    """One thing that a caller wants done; ``granted`` is done when it may begin, or has TooBusy."""

    client: str
    known: bool
    granted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def runs(self) -> bool:
        """Return whether it has begun."""
        return self.granted.done() and not self.granted.cancelled() and self.granted.exception() is None


class Turns:
    """The turns that run and wait in one event loop; who is refused is told to come back after ``retry_seconds``."""

    def __init__(
        self, *, at_once: int, per_client: int, waiting: int, waiting_per_client: int, retry_seconds: int
    ) -> None:
        self.at_once, self.per_client = at_once, per_client
        self.most_waiting, self.most_waiting_per_client = waiting, waiting_per_client
        self.retry_seconds = retry_seconds
        self.running: Counter[str] = Counter()
        # Of known callers and of addresses: each one's turns, who is served next first.
        self.rounds: dict[bool, dict[str, deque[Turn]]] = {True: {}, False: {}}
        self._next_round = True

    @asynccontextmanager
    async def turn(
        self, caller: Caller, while_waiting: AbstractContextManager[Any] | None = None
    ) -> AsyncIterator[None]:
        """Run the block when it is the caller's turn. Raises TooBusy."""
        with self.queued(caller) as turn:
            with nullcontext() if turn.granted.done() else while_waiting or nullcontext():
                await turn.granted
            yield

    @contextmanager
    def queued(self, caller: Caller) -> Iterator[Turn]:
        """Hold a turn or its place in the queue until the block ends. Raises TooBusy where it gets neither."""
        turn = Turn(caller.name, not caller.anonymous)
        try:
            self._add(turn)
            yield turn
        finally:
            self._leave(turn)

    def ahead(self, turn: Turn) -> int:
        """Return how many turns, of those running and those waiting, a waiting one has to wait for."""
        runs = self.running[turn.client]
        own_only = runs >= self.per_client
        before = takewhile(lambda other: other is not turn, self.order())
        waiting = sum(not own_only or other.client == turn.client for other in before)
        return waiting + (runs if own_only else self.running.total())

    def order(self) -> Iterator[Turn]:
        """Yield the waiting turns as they are served when nobody comes any more."""
        first, second = (
            filter(None, chain.from_iterable(zip_longest(*self.rounds[known].values())))
            for known in (self._next_round, not self._next_round)
        )
        return filter(None, chain.from_iterable(zip_longest(first, second)))

    def waiting(self, known: bool) -> int:
        """Return how many turns wait in one of the rounds."""
        return sum(map(len, self.rounds[known].values()))

    def _add(self, turn: Turn) -> None:
        mine = self.rounds[turn.known].setdefault(turn.client, deque())
        mine.append(turn)
        self._grant()
        if len(mine) > self.most_waiting_per_client:
            self._refuse(turn, f"{len(mine) - 1} of your requests wait for their turn already.", 429)
        elif self.waiting(True) + self.waiting(False) > self.most_waiting:
            fuller = self.rounds[self.waiting(True) > self.waiting(False)]
            heaviest = max(reversed(fuller.values()), key=len)  # of equals the one that came last
            self._refuse(heaviest[-1], "More requests wait for their turn here than can be served soon.", 503)
        if turn.granted.done():
            turn.granted.result()

    def _refuse(self, turn: Turn, why: str, status: int) -> None:
        self._remove(turn)
        if not turn.granted.done():  # cancelled: its caller hung up
            error = TooBusy(f"{why} Try again in {self.retry_seconds} s.", self.retry_seconds, status)
            turn.granted.set_exception(error)

    def _remove(self, turn: Turn) -> None:
        clients = self.rounds[turn.known]
        mine = clients.get(turn.client, deque())
        if turn in mine:
            mine.remove(turn)
        if not mine:
            clients.pop(turn.client, None)

    def _leave(self, turn: Turn) -> None:
        """Forget a turn, and let the next begin if it ran."""
        if turn.runs:
            self.running[turn.client] -= 1
            self.running += Counter()  # forget who has none
            self._grant()
        else:
            self._remove(turn)

    def _grant(self) -> None:
        """Let turns begin while there is room."""
        while self.running.total() < self.at_once and (turn := self._next()):
            if not turn.granted.done():  # cancelled: its caller hung up
                self.running[turn.client] += 1
                turn.granted.set_result(None)

    def _next(self) -> Turn | None:
        """Take out the turn that is served next; None where nobody who waits may have one more."""
        for known in (self._next_round, not self._next_round):
            clients = self.rounds[known]
            client = next((name for name in clients if self.running[name] < self.per_client), None)
            if client is not None:
                turns = clients.pop(client)
                turn = turns.popleft()
                if turns:
                    clients[client] = turns  # at the end of the round
                self._next_round = not known
                return turn
        return None


async def to_its_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of work in a thread, which goes on when its caller hangs up: so long the turn is taken."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


@dataclass(frozen=True, slots=True)
class ProcessTurns:
    """Both kinds of turns of one web process."""

    searches: Turns
    answers: Turns


# Turns belong to their event loop: a web process has one, each command and test another.
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, ProcessTurns] = WeakKeyDictionary()


def process_turns() -> ProcessTurns:
    """Return this event loop's turns."""
    loop = asyncio.get_running_loop()
    if loop not in _turns:
        _turns[loop] = new_turns()
    return _turns[loop]


def new_turns() -> ProcessTurns:
    """Return turns as the settings bound them, none of them taken."""
    # A search takes a fraction of a second, an answer some seconds or more.
    searches = Turns(
        at_once=settings.SEARCHES,
        per_client=settings.SEARCHES_PER_CLIENT,
        waiting=settings.QUESTIONS_WAITING,
        waiting_per_client=settings.QUESTIONS_WAITING_PER_CLIENT,
        retry_seconds=1,
    )
    answers = Turns(
        at_once=settings.LLM_ANSWERS,
        per_client=settings.LLM_ANSWERS_PER_CLIENT,
        waiting=settings.LLM_ANSWERS_WAITING,
        waiting_per_client=settings.LLM_ANSWERS_WAITING_PER_CLIENT,
        retry_seconds=5,
    )
    return ProcessTurns(searches, answers)
