"""Traces at a real collector: of a document through the workers, and of a question; and none where none are wanted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import pytest
from django.conf import settings

from tests.conftest import wait_until
from tests.support.otlp_collector import Collector, Received, collector
from tests.support.running import Running, destroy, ingest, start
from tests.support.scripted_model import ScriptedModel, scripted_model

pytestmark = pytest.mark.e2e

QUESTION = "How are zebrafish migrations squeezed?"
PAGE = "# Zebrafish\n\nZebrafish migrations are squeezed with the command `squeezemigrations`.\n"
# A word each of page, question, answer, and the keys of the model's server and of the collector.
NEVER_SENT = [b"squeeze", b"ebrafish", b"quotient", b"sesame-llm", b"sesame-otlp", b"password"]


class Traced(NamedTuple):
    stack: Running
    collector: Collector
    model: ScriptedModel
    folder: Path


@pytest.fixture(scope="module")
def traced(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traced")
    (folder / "pages").mkdir()
    (folder / "pages" / "zebrafish.md").write_text(PAGE)
    with collector() as seen, scripted_model() as model:
        model.say("The quotient ", "is squeezed [1].")
        running = start(
            folder / "data",
            OTEL_EXPORTER_OTLP_ENDPOINT=seen.url,
            OTEL_EXPORTER_OTLP_HEADERS="api-key=sesame-otlp",
            OTEL_SERVICE_NAME="docs",
            LLM_BASE_URL=model.url,
            LLM_MODEL="scripted",
            LLM_API_KEY="sesame-llm",
            EMBEDDINGS_FLUSH_SECONDS="5",
        )
        try:
            running.until(running.ready)
            assert ingest(running, folder / "pages")["code"] == 0
            yield Traced(running, seen, model, folder)
        finally:
            destroy(running)


def ask(stack: Running) -> str:
    """The answer to the question, by a client that would have its own trace recorded."""
    request = Request(
        f"http://127.0.0.1:{stack.environment['WEB_PORT']}/api/v1/ask",
        json.dumps({"q": QUESTION}).encode(),
        {"Content-Type": "application/json", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"},
    )
    with urlopen(request, timeout=120) as response:  # noqa: S310  the stack's own address
        answer: str = response.read().decode()
    return answer


def first(seen: Collector, name: str) -> Received:
    """Processes send their spans every five seconds."""
    wait_until(lambda: seen.find(name))
    return seen.find(name)[0]


def test_a_document_is_one_trace_from_its_listing_to_milvus(traced: Traced) -> None:
    names = [
        *("ingestion.tasks.list_source", "ingestion.tasks.process", "ingestion.tasks.embed", "ingestion.tasks.drain"),
        *("extract", "chunk", "embeddings stand-in"),
    ]
    upsert = written_whole(traced, set(names))
    spans = traced.collector.trace(upsert.trace)
    parents = {name: spans[parent].id for name, parent in zip(names[1:4], names, strict=False)}
    assert {name: spans[name].parent for name in parents} == parents
    process, embedding = spans["ingestion.tasks.process"], spans["embeddings stand-in"]
    document = process.attributes["ragproject.document.id"]
    assert embedding.attributes["ragproject.document.ids"] == upsert.attributes["ragproject.document.ids"] == [document]
    assert embedding.attributes["gen_ai.operation.name"] == "embeddings"
    assert embedding.attributes["gen_ai.usage.input_tokens"] > 0
    assert (embedding.parent, upsert.parent) == (spans["ingestion.tasks.embed"].id, spans["ingestion.tasks.drain"].id)
    assert {span.service for span in spans.values()} == {"docs"}


def written_whole(traced: Traced, names: set[str]) -> Received:
    """The writing of a document that no job of Beat's took over under way, which would have a trace of its own."""
    seen = traced.collector
    name = "upsert " + upserted(seen)

    def whole() -> list[Received]:
        return [span for span in seen.find(name) if names <= seen.trace(span.trace).keys()]

    for number in range(20):
        with suppress(AssertionError):
            wait_until(whole, seconds=20)
            return whole()[0]
        (traced.folder / "pages" / f"other{number}.md").write_text(f"# Another\n\nPage {number}.\n")
        assert ingest(traced.stack, traced.folder / "pages")["code"] == 0
    raise AssertionError("no document had a whole trace")


def upserted(seen: Collector) -> str:
    """The collection's name."""
    wait_until(lambda: any(span.name.startswith("upsert ") for span in seen.spans()))
    return next(span.name.removeprefix("upsert ") for span in seen.spans() if span.name.startswith("upsert "))


def test_a_question_is_one_trace_from_the_request_to_the_language_model(traced: Traced) -> None:
    assert "quotient" in ask(traced.stack)
    chat = first(traced.collector, "chat scripted")
    wait_until(lambda: "POST /api/v1/ask" in traced.collector.trace(chat.trace))
    spans = traced.collector.trace(chat.trace)
    request = spans["POST /api/v1/ask"]
    retrieval, embedding = spans[f"retrieval {upserted(traced.collector)}"], spans["embeddings stand-in"]
    assert {chat.parent, retrieval.parent, embedding.parent} == {request.id}
    assert request.attributes["http.response.status_code"] == 200
    assert request.parent == "" and request.trace != "ab" * 16
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.usage.output_tokens"] > 0
    assert chat.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert retrieval.attributes["gen_ai.operation.name"] == "retrieval"
    assert not [span.name for span in spans.values() if span.failed]


def test_beats_jobs_leave_no_traces_when_they_find_nothing_to_do(traced: Traced) -> None:
    alone = {span.name for span in traced.collector.spans() if not span.parent}
    assert alone
    assert not alone & {"ingestion.tasks.dispatch", "ingestion.tasks.fill", "ingestion.tasks.notify"}


def test_no_text_of_pages_questions_or_answers_and_no_secret_is_sent(traced: Traced) -> None:
    ask(traced.stack)
    first(traced.collector, "chat scripted")
    sent = b"".join(traced.collector.bodies)
    assert [word for word in NEVER_SENT if word in sent] == []


def test_without_a_collector_nothing_that_records_is_loaded() -> None:
    """Of the SDK, redis-py loads the part that measures, where it is installed."""
    code = (
        "import sys, django; django.setup()\n"
        "import ragproject.asgi, ragproject.celery, ingestion.tasks\n"
        "recorders = ('opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
        "loaded = [name for name in sys.modules if name.startswith(recorders)]\n"
        "sys.exit(str(loaded) if loaded else 0)\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
