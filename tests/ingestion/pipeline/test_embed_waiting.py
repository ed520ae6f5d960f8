"""Waiting chunks -> records, with a real list, the real model where its words matter, and failures on purpose."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.utils import timezone

from ingestion.buffer import codec, embedding_queue
from ingestion.coordination import device, heartbeat
from ingestion.embedding.loading import load_model
from ingestion.exceptions import (
    BufferUnavailable,
    DeviceFailed,
    VectorStoreUnavailable,
)
from ingestion.models import Chunk, Document, Run
from ingestion.pipeline.embed import claims, device_health, push_vectors, time_slice
from ingestion.pipeline.embed import embed_waiting as embedding
from ingestion.pipeline.embed.embed_waiting import embed_waiting
from ingestion.pipeline.embed.push_vectors import Embedded
from ingestion.pipeline.embed.throughput import ThroughputMeter
from ingestion.pipeline.embed.time_slice import TimeSlice
from ingestion.pipeline.embed.worker_threads import EmbeddingThreads, Window
from ingestion.pipeline.state.collections import adopt, written_store
from ingestion.pipeline.state.fingerprints import embedding_digest
from ingestion.types import EmbeddedChunk
from ingestion.vector_store.store import VectorStore
from tests.support.databases import fresh_url
from tests.support.fake_embedder import FakeEmbedder
from tests.support.rows import make_chunk, make_document, make_source, record

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("clean_redis"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


@pytest.fixture(autouse=True)
def rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_slice, "METER", ThroughputMeter())
    monkeypatch.setattr(embedding, "_fault", embedding.Fault())


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeEmbedder:
    fake = FakeEmbedder()
    monkeypatch.setattr(embedding, "load_model", lambda device: fake)
    return fake


@pytest.fixture
def documents() -> list[Document]:
    return make_documents("docs", pages=3, chunks=4)


def make_documents(name: str, *, pages: int, chunks: int) -> list[Document]:
    source = make_source(name)
    rows = [
        make_document(source, f"file:///{name}/{n}", state=Document.State.EMBEDDING, chunk_count=chunks)
        for n in range(pages)
    ]
    for document in rows:
        for position in range(chunks):
            make_chunk(document, position, text=f"text {position} of {document.pk}")
    return rows


def pushed() -> list[EmbeddedChunk]:
    return [codec.unpack(r) for r in (embedding_queue.claim(10_000) or ("", []))[1]]


def states() -> set[str]:
    return set(Chunk.objects.values_list("state", flat=True))


def attempts() -> set[int]:
    return set(Chunk.objects.values_list("attempts", flat=True))


def windows_of(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = claims.claim_fresh
    monkeypatch.setattr(claims, "claim_fresh", lambda room: fresh(min(room, most)))


# --- What goes well -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("model_path")
def test_it_embeds_chunks_of_many_documents_in_one_task(documents: list[Document]) -> None:
    assert not embed_waiting()
    assert embedding_queue.length() == 12
    assert states() == {Chunk.State.BUFFERED}
    assert set(Document.objects.values_list("state", flat=True)) == {Document.State.INDEXING}
    assert Run.objects.get().embed_seconds > 0
    assert Run.objects.get().embed_tokens == 60


@pytest.mark.usefixtures("model_path")
def test_the_record_holds_the_vector_of_heading_and_text(documents: list[Document]) -> None:
    Chunk.objects.exclude(position=0, document=documents[0]).delete()
    Chunk.objects.update(heading="Title › Section")
    embed_waiting()
    found = pushed()[0]
    expected = load_model(django_settings.EMBED_DEVICE).embed([f"Title › Section\n\n{found.text}"])[0]
    assert float(found.vectors.dense @ expected.dense) > 0.999
    assert found.collection == adopt().name


def test_the_next_window_is_claimed_and_tokenised_while_one_computes(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows_of(4, monkeypatch)
    tokenised_while_computing = []
    waited = threading.Event()
    tokenise = model.tokenise

    def noting(texts: list[str]) -> list[str]:
        tokenised_while_computing.append(model.computing.is_set())
        if len(tokenised_while_computing) == 2:
            waited.set()
        return tokenise(texts)

    monkeypatch.setattr(model, "tokenise", noting)
    model.before_batch = lambda texts: waited.wait(20)
    embed_waiting()
    assert waited.is_set()
    assert True in tokenised_while_computing[1:]
    assert embedding_queue.length() == 12


def test_whoever_drains_hears_of_every_delivery_and_not_of_its_absence(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_slice, "PUSH_EVERY_SECONDS", 0.0)
    model.batch = 4
    seen: list[int] = []
    embed_waiting(delivered=lambda: seen.append(embedding_queue.length()))
    assert seen[0] < seen[-1] == 12
    embed_waiting(delivered=lambda: pytest.fail("nothing was delivered"))


def test_finished_batches_are_delivered_while_the_next_one_computes(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_slice, "PUSH_EVERY_SECONDS", 0.0)
    model.batch = 4
    arrived: list[int] = []

    def until_the_first_arrived(texts: list[str]) -> None:
        if len(model.batches) == 2:
            deadline = time.monotonic() + 300
            while not (length := embedding_queue.length()) and time.monotonic() < deadline:
                time.sleep(0.01)
            arrived.append(length)

    model.before_batch = until_the_first_arrived
    embed_waiting()
    assert arrived == [4]
    assert embedding_queue.length() == 12


def test_an_embedder_that_is_faster_than_its_feed_waits_a_moment_for_more_and_stays_in_its_task(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look finds one chunk, as if one had come meanwhile."""
    fresh, claim_ahead = claims.claim_fresh, TimeSlice.claim_ahead
    claimed: list[int] = []
    looks: list[float] = []  # by the worker's own clock: a busy machine may take its time between clock and claim

    def claim(room: int) -> list[Chunk]:
        claimed.append(room)
        return fresh(1)

    def look(work: TimeSlice) -> bool:
        before = len(claimed)
        found = claim_ahead(work)
        looks.extend([work.looked_at] if len(claimed) > before else [])
        return found

    monkeypatch.setattr(claims, "claim_fresh", claim)
    monkeypatch.setattr(TimeSlice, "claim_ahead", look)
    monkeypatch.setattr(embedding, "TIME_SLICE_SECONDS", 1000.0)
    monkeypatch.setattr(time_slice, "PUSH_EVERY_SECONDS", 0.3)
    delivered, deliver = [], push_vectors.deliver

    def note(finished: Sequence[Embedded], **how: Any) -> None:
        delivered.append(len(finished))
        deliver(finished, **how)

    monkeypatch.setattr(push_vectors, "deliver", note)
    embed_waiting()
    assert states() == {Chunk.State.BUFFERED}
    # One for each of twelve chunks and one that finds none; on a busy machine more that find none.
    assert len(looks) >= 13
    assert all(after - before >= time_slice.LINGER_SECONDS for before, after in pairwise(looks))
    assert len(delivered) > 2


