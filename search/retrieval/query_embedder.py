"""The line for the model that embeds questions: fair between clients, bounded, in batches.

In: a question's token ids, and the client that asks. Out: its vectors, or TooBusy. One thread runs the model; whatever
comes meanwhile waits here, in the event loop, and holds no thread. Each batch takes one question from every client in
turn, and goes round again while there is room. A batch starts as soon as the model is free: waiting for company would
only cost time. A question whose client hangs up leaves the line.

Where the line is full, the longest question of the client with the most tokens in it is refused, so that neither a
crowd of long questions nor one client's many can keep a short one of somebody else out.

Web processes only. Commands embed directly (``retriever``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from django.conf import settings

from search.exceptions import TooBusy

if TYPE_CHECKING:
    from ingestion.embedding.embedder import Embedder, TokenIds
    from ingestion.types import Vectors

BATCH_QUESTIONS = 8
# As many as two of the longest questions have: a short question never waits for more than that in front of its own
# batch, 0.1 s with the stand-in on two cores.
BATCH_TOKENS = 512
RETRY_SECONDS = 2

_model_thread = ThreadPoolExecutor(1, "query-embedder")


@dataclass(eq=False)
class Waiting:
    """A question in the line."""

    client: str
    embedder: Embedder
    ids: TokenIds
    vectors: asyncio.Future[Vectors] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class QueryLine:
    """One event loop's line. Clients stand in a circle, the one whose turn is next in front."""

    def __init__(self) -> None:
        self.clients: deque[str] = deque()
        self.questions: dict[str, list[Waiting]] = {}
        self._runner: asyncio.Task[None] | None = None

    async def embed(self, client: str, embedder: Embedder, ids: TokenIds) -> Vectors:
        """Return the question's vectors when its turn has come. Raises TooBusy, or what the embedder raised."""
        question = Waiting(client, embedder, ids)
        self._join(question)
        if not self._runner or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        try:
            return await question.vectors
        finally:
            self._leave(question)

    def _join(self, question: Waiting) -> None:
        """Put the question in; refuse one, not necessarily this, where that makes too many."""
        if question.client not in self.questions:
            self.clients.append(question.client)
        mine = self.questions.setdefault(question.client, [])
        mine.append(question)
        if len(mine) > settings.QUESTIONS_WAITING_PER_CLIENT:
            self._refuse(question.client)
        elif sum(map(len, self.questions.values())) > settings.QUESTIONS_WAITING:
            self._refuse(max(self.questions, key=lambda client: tokens(self.questions[client])))

    def _refuse(self, client: str) -> None:
        longest = max(reversed(self.questions[client]), key=lambda q: len(q.ids))  # of equals the latest
        self._leave(longest)
        if not longest.vectors.done():
            longest.vectors.set_exception(
                TooBusy("Too many questions are waiting for an answer. Ask again in a moment.", RETRY_SECONDS)
            )

    def _leave(self, question: Waiting) -> None:
        mine = self.questions.get(question.client, [])
        if question in mine:
            mine.remove(question)
        if not mine and question.client in self.questions:
            del self.questions[question.client]
            self.clients.remove(question.client)

    async def _run(self) -> None:
        """Embed batch after batch until nobody waits."""
        loop = asyncio.get_running_loop()
        while batch := self._next_batch():
            found = await loop.run_in_executor(_model_thread, embed_each, batch[0].embedder, [q.ids for q in batch])
            for question, result in zip(batch, found, strict=True):
                if question.vectors.done():  # its client hung up
                    continue
                if isinstance(result, BaseException):
                    question.vectors.set_exception(result)
                else:
                    question.vectors.set_result(result)

    def _next_batch(self) -> list[Waiting]:
        """Take the front client's shortest question, then others that fit, one a client and round. A client whose
        question does not fit keeps its place in the circle and is in front soon."""
        batch: list[Waiting] = []
        for client in chain.from_iterable(list(self.clients) for _ in range(BATCH_QUESTIONS)):
            if not (mine := self.questions.get(client)):
                continue
            question = min(mine, key=lambda q: len(q.ids))
            if batch and (
                question.embedder is not batch[0].embedder
                or len(batch) >= BATCH_QUESTIONS
                or tokens(batch) + len(question.ids) > BATCH_TOKENS
            ):
                continue
            batch.append(question)
            self.clients.remove(client)
            self.clients.append(client)
            self._leave(question)
        return batch


def tokens(questions: Sequence[Waiting]) -> int:
    return sum(len(q.ids) for q in questions)


def embed_each(embedder: Embedder, ids: Sequence[TokenIds]) -> list[Vectors | BaseException]:
    """Return the vectors of each, or what made them impossible; runs in the model's thread."""
    found: dict[int, Vectors | BaseException] = {}
    trouble: BaseException | None = None
    try:
        for places, vectors in embedder.embed_tokens(ids):
            found.update(zip(places, vectors, strict=True))
    except Exception as error:  # handed to the questions, which raise it where it is seen
        trouble = error
    return [found.get(n, trouble or RuntimeError("The embedder left a question out.")) for n in range(len(ids))]


# A line belongs to its event loop: a web process has one, each command and test another.
_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, QueryLine] = WeakKeyDictionary()


def line() -> QueryLine:
    """Return this event loop's line."""
    return _lines.setdefault(asyncio.get_running_loop(), QueryLine())
