"""The reranker: a small cross-encoder with seeded weights, and servers that answer well, badly or never."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from math import nan
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from ingestion.types import embedding_text
from search.access.caller import OPERATOR
from search.checks import check_reranker
from search.questions import Question
from search.retrieval import cross_encoder, question_model, rerank_endpoint, reranker, retriever, token_vectors
from search.retrieval.confirmed_hits import StoredChunk
from search.retrieval.reranker import Breaker, Candidates, reranked
from search.timings import Timings
from tests.conftest import wait_until
from tests.support.search_services import served

QUESTION = "How are migrations created?"


def candidates(*scores: float) -> Candidates:
    return [
        (score, StoredChunk(f"k{n}", "Part", "", f"text {n} " * (n + 1), n, 1, "", "", 1, "", "", "", ""))
        for n, score in enumerate(scores)
    ]


def keys(found: Candidates) -> list[str]:
    return [chunk.key for _, chunk in found]


CLOSE = candidates(0.5, 0.48, 0.46, 0.4)


@pytest.fixture(autouse=True)
def no_failures_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranker, "breaker", Breaker())


@pytest.fixture
def by_number(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """A reranker that prefers the last, and what it was asked."""
    asked: list[Sequence[str]] = []

    def scores(question: str, texts: Sequence[str], until: float) -> list[float]:
        asked.append(texts)
        return [float(n) for n in range(len(texts))]

    settings.RERANKER, settings.RERANK_MARGIN = "local", 0.3
    monkeypatch.setattr(reranker, "SCORERS", {"local": scores})
    return asked


# --- When it orders ---------------------------------------------------------------------------------


def test_without_a_reranker_the_order_stands() -> None:
    assert reranked(QUESTION, CLOSE).candidates == CLOSE


def test_the_candidates_come_in_the_rerankers_order_with_the_scores_of_their_positions(by_number: Any) -> None:
    found = reranked(QUESTION, CLOSE)
    assert keys(found.candidates) == ["k3", "k2", "k1", "k0"]
    assert [score for score, _ in found.candidates] == [0.5, 0.48, 0.46, 0.4]
    assert found.scores == {"k0": 0.0, "k1": 1.0, "k2": 2.0, "k3": 3.0} and not found.why_not
    assert by_number[0][0].startswith("Part\n\ntext 0")


def test_those_behind_the_first_stay_behind(by_number: Any, settings: Settings) -> None:
    settings.RERANK_CANDIDATES = 2
    assert keys(reranked(QUESTION, CLOSE).candidates) == ["k1", "k0", "k2", "k3"]


def test_a_first_that_is_far_ahead_stays_first(by_number: Any) -> None:
    far = candidates(0.9, 0.7, 0.5)
    found = reranked(QUESTION, far)
    assert (found.candidates, found.why_not) == (far, "the first is far ahead of the third")
    assert reranked(QUESTION, far[:1]).candidates == far[:1]
    assert by_number == []


def test_after_three_failures_it_is_left_alone_for_a_minute(
    by_number: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[int] = []

    def failing(*args: object) -> list[float]:
        tried.append(1)
        raise ValueError("out of order")

    monkeypatch.setattr(reranker, "SCORERS", {"local": failing})
    for _ in range(5):
        assert reranked(QUESTION, CLOSE).candidates == CLOSE
    assert len(tried) == 3
    assert "it failed: out of order" in caplog.text
    clock = time.monotonic() + reranker.PAUSE_SECONDS
    monkeypatch.setattr(reranker, "monotonic", lambda: clock)
    reranked(QUESTION, CLOSE)
    assert len(tried) == 4


def test_a_success_forgets_the_failures_before_it() -> None:
    breaker = Breaker()
    for failed in (True, True, False, True, True):
        breaker.note(failed=failed)
    assert not breaker.is_open()
    breaker.note(failed=True)
    assert breaker.is_open()


# --- A cross-encoder --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_cross_encoder(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("cross-encoder")
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    torch.manual_seed(1)
    shape: Any = {
        "num_labels": 1,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    config = BertConfig(vocab_size=len(tokenizer), initializer_range=0.5, **shape)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


TEXTS = ["Run makemigrations.", "A template has tags. " * 9, "Caching in Redis", "x", "嗯 " * 700, "x y z " * 20]


def test_its_scores_are_those_of_flagembedding(small_cross_encoder: Path) -> None:
    from FlagEmbedding import FlagReranker

    ours = cross_encoder.CrossEncoder(str(small_cross_encoder), "cpu")
    theirs = FlagReranker(str(small_cross_encoder), devices="cpu", use_fp16=False)
    expected = theirs.compute_score([(QUESTION, text) for text in TEXTS])
    assert ours.scores(QUESTION, TEXTS, time.monotonic() + 600) == pytest.approx(expected, abs=1e-4)
    assert len({round(score, 3) for score in expected}) > 3


def test_it_reads_a_question_longer_than_a_pair(small_cross_encoder: Path) -> None:
    ours = cross_encoder.CrossEncoder(str(small_cross_encoder), "cpu")
    assert len(ours.scores("how " * 900, TEXTS, time.monotonic() + 600)) == len(TEXTS)


def test_it_stops_between_two_batches_when_the_time_is_over(small_cross_encoder: Path) -> None:
    with pytest.raises(TimeoutError):
        cross_encoder.CrossEncoder(str(small_cross_encoder), "cpu").scores(QUESTION, TEXTS, time.monotonic() - 1)


def test_the_order_stands_while_the_model_loads_and_then_changes(small_cross_encoder: Path, settings: Settings) -> None:
    settings.RERANKER, settings.RERANK_MODEL, settings.RERANK_SECONDS = "local", str(small_cross_encoder), 60
    first = reranked(QUESTION, CLOSE)
    assert first.candidates == CLOSE and "being loaded" in first.why_not
    wait_until(lambda: not reranked(QUESTION, CLOSE).why_not)
    found = reranked(QUESTION, CLOSE)
    assert sorted(found.scores.values(), reverse=True) == [found.scores[key] for key in keys(found.candidates)]


def test_a_model_that_cannot_be_loaded_leaves_the_order(settings: Settings, tmp_path: Path) -> None:
    settings.RERANKER, settings.RERANK_MODEL = "local", str(tmp_path)
    wait_until(lambda: "failed" in reranked(QUESTION, CLOSE).why_not)
    assert reranked(QUESTION, CLOSE).candidates == CLOSE


# --- A server ---------------------------------------------------------------------------------------


class Endpoint:
    """A server that answers with ``answer(request)``, or does what ``behave`` does with the connection."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.answer: Callable[[dict[str, Any]], Any] = lambda request: []
        self.behave: Callable[[BaseHTTPRequestHandler], object] | None = None
        self.over = threading.Event()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append(request)
                endpoint.keys.append(self.headers["Authorization"])
                self.send_response(200)
                self.end_headers()
                try:
                    if endpoint.behave:
                        endpoint.behave(self)
                    else:
                        self.wfile.write(json.dumps(endpoint.answer(request)).encode())
                except OSError:
                    endpoint.over.set()

        return Handler


