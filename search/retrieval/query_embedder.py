"""The queue for the model that embeds questions: fair between clients, bounded, in batches.

In: a question's token ids, and the client that asks. Out: its vectors, or TooBusy. One thread runs the model; other
questions wait here, in the event loop, and hold no thread. Batches are filled round robin: one question of every
client, then a second of each, while there is room. A lone question starts at once when the model is free; for others
that are known to be on their way a batch waits, no longer than BATCH_WAIT_SECONDS. A question whose client hangs up
leaves the queue. Vectors of the last questions are kept: what was asked before, by whomever, waits for nothing.

When the queue is full, the longest question of the client with the most tokens in it is refused. So neither a crowd of
long questions nor one client's many can keep another client's short question out.

Web processes only. Commands embed directly (``retriever``).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from django.conf import settings

from search.exceptions import TooBusy

if TYPE_CHECKING:
    from ingestion.embedding.embedder import TokenIds
    from ingestion.types import Vectors
    from search.retrieval.question_model import QuestionModel

BATCH_QUESTIONS = 8
# As many as two of the longest questions have: a short question never waits for more than that in front of its own
# batch, 0.1 s with the stand-in on two cores.
BATCH_TOKENS = 512
# Eight questions in one batch take 3 times as long as one, in a row 8 times; what is on its way is here within 5 ms.
BATCH_WAIT_SECONDS = 0.005
# Questions whose vectors are kept, per model: 5 MB of BGE-M3's.
KEPT_QUESTIONS = 1000
RETRY_SECONDS = 2

_model_thread = ThreadPoolExecutor(1, "query-embedder")


@dataclass(eq=False)
class WaitingQuestion:
    """A question in the queue, and the future of its vectors."""

    client: str
    embedder: QuestionModel
    ids: TokenIds
    vectors: asyncio.Future[Vectors] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class KeptVectors:
    """The vectors of one model's last KEPT_QUESTIONS questions, by their tokens."""

    def __init__(self) -> None:
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()

    def get(self, ids: TokenIds) -> Vectors | None:
        """Return the question's vectors if they are kept, and count it among the last."""
        if found := self._vectors.get(ids.tobytes()):
            self._vectors.move_to_end(ids.tobytes())
        return found

    def add(self, ids: TokenIds, vectors: Vectors) -> None:
        """Keep a question's vectors, and forget those asked longest ago."""
        self._vectors[ids.tobytes()] = vectors
        if len(self._vectors) > KEPT_QUESTIONS:
            self._vectors.popitem(last=False)


class QuestionQueue:
    """One event loop's queue: each client's questions, and the clients in the order in which they are served next."""

    def __init__(self) -> None:
        self.clients: deque[str] = deque()
        self.questions: dict[str, list[WaitingQuestion]] = {}
        self.kept: WeakKeyDictionary[QuestionModel, KeptVectors] = WeakKeyDictionary()
        self._coming = 0
        self._changed = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Tell the queue that a question is being prepared inside, which a batch may wait for."""
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1
            self._changed.set()

    async def embed(self, client: str, embedder: QuestionModel, ids: TokenIds) -> Vectors:
        """Wait until the question has been embedded, and return its vectors.

        Raises TooBusy, or what the embedder raised.
        """
        kept = self.kept.setdefault(embedder, KeptVectors())
        if known := kept.get(ids):
            return known
        question = WaitingQuestion(client, embedder, ids)
        self._add(question)
        self._changed.set()
        if not self._runner or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        try:
            vectors = await question.vectors
        finally:
            self._remove(question)
        kept.add(ids, vectors)
        return vectors

    def _add(self, question: WaitingQuestion) -> None:
        """Add the question; refuse one, not necessarily this, where that makes too many."""
        if question.client not in self.questions:
            self.clients.append(question.client)
        mine = self.questions.setdefault(question.client, [])
        mine.append(question)
        if len(mine) > settings.QUESTIONS_WAITING_PER_CLIENT:
            self._refuse(question.client)
        elif sum(map(len, self.questions.values())) > settings.QUESTIONS_WAITING:
            self._refuse(max(self.questions, key=lambda client: token_count(self.questions[client])))

    def _refuse(self, client: str) -> None:
        """Remove the client's longest question, which raises TooBusy."""
        longest = max(reversed(self.questions[client]), key=lambda q: len(q.ids))  # of equals the latest
        self._remove(longest)
        if not longest.vectors.done():
            longest.vectors.set_exception(
                TooBusy("Too many questions are waiting for an answer. Ask again in a moment.", RETRY_SECONDS)
            )

    def _remove(self, question: WaitingQuestion) -> None:
        mine = self.questions.get(question.client, [])
        if question in mine:
            mine.remove(question)
        if not mine and question.client in self.questions:
            del self.questions[question.client]
            self.clients.remove(question.client)

    async def _run(self) -> None:
        """Embed batch after batch until nobody waits."""
        loop = asyncio.get_running_loop()
        await self._gathered()
        while batch := self._next_batch():
            found = await loop.run_in_executor(_model_thread, embed_each, batch[0].embedder, [q.ids for q in batch])
            for question, result in zip(batch, found, strict=True):
                if question.vectors.done():  # cancelled: its client hung up
                    continue
                if isinstance(result, BaseException):
                    question.vectors.set_exception(result)
                else:
                    question.vectors.set_result(result)
            await self._gathered()

    async def _gathered(self) -> None:
        """Wait until a batch is full or nobody is on the way, for BATCH_WAIT_SECONDS at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BATCH_WAIT_SECONDS):
                while self._coming and 0 < sum(map(len, self.questions.values())) < BATCH_QUESTIONS:
                    self._changed.clear()
                    await self._changed.wait()

    def _next_batch(self) -> list[WaitingQuestion]:
        """Remove the next batch from the queue and return it; empty when nobody waits.

        The first client's shortest question, then others that fit, round robin. Clients whose questions are in the
        batch go to the end of the order; a client whose question did not fit keeps its position and is first soon.
        """
        batch: list[WaitingQuestion] = []
        for client in chain.from_iterable(list(self.clients) for _ in range(BATCH_QUESTIONS)):
            if not (mine := self.questions.get(client)):
                continue
            question = min(mine, key=lambda q: len(q.ids))
            if batch and (
                question.embedder is not batch[0].embedder
                or len(batch) >= BATCH_QUESTIONS
                or token_count(batch) + len(question.ids) > BATCH_TOKENS
            ):
                continue
            batch.append(question)
            self.clients.remove(client)
            self.clients.append(client)
            self._remove(question)
        return batch


def token_count(questions: Sequence[WaitingQuestion]) -> int:
    """Return the number of tokens in these questions."""
    return sum(len(q.ids) for q in questions)


def embed_each(embedder: QuestionModel, ids: Sequence[TokenIds]) -> list[Vectors | BaseException]:
    """Return the vectors of each question, or the exception that prevented them. Runs in the model's thread."""
    found: dict[int, Vectors | BaseException] = {}
    failure: BaseException | None = None
    try:
        for positions, vectors in embedder.embed_tokens(ids):
            found.update(zip(positions, vectors, strict=True))
    except Exception as error:  # handed to the questions, which raise it where it is seen
        failure = error
    return [found.get(n, failure or RuntimeError("The embedder left a question out.")) for n in range(len(ids))]


# A queue belongs to its event loop: a web process has one, each command and test another.
_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, QuestionQueue] = WeakKeyDictionary()


def question_queue() -> QuestionQueue:
    """Return this event loop's queue."""
    return _queues.setdefault(asyncio.get_running_loop(), QuestionQueue())
