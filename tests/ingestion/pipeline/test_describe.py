"""Chunks get a sentence of context by a language model: a real server on loopback that answers as a test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from ingestion.buffer import codec, embedding_queue
from ingestion.checks import check_context_model
from ingestion.context import sentence as sentences
from ingestion.context.sentence import around
from ingestion.coordination.locks import Lease, hold
from ingestion.models import Chunk, ContextSentence, Document, Run
from ingestion.pipeline import dispatcher
from ingestion.pipeline.describe import describe_waiting as describing
from ingestion.pipeline.describe.changes import Changes, apply, changes
from ingestion.pipeline.describe.describe_waiting import describe_waiting, pause_reason
from ingestion.pipeline.embed import embed_waiting as embedding
from ingestion.pipeline.index.drain import readable
from ingestion.pipeline.process.sync_chunks import reconcile
from ingestion.pipeline.report.alerts import alerts
from ingestion.pipeline.state.collections import written_store
from ingestion.pipeline.state.fingerprints import context_model, embedding_digest
from ingestion.types import TextChunk
from ingestion.words.terms import hash_of
from tests.support.fake_embedder import FakeEmbedder
from tests.support.rows import make_chunk, make_document, make_source
from tests.support.search_services import served

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
SENTENCE = "How zebras are cached, from the guide."


@dataclass
class WritingServer:
    """An OpenAI-compatible server; ``reply`` makes the status and the text of an answer to a prompt."""

    reply: Callable[[str], tuple[int, str]] = lambda prompt: (200, SENTENCE)
    prompts: list[str] = field(default_factory=list)
    models: set[str] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@pytest.fixture
def server(settings: Settings) -> Iterator[WritingServer]:
    state = WritingServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = asked["messages"][-1]["content"]
            with state.lock:
                state.prompts.append(prompt)
                state.models.add(asked["model"])
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
            status, text = state.reply(prompt)
            with state.lock:
                state.at_once -= 1
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            known = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            body = json.dumps(known if status == 200 else {"error": {"message": text}}).encode()
            with suppress(OSError):  # whoever asked waits no more
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

    with served(Handler) as address:
        settings.LLM_BASE_URL, settings.LLM_API_KEY, settings.CONTEXT_MODEL = address, "key-of-the-server", "writer"
        sentences.client.cache_clear()
        yield state
    sentences.client.cache_clear()


@pytest.fixture
def document() -> Document:
    texts = [f"Part {n} tells of stripes and of zebras number {n}." for n in range(6)]
    markdown = "\n\n".join(texts)
    document = make_document(make_source(), title="Guide", markdown=markdown, state=Document.State.EMBEDDING)
    for position, text in enumerate(texts):
        start = markdown.index(text)
        make_chunk(
            document, position, text=text, heading="Guide › Zebras", start=start, end=start + len(text), tokens=12,
            digest=embedding_digest("Guide › Zebras", text), context_wanted=True,
        )  # fmt: skip
    return document


def rows() -> list[Chunk]:
    return list(Chunk.objects.order_by("id"))


def test_new_chunks_want_a_sentence_only_where_a_model_is_configured(settings: Settings) -> None:
    document = make_document(make_source())
    for model in ("", "writer"):
        settings.CONTEXT_MODEL = model
        reconcile(document, [TextChunk(f"text {model}", 0, 4, "", "", 3)])
        assert Chunk.objects.latest("id").context_wanted is bool(model)


def test_a_chunk_waits_for_its_sentence_and_is_embedded_and_weighed_with_it(
    document: Document, server: WritingServer, milvus_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FakeEmbedder()
    monkeypatch.setattr(embedding, "load_model", lambda device: model)
    embedding.embed_waiting()
    assert model.read() == [] and not embedding_queue.length()
    assert dispatcher.tick().describe
    assert describe_waiting() is False
    assert server.models == {"writer"}
    assert all(row.context == SENTENCE and row.context_model and not row.context_wanted for row in rows())
    embedding.embed_waiting()
    assert model.read()[0] == f"Guide › Zebras\n\n{SENTENCE}\n\n{rows()[0].text}"
    claimed = embedding_queue.claim(10)
    assert claimed and len(claimed[1]) == 6
    for record in readable(claimed[1], written_store()):
        assert record.text in document.markdown and SENTENCE not in record.text
        assert hash_of("cach") in record.words.terms.tolist()


def test_the_model_reads_the_chunk_and_what_stands_around_it(document: Document, server: WritingServer) -> None:
    describe_waiting()
    first = min(server.prompts, key=lambda prompt: prompt.index("number 0") if "<passage>\nPart 0" in prompt else 10**9)
    assert "Title: Guide" in first and "Section: Guide › Zebras" in first
    assert "number 5" in first


def test_as_many_sentences_are_asked_for_at_once_as_the_setting_says(
    document: Document, server: WritingServer, settings: Settings
) -> None:
    settings.CONTEXT_REQUESTS = 2
    together = threading.Barrier(2)

    def reply(prompt: str) -> tuple[int, str]:
        together.wait(60)  # nobody meets anybody where one is asked for after the other
        time.sleep(0.2)  # time for a third one, if it were let in
        return 200, SENTENCE

    server.reply = reply
    describe_waiting()
    assert server.most_at_once == 2
    assert {row.context for row in rows()} == {SENTENCE}


def test_what_is_around_a_chunk_is_bounded() -> None:
    text = "".join(f"{n:05d} " for n in range(10_000))
    for start in (0, 10_000, len(text) - 100):
        near = around(text, start, start + 100)
        assert text[start : start + 100] in near and near.startswith("00000")
        assert len(near) <= sentences.HEAD_CHARS + sentences.BEFORE_CHARS + sentences.AFTER_CHARS + 110


def test_no_sentence_is_asked_for_twice(document: Document, server: WritingServer) -> None:
    describe_waiting()
    asked = len(server.prompts)
    assert asked == 6 == ContextSentence.objects.count()
    Chunk.objects.update(context="", context_wanted=True)
    describe_waiting()
    assert len(server.prompts) == asked
    assert {row.context for row in rows()} == {SENTENCE}


def test_who_gives_the_model_up_embeds_chunks_that_it_was_too_slow_for(
    document: Document, server: WritingServer, settings: Any
) -> None:
    Chunk.objects.update(attempts=99)
    settings.CONTEXT_MODEL = ""
    describe_waiting()
    assert {(row.attempts, row.context_wanted) for row in rows()} == {(0, False)}


def test_equal_chunks_share_one_request(server: WritingServer) -> None:
    document = make_document(make_source(), title="Guide", markdown="same")
    for position in range(3):
        make_chunk(document, position, text="same", context_wanted=True)
    describe_waiting()
    assert len(server.prompts) == 1 and {row.context for row in rows()} == {SENTENCE}


@pytest.mark.parametrize(
    ("status", "text", "why"),
    [(400, "too long", "too long"), (422, "no", "no"), (200, "", "nothing"), (200, "<think>hm", "nothing")],
)
def test_a_chunk_whose_sentence_fails_goes_on_without_and_staff_are_told(
    document: Document, server: WritingServer, status: int, text: str, why: str
) -> None:
    server.reply = lambda prompt: (status, text) if "<passage>\nPart 2" in prompt else (200, SENTENCE)
    assert describe_waiting() is False
    bad = rows()[2]
    assert why in bad.context_error and (bad.context, bad.context_wanted, bad.state) == ("", False, "waiting")
    assert [row.context for row in rows() if row.pk != bad.pk] == [SENTENCE] * 5
    [told] = [alert for alert in alerts() if "context" in alert]
    assert told.startswith("1 chunks are searched without") and why in told
    server.reply = lambda prompt: (200, SENTENCE)
    call_command("context", "--retry", "--apply")
    describe_waiting()
    assert rows()[2].context == SENTENCE and not rows()[2].context_error
    assert len(server.prompts) == 7


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_a_server_that_writes_for_nobody_is_waited_for(document: Document, server: WritingServer, status: int) -> None:
    Run.objects.update(state=Run.State.RUNNING)
    server.reply = lambda prompt: (status, "key-of-the-server is not welcome")
    assert describe_waiting() is False
    assert all(row.context_wanted and not row.context_error and not row.attempts for row in rows())
    reason = pause_reason()
    assert "CONTEXT_MODEL (writer)" in reason and "key-of-the-server" not in reason
    assert Run.objects.get().note == reason
    assert any(reason in alert for alert in alerts())
    asked = len(server.prompts)
    assert not dispatcher.tick().describe and describe_waiting() is False
    assert len(server.prompts) == asked


def test_it_goes_on_where_it_was_when_the_server_is_back(
    document: Document, server: WritingServer, clean_redis: redis.Redis
) -> None:
    server.reply = lambda prompt: (200, SENTENCE) if "<passage>\nPart 0" in prompt else (503, "loading")
    describe_waiting()
    assert sum(not row.context_wanted for row in rows()) == 1
    clean_redis.delete(describing.redis_key())
    server.reply = lambda prompt: (200, SENTENCE)
    describe_waiting()
    assert {row.context for row in rows()} == {SENTENCE}
    assert sum("<passage>\nPart 0" in prompt for prompt in server.prompts) == 1


def test_a_server_that_is_not_there_is_waited_for(
    document: Document, server: WritingServer, settings: Settings
) -> None:
    settings.LLM_BASE_URL = "http://127.0.0.1:9/v1"
    assert describe_waiting() is False
    assert "127.0.0.1:9" in pause_reason() and all(row.context_wanted for row in rows())


def test_one_passage_that_takes_too_long_goes_on_without(
    document: Document, server: WritingServer, settings: Settings
) -> None:
    settings.LLM_TIMEOUT_SECONDS = 8.0
    free = threading.Event()

    def reply(prompt: str) -> tuple[int, str]:
        if "<passage>\nPart 3" in prompt:
            free.wait(60)
        return 200, SENTENCE

    server.reply = reply
    describe_waiting()
    free.set()
    assert "timed out" in rows()[3].context_error.lower() and not pause_reason()
    assert sum(row.context == SENTENCE for row in rows()) == 5


def test_a_passage_that_alone_takes_too_long_is_given_up_at_last(
    document: Document, server: WritingServer, settings: Settings, clean_redis: redis.Redis
) -> None:
    settings.LLM_TIMEOUT_SECONDS = 0.5
    Chunk.objects.exclude(position=0).delete()
    free = threading.Event()
    server.reply = lambda prompt: (200 if free.wait(60) else 500, SENTENCE)
    describe_waiting()
    assert rows()[0].context_wanted and rows()[0].attempts == 1 and "timed out" in pause_reason()
    Chunk.objects.update(attempts=describing.SLOW_ATTEMPTS)
    clean_redis.delete(describing.redis_key())
    describe_waiting()
    free.set()
    assert not rows()[0].context_wanted and "timed out" in rows()[0].context_error and rows()[0].attempts == 0


def test_two_workers_do_not_ask_at_the_same_time(document: Document, server: WritingServer) -> None:
    with hold("describe", seconds=60):
        assert describe_waiting() is False
    assert server.prompts == []


def test_it_does_not_run_far_ahead_of_the_embedder(
    document: Document, server: WritingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describing, "AHEAD", 1)
    make_chunk(document, 99)
    assert describe_waiting() is False and server.prompts == []


def test_sentences_are_kept_for_texts_that_come_back_until_they_are_old(document: Document) -> None:
    make_chunk(document, 7, context="used")
    for key, text, age in (("a", "used", 100), ("b", "unused", 100), ("c", "unused", 80)):
        ContextSentence.objects.create(key=key, text=text)
        ContextSentence.objects.filter(key=key).update(seen_at=timezone.now() - timedelta(days=age))
    ContextSentence.objects.forget_unused()
    assert set(ContextSentence.objects.values_list("key", flat=True)) == {"a", "c"}
    Chunk.objects.all().delete()
    ContextSentence.objects.forget_unused()
    assert set(ContextSentence.objects.values_list("key", flat=True)) == {"a", "c"}  # it was in use a moment ago


def test_a_setting_that_is_taken_back_lets_waiting_chunks_go(document: Document, settings: Settings) -> None:
    settings.CONTEXT_MODEL = ""
    describe_waiting()
    assert not any(row.context_wanted for row in rows())


def test_what_the_setting_changes_is_counted_and_only_that_is_embedded_again(
    document: Document, server: WritingServer, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.CONTEXT_MODEL = ""
    Chunk.objects.update(context_wanted=False, state=Chunk.State.INDEXED)
    assert changes() == Changes(6, 0, 0, 0, 0)
    settings.CONTEXT_MODEL = "writer"
    found = changes()
    assert (found.asked, found.embedded, found.embedded_tokens) == (6, 6, 72)
    assert found.asked_tokens == 72 + 6 * sentences.TOKENS_AROUND
    call_command("context")
    assert not Chunk.objects.filter(context_wanted=True).exists()
    apply()
    assert Chunk.objects.filter(state=Chunk.State.INDEXED, context_wanted=True).count() == 6
    describe_waiting()
    assert Chunk.objects.filter(state=Chunk.State.WAITING).count() == 6
    Chunk.objects.update(state=Chunk.State.INDEXED)
    assert changes() == Changes(6, 0, 0, 0, 0)
    plain = make_chunk(document, 50, state=Chunk.State.INDEXED, tokens=5, context_model=context_model())
    settings.CONTEXT_MODEL = ""
    assert changes() == Changes(7, 0, 0, 6, 72)
    capsys.readouterr()
    call_command("context", "--apply")
    assert "Chunks to embed again: 6 of 7, 72 tokens." in capsys.readouterr().out
    plain.refresh_from_db()
    assert plain.state == Chunk.State.INDEXED
    assert {(row.state, row.context, row.digest == embedding_digest(row.heading, row.text)) for row in rows()[:6]} == {
        ("waiting", "", True)
    }
    settings.CONTEXT_MODEL = "writer"
    assert changes().asked == 1  # the others are kept
    call_command("context", "--json")
    assert json.loads(capsys.readouterr().out)["embedded"] == 7


def test_chunks_under_way_when_the_sentences_are_taken_away_are_embedded_again(
    document: Document, settings: Settings
) -> None:
    settings.CONTEXT_MODEL = ""
    Chunk.objects.update(context=SENTENCE, context_wanted=False, owner="an embedder", attempts=1)
    for row, state in zip(rows(), Chunk.State.values, strict=False):
        Chunk.objects.filter(id=row.pk).update(state=state)
    apply()
    assert [row.state for row in rows()] == [Chunk.State.WAITING] * 5 + [Chunk.State.REMOVING]
    assert {(row.context, row.owner) for row in rows()[:5]} == {("", ""), ("", "an embedder")}
    assert [row.owner for row in rows()[1:5]] == [""] * 4


def test_records_of_the_version_before_are_read(document: Document) -> None:
    import msgspec

    from tests.support.rows import record

    packed = msgspec.msgpack.decode(codec.pack(record(rows()[0])))
    assert codec.unpack(msgspec.msgpack.encode(packed[:-1])).context == ""


def test_a_model_without_a_server_is_named_before_anything_starts(settings: Settings) -> None:
    settings.CONTEXT_MODEL, settings.LLM_BASE_URL = "writer", ""
    [found] = check_context_model()
    assert "LLM_BASE_URL" in found.msg
    settings.CONTEXT_MODEL = ""
    assert check_context_model() == []


def test_a_sentence_is_stored_without_what_no_database_takes(server: WritingServer, document: Document) -> None:
    server.reply = lambda prompt: (200, "How zebras\x00are\ud83d cached,\x1b from the guide.")
    describe_waiting()
    assert {row.context for row in rows()} == {"How zebras are cached, from the guide."}


def test_a_group_of_slow_sentences_is_nobody_elses(
    server: WritingServer, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewals: list[int] = []
    renew = Lease.renew

    def count(lease: Lease) -> None:
        renewals.append(len(server.prompts))
        renew(lease)

    monkeypatch.setattr(Lease, "renew", count)
    describe_waiting()
    assert len(renewals) >= len(server.prompts) == 6


def test_a_describer_that_was_stopped_for_too_long_leaves_the_rest_to_another(
    server: WritingServer, document: Document, clean_redis: redis.Redis
) -> None:
    def lose_the_lock(prompt: str) -> tuple[int, str]:
        clean_redis.flushall()
        return 200, SENTENCE

    server.reply = lose_the_lock
    assert describe_waiting() is False
    assert {row.context_wanted for row in rows()} == {True}