@pytest.fixture
def endpoint(settings: Settings) -> Iterator[Endpoint]:
    state = Endpoint()
    with served(state.handler()) as url:
        settings.RERANKER, settings.RERANK_URL, settings.RERANK_SECONDS = "tei", f"{url}/rerank", 60
        yield state
        state.over.set()
    rerank_endpoint.client().close()
    rerank_endpoint.client.cache_clear()


def test_a_server_in_the_form_of_text_embeddings_inference_orders(endpoint: Endpoint, settings: Settings) -> None:
    settings.RERANK_API_KEY = "secret"
    endpoint.answer = lambda request: [{"index": n, "score": n / 10} for n in (3, 0, 2, 1)]
    assert keys(reranked(QUESTION, CLOSE).candidates) == ["k3", "k2", "k1", "k0"]
    [request] = endpoint.requests
    assert request["query"] == QUESTION and len(request["texts"]) == 4
    assert endpoint.keys == ["Bearer secret"]


def test_a_server_in_the_form_of_cohere_orders(endpoint: Endpoint, settings: Settings) -> None:
    settings.RERANKER, settings.RERANK_MODEL = "cohere", "rerank-v3"
    endpoint.answer = lambda request: {"results": [{"index": n, "relevance_score": n / 10} for n in range(4)]}
    assert keys(reranked(QUESTION, CLOSE).candidates) == ["k3", "k2", "k1", "k0"]
    [request] = endpoint.requests
    assert (request["model"], request["top_n"], len(request["documents"])) == ("rerank-v3", 4, 4)
    assert endpoint.keys == [None]


def test_a_server_that_compresses_for_those_who_take_it_orders(endpoint: Endpoint) -> None:
    def compressing(handler: BaseHTTPRequestHandler) -> None:
        body = json.dumps([{"index": n, "score": n / 10} for n in range(4)]).encode()
        handler.wfile.write(gzip.compress(body) if "gzip" in (handler.headers["Accept-Encoding"] or "") else body)

    endpoint.behave = compressing
    assert keys(reranked(QUESTION, CLOSE).candidates) == ["k3", "k2", "k1", "k0"]


GOOD = [{"index": n, "score": 0.1} for n in range(4)]


