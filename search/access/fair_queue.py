"""In which order callers are served where not all can be at once: fairly, and with a bound on waiting.

In: who asks. Out: a ticket, which runs at once or later, or TooBusy. At most ``at_once`` tickets run, ``per_client``
of them one caller's; others wait in the event loop and hold neither a thread nor a connection to the database. Callers
are served round robin: one ticket of each, then a second. Those who are known by a key or a login have a round of
their own, which alternates with that of all addresses, so that a crowd of addresses cannot keep them out; and while
there are any, addresses leave them some places free, and some of the processor. Where too many wait, the newest ticket
of the caller with the most is refused, in the fuller round: with 503 where not one more of anybody's could wait. Who
hangs up leaves.

Counted for each web process. ``searches`` are what processors do for a question, ``answers`` what a language model
writes. It does not say how often a caller may come (``limits``).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, takewhile, zip_longest
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings

from ragproject.connections import give_back
from search.access.caller import Caller
from search.exceptions import TooBusy

Result = TypeVar("Result")

# A known caller who asked so recently is likely to ask again.
KNOWN_SECONDS = 60.0
# Beside a known caller's work on the processor, addresses begin no more than one in so long.
APART_SECONDS = 0.5
# Addresses rest so many times as long as a search of theirs took: a third of the time is theirs. Beside 200 of them a
# key's searches take 1.6 times as long as in quiet (p95; as long as it took: 1.8), and theirs are 13 a second (19).
RESTS = 2


@dataclass(eq=False, slots=True)
class Ticket:
    """One thing that a caller wants done; ``granted`` is done when it may begin, or has TooBusy."""

    client: str
    known: bool
    granted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def runs(self) -> bool:
        """Return whether the ticket's work has been allowed to begin."""
        return self.granted.done() and not self.granted.cancelled() and self.granted.exception() is None


class FairQueue:
    """The tickets that run and wait in one event loop; who is refused is told to come back after ``retry_seconds``.

    Addresses leave ``kept`` of the places free while known callers come. Where the work is ``cpu_bound`` they rest
    meanwhile after each, RESTS times as long as it took and at most APART_SECONDS, and begin no more than one in so
    long while a known caller's runs.
    """

    def __init__(
        self,
        *,
        at_once: int,
        per_client: int,
        waiting: int,
        waiting_per_client: int,
        retry_seconds: int,
        kept: int = 0,
        cpu_bound: bool = False,
    ) -> None:
        self.at_once, self.per_client, self.kept, self.cpu_bound = at_once, per_client, kept, cpu_bound
        self.most_waiting, self.most_waiting_per_client = waiting, waiting_per_client
        self.retry_seconds = retry_seconds
        self.running: Counter[str] = Counter()
        self.running_in_round = {True: 0, False: 0}
        # Of known callers and of addresses: each one's tickets, who is served next first.
        self.rounds: dict[bool, dict[str, deque[Ticket]]] = {True: {}, False: {}}
        self._next_round = True
        self._known_until = 0.0
        self._address_began = self._rest_until = 0.0

    @asynccontextmanager
    async def served(
        self, caller: Caller, while_waiting: AbstractContextManager[Any] | None = None
    ) -> AsyncIterator[None]:
        """Run the block when it is the caller's turn. Raises TooBusy."""
        with self.queued(caller) as ticket:
            if not ticket.granted.done():
                with while_waiting or nullcontext():
                    await give_back()
                    await ticket.granted
            yield

    @contextmanager
    def queued(self, caller: Caller) -> Iterator[Ticket]:
        """Hold a ticket, whether it runs or waits, until the block ends. Raises TooBusy."""
        ticket = Ticket(caller.name, not caller.anonymous)
        try:
            self._add(ticket)
            yield ticket
        finally:
            self._leave(ticket)

    def ahead(self, ticket: Ticket) -> int:
        """Return how many tickets, of those running and those waiting, a waiting one has to wait for."""
        runs = self.running[ticket.client]
        own_only = runs >= self.per_client
        before = takewhile(lambda other: other is not ticket, self.order())
        waiting = sum(not own_only or other.client == ticket.client for other in before)
        return waiting + (runs if own_only else self.running.total())

    def order(self) -> Iterator[Ticket]:
        """Yield the waiting tickets in the order in which they will be served if no others are added."""
        first, second = (
            filter(None, chain.from_iterable(zip_longest(*self.rounds[known].values())))
            for known in (self._next_round, not self._next_round)
        )
        return filter(None, chain.from_iterable(zip_longest(first, second)))

    def waiting(self, known: bool) -> int:
        """Return how many tickets of known callers wait or, where ``known`` is false, of anonymous ones."""
        return sum(map(len, self.rounds[known].values()))

    def places(self, known: bool) -> int:
        """Return how many tickets of known callers or, where ``known`` is false, of anonymous ones may run at once."""
        now = asyncio.get_running_loop().time()
        if known or now > self._known_until:
            return self.at_once
        too_near = self.running_in_round[True] and now < self._address_began + APART_SECONDS
        if self.cpu_bound and (too_near or now < self._rest_until):
            return 0
        return max(1, self.at_once - self.kept)

    def _add(self, ticket: Ticket) -> None:
        """Add a ticket behind the others of its caller, and let tickets begin while there is room.

        Raises TooBusy when too many wait and this ticket is the one to refuse; where it is another's, that one's
        ``granted`` gets the error. A known caller's ticket limits the places of addresses for KNOWN_SECONDS.
        """
        if ticket.known:
            self._known_until = asyncio.get_running_loop().time() + KNOWN_SECONDS
        mine = self.rounds[ticket.known].setdefault(ticket.client, deque())
        mine.append(ticket)
        self._grant()
        if len(mine) > self.most_waiting_per_client:
            self._refuse(ticket, f"{len(mine) - 1} of your requests wait for their turn already.", 429)
        elif self.waiting(True) + self.waiting(False) > self.most_waiting:
            fuller = self.rounds[self.waiting(True) > self.waiting(False)]
            heaviest = max(reversed(fuller.values()), key=len)  # of equals the one that came last
            status = 503 if len(heaviest) == 1 else 429
            self._refuse(heaviest[-1], "More requests wait for their turn here than can be served soon.", status)
        if ticket.granted.done():
            ticket.granted.result()

    def _refuse(self, ticket: Ticket, why: str, status: int) -> None:
        """Take a ticket out of the queue, and give whoever awaits its turn TooBusy.

        ``why`` begins the error's sentence, ``status`` is its HTTP status. Nothing is raised here; a ticket whose
        caller hung up gets no error.
        """
        self._remove(ticket)
        if not ticket.granted.done():  # cancelled: its caller hung up
            error = TooBusy(f"{why} Try again in {self.retry_seconds} s.", self.retry_seconds, status)
            ticket.granted.set_exception(error)

    def _remove(self, ticket: Ticket) -> None:
        """Remove a ticket from those that wait, if it is one of them; forget a caller who has no other there."""
        clients = self.rounds[ticket.known]
        mine = clients.get(ticket.client, deque())
        if ticket in mine:
            mine.remove(ticket)
        if not mine:
            clients.pop(ticket.client, None)

    def _leave(self, ticket: Ticket) -> None:
        """Forget a ticket, and let the next begin if it ran."""
        if ticket.runs:
            self.running[ticket.client] -= 1
            self.running_in_round[ticket.known] -= 1
            self.running += Counter()  # forget who has none
            if self.cpu_bound and not ticket.known:
                self._rest()
            self._grant()
        else:
            self._remove(ticket)

    def _rest(self) -> None:
        """Let no anonymous caller's ticket begin for a while after the last one, if known callers have asked lately."""
        loop = asyncio.get_running_loop()
        if (now := loop.time()) <= self._known_until:
            self._rest_until = now + min(RESTS * (now - self._address_began), APART_SECONDS)
            loop.call_at(self._rest_until, self._grant)

    def _grant(self) -> None:
        """Let tickets begin while there is room."""
        while self.running.total() < self.at_once and (ticket := self._next()):
            if not ticket.granted.done():  # cancelled: its caller hung up
                self.running[ticket.client] += 1
                self.running_in_round[ticket.known] += 1
                ticket.granted.set_result(None)

    def _next(self) -> Ticket | None:
        """Take out the ticket that is served next; None where nobody who waits may have one more."""
        for known in (self._next_round, not self._next_round):
            clients, has_room = self.rounds[known], self.running_in_round[known] < self.places(known)
            client = next((name for name in clients if self.running[name] < self.per_client), None)
            if has_room and client is not None:
                tickets = clients.pop(client)
                ticket = tickets.popleft()
                if tickets:
                    clients[client] = tickets  # at the end of the round
                self._next_round = not known
                if not known:
                    self._address_began = asyncio.get_running_loop().time()
                return ticket
        return None


