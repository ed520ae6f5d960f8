"""The queue for the model: an embedder that a test holds back, and clients that ask meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from ingestion.exceptions import ChunkTooLarge
from search.access.caller import OPERATOR
from search.exceptions import TooBusy
from search.questions import Question
from search.retrieval import query_embedder, retriever
from search.retrieval.query_embedder import BATCH_QUESTIONS, BATCH_TOKENS, QuestionQueue, WaitingQuestion
from search.retrieval.retriever import retrieve, retrieve_queued
from search.timings import Timings

CROWD, READER = "192.0.2.1", "198.51.100.7"
LONG, SHORT = 256, 10


class HeldEmbedder:
    """Embeds a batch when the test lets it: ids are ``[number, 0, 0, …]``, vectors are the number."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.sizes: list[int] = []
        self.threads: set[str] = set()
        self.free = threading.Event()
        self.started = threading.Event()
        self.too_large: set[int] = set()

    def embed_tokens(self, ids: Sequence[Any]) -> Iterator[tuple[list[int], list[Any]]]:
        self.threads.add(threading.current_thread().name)
        self.batches.append([int(i[0]) for i in ids])
        self.sizes.append(sum(map(len, ids)))
        self.started.set()
        assert self.free.wait(300)
        refused = [n for n, i in enumerate(ids) if int(i[0]) in self.too_large]
        for n, i in enumerate(ids):
            if n not in refused:
                yield [n], [int(i[0])]
        if refused:
            raise ChunkTooLarge("too large", refused[0])


class Scene:
    """A queue whose model is busy with question 0, so that whoever comes now has to wait."""

    def __init__(self) -> None:
        self.queue = QuestionQueue()
        self.model = HeldEmbedder()
        self.asked: list[asyncio.Task[Any]] = []

    async def begin(self) -> None:
        self.ask(0, "first", SHORT)
        while not self.model.started.is_set():
            await asyncio.sleep(0)

    def ask(self, number: int, client: str, size: int, embedder: Any = None) -> asyncio.Task[Any]:
        ids = np.zeros(size, np.uint32)
        ids[0] = number
        task = asyncio.create_task(self.queue.embed(client, embedder or cast("Any", self.model), ids))
        self.asked.append(task)
        return task

    async def end(self) -> list[Any]:
        """Let the model go on; return what each question got."""
        self.model.free.set()
        return await asyncio.gather(*self.asked, return_exceptions=True)


def played(play: Callable[[Scene], Awaitable[Any]]) -> tuple[Scene, list[Any]]:
    async def run() -> tuple[Scene, list[Any]]:
        scene = Scene()
        await scene.begin()
        try:
            await play(scene)
            await asyncio.sleep(0)
        finally:
            found = await scene.end()
        return scene, found

    return asyncio.run(run())


def test_a_lone_question_is_embedded_at_once_and_alone() -> None:
    async def nothing(scene: Scene) -> None:
        pass

    scene, found = played(nothing)
    assert (scene.model.batches, found) == ([[0]], [0])


def test_a_reader_goes_into_the_next_batch_whatever_a_crowd_asked_before() -> None:
    async def play(scene: Scene) -> None:
        for n in range(1, 17):
            scene.ask(n, CROWD, LONG)
        await asyncio.sleep(0)
        scene.ask(100, READER, SHORT)

    scene, found = played(play)
    assert found == [*range(17), 100]
    assert 100 in scene.model.batches[1]


def test_a_short_question_passes_the_long_ones_of_its_own_address() -> None:
    async def play(scene: Scene) -> None:
        for n in range(1, 9):
            scene.ask(n, CROWD, LONG)
        scene.ask(100, CROWD, SHORT)

    assert 100 in played(play)[0].model.batches[1]


