"""Questions that wait for the model: an embedder that a test holds back, and what is asked meanwhile."""

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
from search.access.fair_queue import FairQueue
from search.exceptions import TooBusy
from search.questions import Question
from search.retrieval import query_embedder
from search.retrieval.preparation import Asked
from search.retrieval.query_embedder import BATCH_QUESTIONS, BATCH_TOKENS, QuestionQueue, WaitingQuestion
from search.retrieval.retriever import prepared_alone, retrieve, retrieve_queued
from search.timings import Timings

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
        self.ask(0, SHORT)
        while not self.model.started.is_set():
            await asyncio.sleep(0)

    def ask(self, number: int, size: int, embedder: Any = None) -> asyncio.Task[Any]:
        ids = np.zeros(size, np.uint32)
        ids[0] = number
        task = asyncio.create_task(self.queue.embed(embedder or cast("Any", self.model), ids))
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


def test_batches_are_bounded_by_questions_and_tokens() -> None:
    async def play(scene: Scene) -> None:
        for n in range(1, 13):
            scene.ask(n, SHORT)
        for n in range(13, 20):
            scene.ask(n, LONG)

    scene, found = played(play)
    assert found == list(range(20))
    assert max(map(len, scene.model.batches)) == BATCH_QUESTIONS
    assert max(scene.model.sizes) <= BATCH_TOKENS


def test_a_long_question_is_not_passed_for_ever() -> None:
    """Whoever is in front is taken, whether or not others would fit better."""

    async def play(scene: Scene) -> None:
        for n in range(1, 4):
            scene.ask(n, LONG)
        for n in range(10, 40):
            scene.ask(n, SHORT)

    batches = played(play)[0].model.batches
    assert {1, 2} <= set(batches[1]) or {1, 2, 3} <= set(batches[1] + batches[2])
    assert 3 in batches[1] + batches[2]


def test_whoever_hangs_up_leaves_the_queue() -> None:
    async def play(scene: Scene) -> None:
        gone = [scene.ask(n, LONG) for n in range(1, 11)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.sleep(0)
        assert not scene.queue.waiting
        scene.ask(100, SHORT)

    scene, found = played(play)
    assert scene.model.batches == [[0], [100]]
    assert all(isinstance(each, asyncio.CancelledError) for each in found[1:-1])


def test_hanging_up_while_the_model_runs_harms_nobody_else() -> None:
    async def play(scene: Scene) -> None:
        scene.ask(1, SHORT)
        scene.asked[0].cancel()

    _scene, found = played(play)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1] == 1


def test_a_question_that_fails_fails_alone() -> None:
    async def play(scene: Scene) -> None:
        scene.model.too_large = {2}
        for n in range(1, 4):
            scene.ask(n, SHORT)

    _, found = played(play)
    assert [found[1], found[3]] == [1, 3]
    assert isinstance(found[2], ChunkTooLarge)


def test_after_a_bug_in_the_model_the_queue_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[Any]:
        queue, model, broken = QuestionQueue(), HeldEmbedder(), HeldEmbedder()
        model.free.set()
        monkeypatch.setattr(broken, "embed_tokens", lambda ids: 1 / 0)
        ids = np.ones(3, np.uint32)
        asked = (queue.embed(broken, ids), queue.embed(model, ids))  # type: ignore[arg-type]
        return list(await asyncio.gather(*asked, return_exceptions=True))

    found = asyncio.run(run())
    assert isinstance(found[0], ZeroDivisionError)
    assert found[1] == 1


def test_questions_for_different_models_are_never_in_one_batch() -> None:
    other = HeldEmbedder()
    other.free.set()

    async def play(scene: Scene) -> None:
        for n in range(1, 9):
            scene.ask(n, SHORT, other if n % 2 else None)

    scene, found = played(play)
    assert found == list(range(9))
    assert {n for batch in other.batches for n in batch} == {1, 3, 5, 7}
    assert scene.model.threads == other.threads
    assert len(other.threads) == 1


def test_those_who_wait_hold_no_thread() -> None:
    async def play(scene: Scene) -> None:
        before = threading.active_count()
        for n in range(1, 61):
            scene.ask(n, SHORT)
        await asyncio.sleep(0)
        assert len(scene.queue.waiting) == 60
        assert threading.active_count() <= before  # those of tests before may end meanwhile

    played(play)