def test_no_thread_is_left_over(documents: list[Document], model: FakeEmbedder) -> None:
    before = set(threading.enumerate())
    embed_waiting()
    model.before_batch = raising(RuntimeError("broken"))
    Chunk.objects.update(state=Chunk.State.WAITING)
    with pytest.raises(RuntimeError):
        embed_waiting()
    # Timers write what was measured, and end by themselves.
    assert [t for t in threading.enumerate() if t not in before and not isinstance(t, threading.Timer)] == []


def test_a_time_slice_ends_with_nothing_in_its_hands_and_says_that_more_waits(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows_of(4, monkeypatch)
    monkeypatch.setattr(embedding, "TIME_SLICE_SECONDS", 0.3)
    monkeypatch.setattr(time_slice, "LEAST_TOKENS", 0)
    monkeypatch.setattr(time_slice, "AHEAD_SECONDS", 0)
    model.before_batch = lambda texts: time.sleep(0.4)
    assert embed_waiting()
    assert not claims.mine().exists()
    assert 0 < embedding_queue.length() < 12
    assert attempts() == {0}
    while embed_waiting():
        pass
    assert embedding_queue.length() == 12


def test_a_small_source_does_not_wait_for_a_large_one(model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    make_documents("large", pages=10, chunks=20)
    small = make_documents("small", pages=2, chunks=5)
    monkeypatch.setattr(time_slice, "LEAST_TOKENS", 20)
    monkeypatch.setattr(time_slice, "TYPICAL_CHUNK_TOKENS", 1)
    monkeypatch.setattr(model, "batch", 1000)
    monkeypatch.setattr(time_slice, "WINDOW_SECONDS", 0.0)
    embed_waiting()
    order = [r.document_id for r in pushed()]
    last_of_small = max(n for n, document in enumerate(order) if document in {d.pk for d in small})
    assert last_of_small < 60
    assert len(order) == 210


def test_claims_of_a_dead_process_in_this_place_are_taken_over_at_once(
    documents: list[Document], model: FakeEmbedder
) -> None:
    later = timezone.now() + timedelta(hours=1)
    Chunk.objects.update(state=Chunk.State.EMBEDDING, owner=f"{device.device_id()}/1", lease_until=later)
    embed_waiting()
    assert embedding_queue.length() == 12


def test_claims_of_another_machine_are_left_alone(documents: list[Document], model: FakeEmbedder) -> None:
    later = timezone.now() + timedelta(hours=1)
    Chunk.objects.update(state=Chunk.State.EMBEDDING, owner="elsewhere/cuda:0/1", lease_until=later)
    assert not embed_waiting()
    assert embedding_queue.length() == 0


def test_a_long_batch_keeps_the_lease_of_everything_in_hand(
    documents: list[Document],
    model: FakeEmbedder,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.LEASE_SECONDS = 1
    renewed, renew = threading.Event(), claims.renew

    def noting() -> int:
        rows = renew()
        assert rows == 12
        renewed.set()
        return rows

    monkeypatch.setattr(claims, "renew", noting)
    model.before_batch = lambda texts: renewed.wait(20)
    embed_waiting()
    assert renewed.is_set()


def test_nothing_waiting_does_not_load_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "load_model", lambda device: pytest.fail("loaded"))
    assert not embed_waiting()


# --- Texts that have a vector already -----------------------------------------------------------------------


def same_text(chunks: list[Chunk], text: str) -> None:
    digest = embedding_digest("", text)
    Chunk.objects.filter(id__in=[c.pk for c in chunks]).update(text=text, heading="", digest=digest)


def test_equal_texts_are_embedded_once(documents: list[Document], model: FakeEmbedder) -> None:
    same_text(list(Chunk.objects.filter(position=0)), "Said on every page.")
    embed_waiting()
    assert model.read().count("Said on every page.") == 1
    alike = [r.vectors.dense for r in pushed() if r.text == "Said on every page."]
    assert len(alike) == 3
    assert all((vector == alike[0]).all() for vector in alike)
    run = Run.objects.get()
    assert (run.copied_chunks, run.copied_tokens, run.embed_tokens) == (2, 10, 50)


def test_a_text_that_the_index_holds_takes_its_vector_from_there(
    documents: list[Document], clean_milvus: object, model: FakeEmbedder
) -> None:
    first, *others = Chunk.objects.filter(position=0)
    same_text([first, *others], "Said on every page.")
    written_store().upsert([record(first)])
    Chunk.objects.filter(id=first.pk).update(state=Chunk.State.INDEXED)
    Chunk.objects.exclude(position=0).delete()
    embed_waiting()
    assert model.read() == []
    records = pushed()
    assert {r.key for r in records} == {c.key for c in others}
    for found in records:
        assert found.vectors.dense == pytest.approx(record(first).vectors.dense)
        assert found.vectors.indices.tolist() == record(first).vectors.indices.tolist()
    run = Run.objects.get()
    assert (run.copied_chunks, run.copied_tokens, run.embed_tokens) == (2, 10, 0)


def test_without_milvus_a_known_text_is_embedded_again(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = Chunk.objects.filter(position=0)
    same_text([first, *others], "Said on every page.")
    Chunk.objects.filter(id=first.pk).update(state=Chunk.State.INDEXED)
    adopt()

    def unavailable(self: object, keys: object) -> object:
        raise VectorStoreUnavailable("Milvus does not answer")

    monkeypatch.setattr(VectorStore, "vectors", unavailable)
    embed_waiting()
    assert embedding_queue.length() == 11


# --- What is in the way -------------------------------------------------------------------------------------


def test_it_pauses_at_the_cap_goes_on_at_half_of_it_and_says_so(
    documents: list[Document],
    model: FakeEmbedder,
    settings: Any,
    clean_redis: redis.Redis,
) -> None:
    settings.EMBEDDINGS_MAX_BYTES = 40_000
    clean_redis.rpush(settings.EMBEDDINGS_KEY, *[b"x" * 1000] * 50)
    assert not embed_waiting()
    assert embedding_queue.length() == 50
    assert "buffer is full" in Run.objects.get().note
    assert heartbeat.workers()[0].state == "paused"
    clean_redis.ltrim(settings.EMBEDDINGS_KEY, 0, 29)
    assert not embed_waiting()
    assert embedding_queue.length() == 30
    clean_redis.ltrim(settings.EMBEDDINGS_KEY, 0, 9)
    embed_waiting()
    assert embedding_queue.length() == 22
    assert Run.objects.get().note == ""


def test_when_redis_fails_at_a_push_everything_goes_back_and_the_reason_is_shown(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(records: object) -> None:
        raise BufferUnavailable("Redis does not answer")

    with monkeypatch.context() as broken:
        broken.setattr(embedding_queue, "push", unavailable)
        assert not embed_waiting()
    assert states() == {Chunk.State.WAITING}
    assert attempts() == {0}
    assert "Redis does not answer" in Run.objects.get().note
    embed_waiting()
    assert states() == {Chunk.State.BUFFERED}
    assert Run.objects.get().note == ""


def test_a_worker_with_another_model_than_the_index_is_filled_with_does_nothing(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_slice, "embedder_is_current", lambda row: False)
    assert not embed_waiting()
    assert embedding_queue.length() == 0
    assert "another model" in Run.objects.get().note


def test_without_a_model_all_chunks_wait_and_when_it_is_there_they_are_embedded(
    documents: list[Document], settings: Any, monkeypatch: pytest.MonkeyPatch, model_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bge-m3"
    settings.MODEL_PATH = str(folder)
    monkeypatch.setattr(embedding, "FAULT_PAUSE_SECONDS", 0.0)
    load_model.cache_clear()
    assert not embed_waiting()
    assert not embed_waiting()
    assert set(Chunk.objects.values_list("state", "attempts")) == {(Chunk.State.WAITING, 0)}
    assert set(Document.objects.values_list("state", flat=True)) == {Document.State.EMBEDDING}
    [worker] = heartbeat.workers()
    assert (worker.state, str(folder) in str(worker.reason)) == ("unhealthy", True)
    assert str(folder) in Run.objects.get().note
    shutil.copytree(model_path, folder)
    embed_waiting()
    load_model.cache_clear()
    assert set(Chunk.objects.values_list("state", flat=True)) == {Chunk.State.BUFFERED}
    assert (heartbeat.workers()[0].reason, Run.objects.get().note) == ("", "")


def test_a_model_that_cannot_be_loaded_is_left_alone_for_a_moment(
    documents: list[Document], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MODEL_PATH = "/nowhere/bge-m3"
    load_model.cache_clear()
    embed_waiting()
    monkeypatch.setattr(embedding, "load_model", lambda device: pytest.fail("read again at once"))
    assert not embed_waiting()


@pytest.mark.parametrize("at", ["loading", "computing"])
def test_a_disk_that_is_full_counts_no_attempt(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def write(*_: object) -> FakeEmbedder:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"weights")
        return model

    if at == "loading":
        monkeypatch.setattr(embedding, "load_model", write)
    else:
        model.before_batch = write
    assert not embed_waiting()
    assert set(Chunk.objects.values_list("state", "attempts")) == {(Chunk.State.WAITING, 0)}
    assert "Make room" in Run.objects.get().note


def test_sigterm_lets_the_batch_finish_and_hands_the_rest_back_without_an_attempt(
    documents: list[Document], model: FakeEmbedder
) -> None:
    model.batch = 4
    previous = signal.getsignal(signal.SIGTERM)

    def stopped_in_the_first(texts: list[str]) -> None:
        if len(model.batches) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            assert time_slice.stop_asked.wait(20)
            time.sleep(0.6)  # longer than the main thread takes to notice it

    model.before_batch = stopped_in_the_first
    embed_waiting()
    assert len(model.batches) == 1
    assert embedding_queue.length() == 4
    assert Chunk.objects.filter(state=Chunk.State.WAITING, attempts=0, owner="").count() == 8
    assert signal.getsignal(signal.SIGTERM) == previous
    embed_waiting()
    assert embedding_queue.length() == 12


def test_to_stop_while_texts_wait_for_the_tokeniser_is_no_error(model: FakeEmbedder) -> None:
    begun, free = threading.Event(), threading.Event()

    def slowly(texts: Sequence[str]) -> list[str]:
        begun.set()
        assert free.wait(20)
        return list(texts)

    model.tokenise = slowly  # type: ignore[method-assign]
    threads = EmbeddingThreads(model, threading.Event())  # type: ignore[arg-type]
    for number in range(3):
        threads.start(Window([Chunk(key=str(number), digest=str(number), text="a", tokens=1)]))
    assert begun.wait(20)
    threading.Timer(0.3, free.set).start()
    assert {finished.error for finished in threads.stop()} == {None}


# --- Chunks and devices that fail ---------------------------------------------------------------------------


def raising(error: Exception, marker: str = "") -> Callable[[list[str]], None]:
    def before_batch(texts: list[str]) -> None:
        if any(marker in text for text in texts):
            raise error

    return before_batch


def poison() -> Chunk:
    chunk = Chunk.objects.all()[5]
    Chunk.objects.filter(id=chunk.pk).update(text="zebra")
    return chunk


def until_settled(*errors: type[BaseException]) -> Iterator[BaseException]:
    """Tasks until nothing is left; yields what ended each that failed."""
    for _ in range(20):
        try:
            while embed_waiting():
                pass
        except errors as error:
            yield error
        claims.fail_exhausted()
        if not claims.work_left():
            return
    pytest.fail("it does not come to an end")


def test_a_chunk_that_breaks_the_model_fails_alone(documents: list[Document], model: FakeEmbedder) -> None:
    chunk = poison()
    model.before_batch = raising(RuntimeError("cannot read zebras"), "zebra")
    failures = list(until_settled(RuntimeError))
    assert len(failures) == claims.ALONE_ATTEMPTS
    chunk.refresh_from_db()
    assert chunk.state == Chunk.State.FAILED
    assert "cannot read zebras" in chunk.error
    assert embedding_queue.length() == 11


def test_a_chunk_that_the_tokeniser_refuses_fails_alone(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = poison()
    tokenise = model.tokenise

    def fragile(texts: list[str]) -> list[str]:
        if "zebra" in texts:
            raise TypeError("not a text")
        return tokenise(texts)

    monkeypatch.setattr(model, "tokenise", fragile)
    assert list(until_settled(TypeError))
    chunk.refresh_from_db()
    assert (chunk.state, chunk.error) == (Chunk.State.FAILED, "TypeError: not a text")
    assert embedding_queue.length() == 11


def test_what_a_broken_window_had_finished_is_delivered_and_all_else_in_hand_is_suspect(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows_of(6, monkeypatch)
    model.batch = 3
    claimed = threading.Event()
    fresh = claims.claim_fresh

    def noting(room: int) -> list[Chunk]:
        chunks = fresh(room)
        if not claims.waiting().exists():
            claimed.set()
        return chunks

    def fails_from_the_second_on(texts: list[str]) -> None:
        if len(model.batches) >= 2:
            claimed.wait(20)
            raise RuntimeError("no more")

    monkeypatch.setattr(claims, "claim_fresh", noting)
    model.before_batch = fails_from_the_second_on
    with pytest.raises(RuntimeError):
        embed_waiting()
    assert len(model.batches) <= 3  # the window that overlaps may have begun
    assert embedding_queue.length() == 3
    assert Chunk.objects.filter(state=Chunk.State.WAITING, attempts=1, error="RuntimeError: no more").count() == 9


def test_a_chunk_too_large_for_the_device_fails_on_its_own_row_at_once(
    documents: list[Document], model: FakeEmbedder
) -> None:
    chunk = poison()
    model.batch = 4
    model.too_large = "zebra"
    assert not embed_waiting()
    chunk.refresh_from_db()
    assert chunk.state == Chunk.State.FAILED
    assert "memory" in chunk.error
    assert embedding_queue.length() == 11
    assert Chunk.objects.exclude(id=chunk.pk).filter(attempts__gt=0).count() == 0


def test_suspects_have_their_time_after_the_fresh_ones_however_long_those_take(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "SUSPECT_SECONDS", 0.5)
    Chunk.objects.filter(position=0).update(attempts=1)
    model.before_batch = lambda texts: time.sleep(1)
    embed_waiting()
    assert embedding_queue.length() == 12


def test_suspects_go_alone_and_the_innocent_ones_first() -> None:
    make_documents("docs", pages=10, chunks=20)
    ids = list(Chunk.objects.order_by("id").values_list("id", flat=True))
    Chunk.objects.filter(id__in=ids[:100]).update(attempts=1)
    Chunk.objects.filter(id__in=ids[100:120]).update(attempts=2)
    Chunk.objects.filter(id__in=ids[120:123]).update(attempts=3)
    sizes = []
    while group := claims.claim_suspects():
        sizes.append((len(group), {chunk.attempts for chunk in group}))
        Chunk.objects.filter(id__in=[chunk.pk for chunk in group]).update(state=Chunk.State.BUFFERED)
    assert sizes == [(64, {2}), (36, {2}), (8, {3}), (8, {3}), (4, {3}), (1, {4}), (1, {4}), (1, {4})]
    assert len(claims.claim_fresh(1000)) == 77


def test_a_failure_of_the_device_is_kept_on_the_rows_and_raised(documents: list[Document], model: FakeEmbedder) -> None:
    model.before_batch = raising(DeviceFailed("CUDA error: device-side assert triggered."))
    with pytest.raises(DeviceFailed):
        embed_waiting()
    assert states() == {Chunk.State.WAITING}
    assert all("device-side assert" in error for error in Chunk.objects.values_list("error", flat=True))
    reasons = [reason for _, reason in heartbeat.failures(device.device_id())]
    assert reasons == ["CUDA error: device-side assert triggered."]


def test_a_device_that_fails_three_times_in_ten_minutes_is_left_alone_for_a_while(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        heartbeat.note_failure(device.device_id(), "CUDA error: an illegal memory access.")
    monkeypatch.setattr(embedding, "load_model", lambda device: pytest.fail("it tried at once"))
    assert not embed_waiting()
    assert "failed 3 times" in Run.objects.get().note
    assert "illegal memory access" in Run.objects.get().note
    assert heartbeat.workers()[0].state == "unhealthy"
    monkeypatch.setattr(device_health, "FIRST_REST_SECONDS", 0.0)
    monkeypatch.setattr(embedding, "load_model", lambda device: model)
    embed_waiting()
    assert embedding_queue.length() == 12
    assert Run.objects.get().note == ""


def test_failures_of_long_ago_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        heartbeat.note_failure(device.device_id(), "CUDA error")
    monkeypatch.setattr(heartbeat, "FAILURE_SECONDS", 0)
    assert not device_health.is_resting()


# --- What is told of it -------------------------------------------------------------------------------------


def test_the_worker_says_how_it_does(
    documents: list[Document], model: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_slice, "REPORT_SECONDS", 0.0)
    said: list[dict[str, object]] = []
    say = heartbeat.report_state

    def noting(place: str, **facts: object) -> None:
        said.append(facts)
        say(place, **facts)

    monkeypatch.setattr(heartbeat, "report_state", noting)
    model.before_batch = lambda texts: time.sleep(0.3)
    embed_waiting()
    assert [facts["state"] for facts in said][:: len(said) - 1] == ["loading", "idle"]
    assert "embedding" in {facts["state"] for facts in said}
    (worker,) = heartbeat.workers()
    assert (worker.device, worker.padding, worker.peak_bytes) == ("fake", 0.5, 7)
    assert worker.pid == os.getpid()
    assert worker.model == django_settings.EMBED_MODEL
    assert (worker.tokens_per_second or 0) > 0
    assert 0 < (worker.busy or 0) <= 1


def test_rates_of_a_worker_that_has_been_silent_are_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat.report_state("here/cpu", state="idle", at=time.time() - 61, tokens_per_second=900.0, busy=1.0)
    assert [w.tokens_per_second for w in heartbeat.workers()] == [0.0]


def test_a_worker_that_died_is_not_listed(clean_redis: redis.Redis) -> None:
    heartbeat.report_state("here/cpu", state="idle", at=time.time())
    clean_redis.delete("embedder:at:here/cpu")
    assert heartbeat.workers() == []
    assert not clean_redis.smembers("embedder:places")


def test_the_meter_counts_waiting_between_slices_only_while_work_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    meter = ThroughputMeter()

    def work(seconds: float, *, more: bool) -> None:
        meter.start()
        now[0] += seconds
        meter.add(chunks=1, tokens=100, computing=seconds)
        meter.stop(more=more)

    work(5.0, more=True)
    now[0] += 5.0
    work(10.0, more=False)
    now[0] += 20.0
    work(5.0, more=False)
    assert meter.figures() == {"tokens_per_second": 12.0, "busy": 0.8}
    assert meter.rate() == 15.0


# --- Several workers on one database ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_workers_that_claim_at_the_same_time_share_the_chunks_without_doubles(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.contending_claims", "4", "600"],
        env={
            **os.environ,
            "DATABASE_URL": fresh_url(tmp_path / "claims.sqlite3"),
            "DJANGO_SETTINGS_MODULE": "ragproject.settings",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    claimed, distinct, indexed, failed = map(int, done.stdout.split())
    assert (claimed - distinct, indexed, failed) == (0, 600, 0), done.stderr