def test_batches_are_bounded_by_questions_and_tokens() -> None:
    async def play(scene: Scene) -> None:
        for n in range(1, 13):
            scene.ask(n, f"client {n}", SHORT)
        for n in range(13, 20):
            scene.ask(n, f"client {n}", LONG)

    scene, found = played(play)
    assert found == list(range(20))
    assert max(map(len, scene.model.batches)) == BATCH_QUESTIONS
    assert max(scene.model.sizes) <= BATCH_TOKENS


def test_a_long_question_is_not_passed_for_ever() -> None:
    """Whoever is in front is taken, whether or not others would fit better."""

    async def play(scene: Scene) -> None:
        for n in range(1, 4):
            scene.ask(n, f"long {n}", LONG)
        for n in range(10, 40):
            scene.ask(n, f"short {n}", SHORT)

    batches = played(play)[0].model.batches
    assert {1, 2} <= set(batches[1]) or {1, 2, 3} <= set(batches[1] + batches[2])
    assert 3 in batches[1] + batches[2]


def test_clients_take_turns() -> None:
    async def play(scene: Scene) -> None:
        for n in range(1, 10):
            scene.ask(n, CROWD, 50)
        for n in range(101, 110):
            scene.ask(n, READER, 50)

    batches = played(play)[0].model.batches[1:]
    assert [sum(n < 100 for n in batch) for batch in batches[:2]] == [4, 4]


def test_nobody_is_taken_twice_before_everybody_was_taken_once() -> None:
    async def play(scene: Scene) -> None:
        for n in range(1, 11):
            scene.ask(n, f"client {n}", SHORT)
            scene.ask(100 + n, f"client {n}", SHORT)

    batches = played(play)[0].model.batches[1:]
    assert set(range(1, 11)) <= set(batches[0] + batches[1])


def test_whoever_hangs_up_leaves_the_queue() -> None:
    async def play(scene: Scene) -> None:
        gone = [scene.ask(n, CROWD, LONG) for n in range(1, 11)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.sleep(0)
        assert scene.queue.questions == {}
        assert not scene.queue.clients
        scene.ask(100, READER, SHORT)

    scene, found = played(play)
    assert scene.model.batches == [[0], [100]]
    assert all(isinstance(each, asyncio.CancelledError) for each in found[1:-1])


def test_hanging_up_while_the_model_runs_harms_nobody_else() -> None:
    async def play(scene: Scene) -> None:
        scene.ask(1, READER, SHORT)
        scene.asked[0].cancel()

    _scene, found = played(play)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1] == 1


def test_one_client_may_wait_with_so_many_questions_and_loses_the_longest(settings: Settings) -> None:
    settings.QUESTIONS_WAITING_PER_CLIENT = 4

    async def play(scene: Scene) -> None:
        for n in range(1, 9):
            scene.ask(n, CROWD, LONG)
        scene.ask(100, CROWD, SHORT)

    _, found = played(play)
    refused = [n for n, each in enumerate(found) if isinstance(each, TooBusy)]
    assert refused == [4, 5, 6, 7, 8], "the latest of equal ones, then the fourth for the short one"
    assert found[9] == 100
    assert found[5].retry_after > 0


def test_where_all_queues_are_full_the_heaviest_client_loses_one(settings: Settings) -> None:
    settings.QUESTIONS_WAITING = 6

    async def play(scene: Scene) -> None:
        for n in range(1, 7):
            scene.ask(n, CROWD, LONG)
        await asyncio.sleep(0)
        scene.ask(100, READER, SHORT)

    _, found = played(play)
    assert isinstance(found[6], TooBusy)
    assert found[:6] == list(range(6))
    assert found[7] == 100


def test_a_question_that_fails_fails_alone() -> None:
    async def play(scene: Scene) -> None:
        scene.model.too_large = {2}
        for n in range(1, 4):
            scene.ask(n, READER, SHORT)

    _, found = played(play)
    assert [found[1], found[3]] == [1, 3]
    assert isinstance(found[2], ChunkTooLarge)