def test_a_batch_waits_for_questions_that_are_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_embedder, "BATCH_WAIT_SECONDS", 60)

    async def run() -> list[list[int]]:
        scene, prepared = Scene(), asyncio.Event()
        scene.model.free.set()

        async def prepare_and_ask() -> None:
            with scene.queue.coming():
                await prepared.wait()
            await scene.queue.embed(cast("Any", scene.model), np.array([2], np.uint32))

        late = asyncio.create_task(prepare_and_ask())
        await asyncio.sleep(0)
        scene.ask(1, SHORT)
        await asyncio.sleep(0.01)
        assert scene.model.batches == []
        prepared.set()
        await asyncio.gather(late, scene.end())
        return scene.model.batches

    assert asyncio.run(run()) == [[1, 2]]


def test_a_batch_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[Any]:
        scene = Scene()
        with scene.queue.coming():
            scene.ask(1, SHORT)
            return await scene.end()

    assert asyncio.run(run()) == [1]


def test_a_question_asked_before_waits_for_nothing() -> None:
    async def run() -> Scene:
        scene = Scene()
        scene.model.free.set()
        ids, longer = np.array([7, 7], np.uint32), np.array([7, 7, 7], np.uint32)
        for each in (ids, ids, longer, ids):
            assert cast("Any", await scene.queue.embed(cast("Any", scene.model), each)) == 7
        return scene

    assert asyncio.run(run()).model.sizes == [2, 3]


def test_only_the_last_questions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_embedder, "KEPT_QUESTIONS", 2)
    kept: Any = query_embedder.KeptVectors()
    first, second, third = (np.array([n], np.uint32) for n in range(3))
    for ids in (first, second):
        kept.add(ids, "vectors")
    kept.get(first)
    kept.add(third, "vectors")
    assert [kept.get(ids) for ids in (first, second, third)] == ["vectors", None, "vectors"]


@given(st.lists(st.integers(1, 600), min_size=1, max_size=60))
def test_everybody_is_taken_once_and_in_bounded_batches(asked: list[int]) -> None:
    async def run() -> list[list[WaitingQuestion]]:
        queue, batches = QuestionQueue(), []
        queue.waiting = [WaitingQuestion(None, np.zeros(size, np.uint32)) for size in asked]  # type: ignore[arg-type]
        while batch := queue._next_batch():
            batches.append(batch)
        return batches

    batches = asyncio.run(run())
    assert len({id(q) for batch in batches for q in batch}) == len(asked)
    assert all(
        len(b) == 1 or (len(b) <= BATCH_QUESTIONS and sum(len(q.ids) for q in b) <= BATCH_TOKENS) for b in batches
    )


# --- With the real model ------------------------------------------------------------------------


def test_the_answer_in_turn_is_the_commands_answer(index: None) -> None:
    question = Question("How do I create migrations after changing a model?", OPERATOR)
    assert async_to_sync(retrieve_queued)(question, Timings()) == retrieve(question, Timings())


def test_a_long_question_is_cut_and_still_answered(index: None, settings: Settings) -> None:
    text = "How do I create migrations? " + "And so on, 嗯. " * 140
    prepared = prepared_alone(Asked(Question(text, OPERATOR), Timings()))
    [ids], [whole] = prepared.ids, prepared.served.embedder.tokenise([text])
    assert len(ids) == settings.QUESTION_MAX_TOKENS < len(whole)
    assert ids[-1] == whole[-1]
    assert list(ids[:-1]) == list(whole[: len(ids) - 1])
    assert retrieve(Question(text, OPERATOR), Timings())[0].document == 911


@pytest.mark.parametrize("status", [429, 503])
def test_who_gets_no_turn_is_told_so_everywhere(
    index: None, client: Client, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    def full(*args: object) -> None:
        raise TooBusy("Too many requests wait. Try again in 2 s.", 2, status)

    monkeypatch.setattr(FairQueue, "_add", full)
    message = {"role": "user", "content": "x"}
    answers = [
        client.get("/api/search", {"q": "x"}),
        client.get("/api/v1/search", {"q": "x"}),
        client.post("/api/ask", {"q": "x"}),
        client.post("/api/v1/ask", {"q": "x"}, content_type="application/json"),
        client.post("/ask", {"q": "x"}),
        client.post("/v1/chat/completions", {"model": "docs", "messages": [message]}, content_type="application/json"),
        client.post("/v1/embeddings", {"model": "stand-in", "input": "x"}, content_type="application/json"),
        client.get("/", {"q": "x"}),
        client.get("/results", {"q": "x"}),
    ]
    assert [(r.status_code, r["Retry-After"]) for r in answers] == [(status, "2")] * len(answers)
    assert all("Too many requests wait. Try again in 2 s." in r.content.decode() for r in answers)
