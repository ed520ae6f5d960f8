"""Questions embedded by a worker's model: through a real Redis, with the real stand-in model on the worker's side."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
from pytest_django import Settings

from ingestion.coordination import question_service
from ingestion.coordination.question_service import Request
from ingestion.embedding.embedder import Embedder
from ingestion.embedding.loading import configured_model, load_model
from ingestion.exceptions import ModelError, NobodyAnswers
from ingestion.models import Collection
from ingestion.pipeline import dispatcher
from ingestion.pipeline.embed import answer_questions
from ingestion.pipeline.embed import embed_waiting as embedding
from search.access.caller import OPERATOR
from search.questions import Question
from search.retrieval import question_model, worker_model
from search.retrieval.retriever import retrieve
from search.retrieval.worker_model import WorkerModel
from search.timings import Timings
from tests.conftest import wait_until
from tests.support.fake_embedder import FakeEmbedder

pytestmark = [
    pytest.mark.usefixtures("clean_redis", "model_path"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
TEXTS = ["How are migrations created?", "cache", "a longer question about templates, variables and tags in them"]


@pytest.fixture
def model(settings: Settings) -> Embedder:
    settings.QUERY_EMBEDDER = "worker"
    return load_model(settings.QUERY_DEVICE)


@pytest.fixture
def worker(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """A worker that answers; call it for the number of requests so far."""
    ended, answered = threading.Event(), list[str]()
    take = question_service.next_request

    def counted() -> Request | None:
        if ended.is_set():
            raise SystemExit
        if found := take():
            answered.append(found.id)
        return found

    monkeypatch.setattr(question_service, "next_request", counted)
    thread = threading.Thread(target=answer_questions.answer_forever, args=(model,))
    thread.start()
    wait_until(lambda: question_service.served() is not None)
    yield lambda: len(answered)
    ended.set()
    thread.join()


def no_model(*args: Any) -> Any:
    raise AssertionError("a model is loaded in this process")


def test_a_worker_s_vectors_are_those_of_the_model(
    worker: Callable[[], int], model: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_model, "load_model", no_model)
    remote = WorkerModel(configured_model())
    assert [ids.tolist() for ids in remote.tokenise(TEXTS)] == [ids.tolist() for ids in model.tokenise(TEXTS)]
    for found, wanted in zip(remote.embed(TEXTS), model.embed(TEXTS), strict=True):
        assert np.allclose(found.dense, wanted.dense, atol=1e-5)
        assert found.indices.tolist() == wanted.indices.tolist()
        assert np.allclose(found.weights, wanted.weights, atol=1e-5)
    assert worker() == 1
    assert remote.embed([]) == []


def test_a_worker_compares_passages_with_a_question(
    worker: Callable[[], int], model: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_model, "load_model", no_model)
    remote, until = WorkerModel(configured_model()), monotonic() + 60
    question, *texts = remote.tokenise([TEXTS[0], *TEXTS])
    found = remote.similarities(question, texts, until)
    assert np.allclose(found, model.similarities(question, texts, until), atol=1e-5)
    assert found[0] == pytest.approx(1, abs=1e-5)
    assert worker() == 1


def test_passages_are_not_compared_where_no_worker_answers(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_model, "load_model", no_model)
    remote = WorkerModel(configured_model())
    question, *texts = remote.tokenise([TEXTS[0], *TEXTS])
    with pytest.raises(NobodyAnswers, match="No embedding worker"):
        remote.similarities(question, texts, monotonic() + 60)


def test_a_search_finds_the_same_by_a_worker(
    index: None, worker: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question(TEXTS[0], OPERATOR)
    own = [(p.document, p.position, round(p.score, 3)) for p in retrieve(question, Timings())]
    assert worker() == 0  # the model was in this process before
    monkeypatch.setattr(question_model, "_served", None)
    monkeypatch.setattr(worker_model, "load_model", no_model)
    assert [(p.document, p.position, round(p.score, 3)) for p in retrieve(question, Timings())] == own
    assert worker() == 1


def test_without_a_worker_this_process_embeds_and_says_so(
    model: Embedder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[object] = []
    ask = question_service.ask

    def counted(*args: Any) -> Any:
        asked.append(args)
        return ask(*args)

    monkeypatch.setattr(question_service, "ask", counted)
    remote = WorkerModel(configured_model())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert np.allclose(remote.embed(TEXTS)[0].dense, model.embed(TEXTS)[0].dense, atol=1e-5)
    assert len(asked) == 1
    [said] = caplog.messages
    assert "No embedding worker answers questions with" in said and "embeds questions itself for 30 s" in said
    remote._left_alone_until = 0.0
    remote.embed(TEXTS)
    assert len(asked) == 2


def test_a_worker_with_another_model_is_not_asked(model: Embedder, caplog: pytest.LogCaptureFixture) -> None:
    question_service.serve(configured_model().__class__("/models/other", "cls", 8))
    WorkerModel(configured_model()).embed(TEXTS)
    assert "No embedding worker" in caplog.text


def test_a_worker_that_fails_says_why(
    worker: Callable[[], int], model: Embedder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = model.embed_tokens

    def failing(ids: Any, *, urgent: bool = False) -> Any:
        if urgent:
            raise RuntimeError("the card is gone")
        return own(ids)

    monkeypatch.setattr(model, "embed_tokens", failing)
    assert len(WorkerModel(configured_model()).embed(TEXTS)) == 3
    assert "the card is gone" in caplog.text and worker() == 1


def test_a_worker_that_takes_too_long_is_not_waited_for(
    model: Embedder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, clean_redis: Any
) -> None:
    question_service.serve(configured_model())  # and takes nothing
    monkeypatch.setattr(question_service, "WAIT_SECONDS", 0.2)
    assert len(WorkerModel(configured_model()).embed(TEXTS)) == 3
    assert "did not answer within 0.2 s" in caplog.text
    assert 0 < clean_redis.ttl(question_service.key("questions")) <= question_service.ALIVE_SECONDS


def test_a_question_that_nobody_waits_for_any_more_is_not_embedded(clean_redis: Any) -> None:
    import msgspec

    request = Request("id", 0.0, [])
    clean_redis.rpush(question_service.key("questions"), msgspec.msgpack.encode(request))
    assert question_service.next_request() is None


def test_a_text_is_cut_to_what_the_model_reads(worker: Callable[[], int], model: Embedder) -> None:
    ids = np.full(model.max_tokens + 50, model.tokenise(["word"])[0][1], np.uint32)
    [(places, [found])] = list(WorkerModel(configured_model()).embed_tokens([ids]))
    assert places == [0] and worker() == 1
    assert abs(float(np.linalg.norm(found.dense)) - 1) < 0.01


def test_a_question_is_embedded_between_the_batches_of_another_caller(model: Embedder) -> None:
    many = model.tokenise([f"text {n} " + "of many words " * 40 for n in range(100)])
    running = model.embed_tokens(many)
    next(running)  # the others are not started yet, and their caller has the turn
    [(places, _)] = model.embed_tokens(model.tokenise(["a question"]), urgent=True)
    assert places == [0]
    waiting = threading.Thread(target=lambda: model.embed(["a chunk"]))
    waiting.start()
    waiting.join(2)
    assert waiting.is_alive(), "it waits until the last of the others has been started"
    rest = sum(len(positions) for positions, _ in running)
    waiting.join()
    assert 0 < rest < 100


@pytest.mark.django_db
def test_a_worker_without_chunks_loads_its_model_for_questions(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, milvus_server: str
) -> None:
    started: list[object] = []
    fake = FakeEmbedder()
    monkeypatch.setattr(embedding, "load_model", lambda device: fake)
    monkeypatch.setattr(answer_questions, "start", started.append)
    Collection.objects.create(
        name="c", model=settings.MODEL_PATH, pooling=settings.EMBED_POOLING, dimension=settings.EMBED_DIMENSION,
        active=True,
    )  # fmt: skip
    assert not dispatcher.tick().embed
    settings.QUERY_EMBEDDER = "worker"
    assert dispatcher.tick().embed
    embedding.embed_waiting()
    assert started == [fake]
    question_service.serve(configured_model())
    assert not dispatcher.tick().embed


def test_one_thread_answers_and_only_where_it_is_to(
    settings: Settings, model: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    ended = threading.Event()
    monkeypatch.setattr(answer_questions, "answer_forever", lambda embedder: ended.wait(60))
    monkeypatch.setattr(answer_questions, "_thread", None)
    settings.QUERY_EMBEDDER = "web"
    answer_questions.start(model)
    assert answer_questions._thread is None
    settings.QUERY_EMBEDDER = "worker"
    for _ in range(2):
        answer_questions.start(model)
        threads += [thread for thread in threading.enumerate() if thread.name == "questions"]
    ended.set()
    assert len(threads) == 2 and threads[0] is threads[1] and threads[0].daemon
    threads[0].join()


def test_the_tokenizer_of_a_model_that_is_not_there_is_named(tmp_path: Path, settings: Settings) -> None:
    settings.QUERY_EMBEDDER = "worker"
    row = Collection(name="c", model=str(tmp_path), pooling="cls", dimension=8)
    with pytest.raises(ModelError, match="tokenizer"):
        question_model.load(row)