def test_after_a_bug_in_the_model_the_queue_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[Any]:
        queue, model, broken = QuestionQueue(), HeldEmbedder(), HeldEmbedder()
        model.free.set()
        monkeypatch.setattr(broken, "embed_tokens", lambda ids: 1 / 0)
        ids = np.ones(3, np.uint32)
        asked = (queue.embed(CROWD, broken, ids), queue.embed(READER, model, ids))  # type: ignore[arg-type]
        return list(await asyncio.gather(*asked, return_exceptions=True))

    found = asyncio.run(run())
    assert isinstance(found[0], ZeroDivisionError)
    assert found[1] == 1


def test_questions_for_different_models_are_never_in_one_batch() -> None:
    other = HeldEmbedder()
    other.free.set()

    async def play(scene: Scene) -> None:
        for n in range(1, 9):
            scene.ask(n, f"client {n}", SHORT, other if n % 2 else None)

    scene, found = played(play)
    assert found == list(range(9))
    assert {n for batch in other.batches for n in batch} == {1, 3, 5, 7}
    assert scene.model.threads == other.threads
    assert len(other.threads) == 1


def test_those_who_wait_hold_no_thread() -> None:
    async def play(scene: Scene) -> None:
        before = threading.active_count()
        for n in range(1, 61):
            scene.ask(n, f"client {n}", SHORT)
        await asyncio.sleep(0)
        assert sum(map(len, scene.queue.questions.values())) == 60
        assert threading.active_count() == before

    played(play)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 600)), min_size=1, max_size=60))
def test_everybody_is_taken_once_and_in_bounded_batches(asked: list[tuple[str, int]]) -> None:
    async def run() -> list[list[WaitingQuestion]]:
        queue, batches = QuestionQueue(), []
        for client, size in asked:
            queue._add(WaitingQuestion(client, None, np.zeros(size, np.uint32)))  # type: ignore[arg-type]
        while batch := queue._next_batch():
            batches.append(batch)
        assert not queue.questions
        assert not queue.clients
        return batches

    batches = asyncio.run(run())
    kept = [q for batch in batches for q in batch]
    assert len({id(q) for q in kept}) == len(kept) >= min(len(asked), 16)
    assert all(
        len(b) == 1 or (len(b) <= BATCH_QUESTIONS and query_embedder.token_count(b) <= BATCH_TOKENS) for b in batches
    )


# --- With the real model ------------------------------------------------------------------------


def test_the_answer_in_turn_is_the_commands_answer(index: None) -> None:
    question = Question("How do I create migrations after changing a model?", OPERATOR)
    assert async_to_sync(retrieve_queued)(question, Timings()) == retrieve(question, Timings())


def test_a_long_question_is_cut_and_still_answered(index: None, settings: Settings) -> None:
    text = "How do I create migrations? " + "And so on, 嗯. " * 140
    ids = retriever.prepare(Question(text, OPERATOR), Timings()).ids
    whole = retriever.prepare(Question("x", OPERATOR), Timings()).served.embedder.tokenise([text])[0]
    assert len(ids) == settings.QUESTION_MAX_TOKENS < len(whole)
    assert ids[-1] == whole[-1]
    assert list(ids[:-1]) == list(whole[: len(ids) - 1])
    assert retrieve(Question(text, OPERATOR), Timings())[0].document == 911


def test_a_full_queue_is_503_everywhere(
    index: None, client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*args: object) -> None:
        raise TooBusy("Too many questions are waiting for an answer. Ask again in a moment.", 2)

    monkeypatch.setattr(QuestionQueue, "embed", full)
    answers = [
        client.get("/api/search", {"q": "x"}),
        client.post("/api/ask", {"q": "x"}),
        client.get("/", {"q": "x"}),
    ]
    assert [(r.status_code, r["Retry-After"]) for r in answers] == [(503, "2")] * 3
    assert all("Too many questions are waiting" in r.content.decode() for r in answers)