@pytest.mark.parametrize(
    "answer",
    [
        GOOD[:3],
        [*GOOD, {"index": 4, "score": 1.0}],
        [*GOOD[:3], {"index": 0, "score": 1.0}],
        [*GOOD[:3], {"index": -1, "score": 1.0}],
        [*GOOD[:3], {"index": 3, "score": nan}],
        [*GOOD[:3], {"index": 3, "score": "high"}],
        [*GOOD[:3], {"index": 3}],
        [1, 2, 3, 4],
        {"results": None},
        {"error": "out of memory"},
        "sorry",
        None,
        7,
    ],
)
def test_an_answer_that_makes_no_sense_leaves_the_order(endpoint: Endpoint, answer: Any) -> None:
    endpoint.answer = lambda request: answer
    found = reranked(QUESTION, CLOSE)
    assert found.candidates == CLOSE and found.why_not.startswith("it failed")


def test_an_answer_without_end_is_left_at_a_size(endpoint: Endpoint) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        while True:
            handler.wfile.write(b"[" * 65_536)

    endpoint.behave = endless
    assert "longer than" in reranked(QUESTION, CLOSE).why_not
    assert endpoint.over.wait(60), "the connection was closed"


def test_a_server_that_is_too_slow_leaves_the_order(endpoint: Endpoint, settings: Settings) -> None:
    settings.RERANK_SECONDS = 0.2
    endpoint.behave = lambda handler: bool(endpoint.over.wait(60))
    found = reranked(QUESTION, CLOSE)
    assert (found.candidates, found.why_not) == (CLOSE, "it took longer than 0.2 s")


def test_a_server_that_drips_is_left_at_the_time(endpoint: Endpoint, settings: Settings) -> None:
    def dripping(handler: BaseHTTPRequestHandler) -> None:
        while not endpoint.over.wait(0.02):
            handler.wfile.write(b" ")

    settings.RERANK_SECONDS = 0.3
    endpoint.behave = dripping
    assert reranked(QUESTION, CLOSE).why_not == "it took longer than 0.3 s"


def test_a_server_that_is_not_there_leaves_the_order(settings: Settings) -> None:
    settings.RERANKER, settings.RERANK_URL = "cohere", "http://127.0.0.1:9/rerank"
    assert reranked(QUESTION, CLOSE).candidates == CLOSE
    rerank_endpoint.client().close()
    rerank_endpoint.client.cache_clear()


def test_a_server_without_an_address_is_named_before_anything_starts() -> None:
    with override_settings(RERANKER="tei", RERANK_URL="localhost"):
        [found] = check_reranker()
        assert "RERANK_URL" in found.msg
    assert check_reranker() == []


# --- In a search ------------------------------------------------------------------------------------


def test_with_the_largest_margin_the_order_never_stands_for_its_scores(by_number: Any, settings: Settings) -> None:
    far_ahead = candidates(2.5, 0.2, 0.1)
    assert "far ahead" in reranked(QUESTION, far_ahead).why_not
    settings.RERANK_MARGIN = 1.0
    assert keys(reranked(QUESTION, far_ahead).candidates) == ["k2", "k1", "k0"]


def test_a_search_shows_the_passages_in_the_rerankers_order(index: None, by_number: Any, settings: Settings) -> None:
    settings.RERANK_MARGIN = 1.0
    question, timings = Question(QUESTION, OPERATOR, limit=3), Timings()
    with CaptureQueriesContext(connection) as asked:
        found = retriever.retrieve(question, timings)
    assert sum('FROM "ingestion_chunk"' in query["sql"] for query in asked.captured_queries) == 1
    settings.RERANKER = "off"
    before = retriever.retrieve(Question(QUESTION, OPERATOR, limit=50), Timings())
    assert [p.text for p in found] == [p.text for p in before[::-1][:3]]
    assert "rerank" in timings.milliseconds()


def test_a_search_shows_the_passages_in_the_order_of_their_token_vectors(index: None, settings: Settings) -> None:
    before = retriever.retrieve(Question(QUESTION, OPERATOR, limit=50), Timings())
    settings.RERANKER, settings.RERANK_MARGIN, settings.RERANK_SECONDS = "token-vectors", 1.0, 60
    found = retriever.retrieve(Question(QUESTION, OPERATOR, limit=50), Timings())
    texts = [embedding_text(passage.heading, passage.text) for passage in found]
    near = token_vectors.scores(QUESTION, texts, time.monotonic() + 60)
    assert near == sorted(near, reverse=True) and near[0] > near[-1]
    assert sorted(p.text for p in found) == sorted(p.text for p in before)


def test_without_a_model_in_memory_the_order_stands(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.RERANKER = "token-vectors"
    monkeypatch.setattr(question_model, "_served", None)
    assert "being loaded" in reranked(QUESTION, CLOSE).why_not


def test_a_search_of_one_channel_is_not_reranked(index: None, by_number: Any) -> None:
    retriever.retrieve(Question(QUESTION, OPERATOR, mode="dense"), Timings())
    assert by_number == []