async def to_its_end(work: Awaitable[Result]) -> Result:
    """Wait until ``work``, which runs in a thread, has ended, and return its result.

    When the caller is cancelled, even several times, the cancellation is raised only after the work has ended, so that
    the caller's ticket is held for as long as the thread is busy.
    """
    task, cancelled = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        task.exception()  # asyncio would log one that nobody asked for
        raise cancelled
    return task.result()


@dataclass(frozen=True, slots=True)
class ProcessQueues:
    """Both queues of one web process."""

    searches: FairQueue
    answers: FairQueue


# FairQueue belong to their event loop: a web process has one, each command and test another.
_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, ProcessQueues] = WeakKeyDictionary()


def process_queues() -> ProcessQueues:
    """Return this event loop's queues."""
    loop = asyncio.get_running_loop()
    if loop not in _queues:
        _queues[loop] = new_queues()
    return _queues[loop]


def new_queues() -> ProcessQueues:
    """Return queues as the settings bound them, nobody in them."""
    # A search takes a fraction of a second, an answer some seconds or more.
    searches = FairQueue(
        at_once=settings.SEARCHES,
        per_client=settings.SEARCHES_PER_CLIENT,
        waiting=settings.QUESTIONS_WAITING,
        waiting_per_client=settings.QUESTIONS_WAITING_PER_CLIENT,
        retry_seconds=1,
        kept=settings.SEARCHES - 1,
        cpu_bound=True,
    )
    answers = FairQueue(
        at_once=settings.LLM_ANSWERS,
        per_client=settings.LLM_ANSWERS_PER_CLIENT,
        waiting=settings.LLM_ANSWERS_WAITING,
        waiting_per_client=settings.LLM_ANSWERS_WAITING_PER_CLIENT,
        retry_seconds=5,
        kept=settings.LLM_ANSWERS // 4,
    )
    return ProcessQueues(searches, answers)
