"""The model that embeds questions, in batches of those that are asked at once.

In: a question's token ids. Out: its vectors. One thread runs the model; other questions wait here, in the event loop,
and hold no thread. A lone question starts at once when the model is free; for others that are known to be on their way
a batch waits, no longer than BATCH_WAIT_SECONDS. A question whose client hangs up leaves. Vectors of the last questions
are kept: what was asked before, by whomever, waits for nothing. How many come at once, and in which order, was decided
before (``access.fair_queue``).

Web processes only. Commands embed directly (``retriever``).
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from django.conf import settings

if TYPE_CHECKING:
    from ingestion.embedding.embedder import TokenIds
    from ingestion.types import Vectors
    from search.retrieval.question_model import QuestionModel

BATCH_QUESTIONS = 8
# As many as two of the longest questions have, 0.1 s with the stand-in on two cores.
BATCH_TOKENS = 512
# Eight questions in one batch take 3 times as long as one, in a row 8 times; what is on its way is here within 5 ms.
BATCH_WAIT_SECONDS = 0.005
# Questions whose vectors are kept, per model: 5 MB of BGE-M3's.
KEPT_QUESTIONS = 1000

_model_thread = ThreadPoolExecutor(1, "query-embedder")


@dataclass(eq=False)
class WaitingQuestion:
    """A question that is to be embedded, and the future of its vectors."""

    embedder: QuestionModel
    ids: TokenIds
    vectors: asyncio.Future[Vectors] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class KeptVectors:
    """The vectors of one model's last KEPT_QUESTIONS questions, by their tokens, for all threads."""

    def __init__(self) -> None:
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, ids: TokenIds) -> Vectors | None:
        """Return the question's vectors if they are kept, and count it among the last."""
        with self._lock:
            if found := self._vectors.get(ids.tobytes()):
                self._vectors.move_to_end(ids.tobytes())
            return found

    def add(self, ids: TokenIds, vectors: Vectors) -> None:
        """Keep a question's vectors, and forget those asked longest ago."""
        with self._lock:
            self._vectors[ids.tobytes()] = vectors
            if len(self._vectors) > KEPT_QUESTIONS:
                self._vectors.popitem(last=False)


class QuestionQueue:
    """One event loop's questions that wait for the model, in the order in which they came."""

    def __init__(self) -> None:
        self.waiting: list[WaitingQuestion] = []
        self._coming = 0
        self._changed = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Tell the queue that the block prepares a question, so that a batch may wait for it."""
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1
            self._changed.set()

    async def embed(self, embedder: QuestionModel, ids: TokenIds) -> Vectors:
        """Wait until the question has been embedded, and return its vectors. Raises what the embedder raised."""
        kept = kept_by(embedder)
        if known := kept.get(ids):
            return known
        question = WaitingQuestion(embedder, ids)
        self.waiting.append(question)
        self._changed.set()
        if not self._runner or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        try:
            vectors = await question.vectors
        finally:
            if question in self.waiting:
                self.waiting.remove(question)
        kept.add(ids, vectors)
        return vectors

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
                while self._coming and 0 < len(self.waiting) < BATCH_QUESTIONS:
                    self._changed.clear()
                    await self._changed.wait()

    def _next_batch(self) -> list[WaitingQuestion]:
        """Remove the next batch and return it: the first question, and others that fit; empty when nobody waits."""
        batch: list[WaitingQuestion] = []
        tokens = 0
        for question in self.waiting:
            tokens_then = tokens + len(question.ids)
            fits = len(batch) < BATCH_QUESTIONS and tokens_then <= BATCH_TOKENS
            if not batch or (fits and question.embedder is batch[0].embedder):
                batch.append(question)
                tokens = tokens_then
        self.waiting = [question for question in self.waiting if question not in batch]
        return batch


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


# A model's vectors go with it.
_kept: WeakKeyDictionary[QuestionModel, KeptVectors] = WeakKeyDictionary()


def kept_by(embedder: QuestionModel) -> KeptVectors:
    """Return the cache of the vectors that this model embedded last."""
    return _kept.setdefault(embedder, KeptVectors())


def question_tokens(embedder: QuestionModel, texts: Sequence[str]) -> list[TokenIds]:
    """Return the tokens of questions, cut to QUESTION_MAX_TOKENS; the last token ends a text."""
    most = settings.QUESTION_MAX_TOKENS
    return [np.append(ids[: most - 1], ids[-1:]) if len(ids) > most else ids for ids in embedder.tokenise(texts)]


# A queue belongs to its event loop: a web process has one, each command and test another.
_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, QuestionQueue] = WeakKeyDictionary()


def question_queue() -> QuestionQueue:
    """Return this event loop's queue."""
    return _queues.setdefault(asyncio.get_running_loop(), QuestionQueue())
