"""The drain against real Redis and Milvus Lite: whatever dies whenever, the index ends up right."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.utils import timezone
from pymilvus import MilvusException

from ingestion import tasks
from ingestion.buffer import codec, dead_letters, embedding_queue
from ingestion.coordination import circuit_breaker, locks, redis_client
from ingestion.coordination.celery_queues import queue_length
from ingestion.coordination.locks import Lease
from ingestion.exceptions import PermanentError
from ingestion.models import Chunk, Collection, Document, Run
from ingestion.pipeline.index import drain as indexing
from ingestion.pipeline.index.drain import drain
from ingestion.pipeline.report.alerts import alerts
from ingestion.pipeline.report.status import Unavailable, status
from ingestion.pipeline.state.collections import written_store
from ingestion.types import EmbeddedChunk
from ingestion.vector_store.rows import row_of
from ingestion.vector_store.store import VectorStore
from tests.support.databases import fresh_url
from tests.support.rows import make_chunk, make_document, make_source, record

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("clean_redis", "clean_milvus"),
]


@pytest.fixture
def document() -> Document:
    return make_document(make_source(), state=Document.State.INDEXING, chunk_count=3)


def buffered(document: Document, positions: range) -> list[Chunk]:
    chunks = [make_chunk(document, p, state=Chunk.State.BUFFERED, buffered_at=timezone.now()) for p in positions]
    embedding_queue.push([record(c) for c in chunks])
    return chunks


def test_it_writes_records_and_marks_rows(document: Document) -> None:
    buffered(document, range(3))
    assert drain().rows == 3
    document.refresh_from_db()
    assert document.state == Document.State.INDEXED
    assert written_store().count() == 3
    assert embedding_queue.length() == 0
    assert Run.objects.get().state == Run.State.FINISHED


def test_receiving_a_record_three_times_changes_nothing(document: Document) -> None:
    chunks = buffered(document, range(3))
    embedding_queue.push([record(c) for c in chunks] * 2)
    drain()
    assert written_store().count() == 3


def test_a_chunk_that_left_in_the_meantime_does_not_come_back(document: Document) -> None:
    chunks = buffered(document, range(3))
    Chunk.objects.filter(id=chunks[0].pk).remove()
    Chunk.objects.filter(id=chunks[1].pk).delete()
    drain()
    assert written_store().existing([c.key for c in chunks]) == {chunks[2].key}
    assert Chunk.objects.get().key == chunks[2].key


def test_a_record_from_before_a_backup_was_restored_is_not_taken_for_another_row(document: Document) -> None:
    first, second = (make_chunk(document, p, state=Chunk.State.BUFFERED, buffered_at=timezone.now()) for p in range(2))
    embedding_queue.push([replace(record(second), chunk_id=first.pk)])
    assert drain().rows == 0
    assert written_store().count() == 0
    assert set(Chunk.objects.values_list("state", flat=True)) == {Chunk.State.WAITING}


def test_the_time_of_a_write_is_divided_among_the_runs_by_their_rows(document: Document) -> None:
    buffered(document, range(3))
    buffered(make_document(make_source("other"), state=Document.State.INDEXING), range(1))
    assert drain().rows == 4
    three, one = Run.objects.order_by("id").values_list("index_seconds", flat=True)
    assert three == pytest.approx(3 * one)
    assert one > 0


def test_old_chunks_leave_only_after_the_new_ones_are_found(document: Document) -> None:
    old = buffered(document, range(1))[0]
    drain()
    Chunk.objects.filter(id=old.pk).remove()
    new = make_chunk(document, 1)
    drain()
    assert written_store().existing([old.key]) == {old.key}
    Chunk.objects.filter(id=new.pk).update(state=Chunk.State.BUFFERED, buffered_at=timezone.now())
    embedding_queue.push([record(new)])
    drain()
    assert written_store().existing([old.key, new.key]) == {new.key}


def test_records_lost_with_redis_are_embedded_again(document: Document, clean_redis: redis.Redis) -> None:
    buffered(document, range(3))
    clean_redis.flushall()
    drain()
    document.refresh_from_db()
    assert set(Chunk.objects.values_list("state", flat=True)) == {Chunk.State.WAITING}
    assert document.state == Document.State.EMBEDDING


def test_garbage_in_the_list_is_buried_and_blocks_nobody(document: Document, clean_redis: redis.Redis) -> None:
    clean_redis.rpush(settings.EMBEDDINGS_KEY, b"\x93garbage", b"")
    buffered(document, range(3))
    assert drain().rows == 3
    assert dead_letters.count() == 2
    assert embedding_queue.length() == 0


def test_a_row_that_milvus_refuses_fails_alone(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = buffered(document, range(8))
    upsert = VectorStore._upsert

    def strict(self: VectorStore, rows: list[dict[str, object]]) -> int:
        if any(r["key"] == chunks[5].key for r in rows):
            raise MilvusException(message="field text exceeds its length")
        return upsert(self, rows)

    monkeypatch.setattr(VectorStore, "_upsert", strict)
    assert drain().rows == 7
    document.refresh_from_db()
    assert document.state == Document.State.FAILED
    assert "exceeds its length" in document.error
    assert written_store().count() == 7


def test_milvus_down_keeps_everything_and_says_why_and_since_when(document: Document, settings: Any) -> None:
    buffered(document, range(3))
    settings.MILVUS_URI = "http://127.0.0.1:1"
    assert drain().rows == 0
    note = Run.objects.get().note
    assert "Milvus does not answer" in note
    assert "Since 20" in note
    assert embedding_queue.length() == 3
    assert status().index == Unavailable(note)


def test_a_milvus_that_is_down_is_left_alone_until_the_pause_is_over(
    document: Document, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = buffered(document, range(3))
    circuit_breaker.note("Milvus does not answer")
    monkeypatch.setattr(indexing, "written_store", lambda: pytest.fail("Milvus was asked"))
    assert drain() == (0, False)
    assert "next try at" in Run.objects.get().note
    monkeypatch.undo()
    later(monkeypatch, circuit_breaker.FIRST_PAUSE_SECONDS)
    assert drain() == (0, False)
    assert "first finishes what it was sent before" in Run.objects.get().note
    later(monkeypatch, circuit_breaker.FIRST_PAUSE_SECONDS + circuit_breaker.SETTLE_SECONDS)
    assert drain().rows == 3
    assert circuit_breaker.current() is None
    assert Run.objects.get().note == ""
    assert written_store().existing([c.key for c in chunks]) == {c.key for c in chunks}


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr("ingestion.coordination.circuit_breaker.time", lambda: time.time() + seconds)


def test_a_write_that_milvus_carries_out_after_its_time_was_up_does_not_outlive_its_row(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks, upsert = buffered(document, range(3)), VectorStore._upsert
    late: list[Callable[[], int]] = []

    def overdue(self: VectorStore, rows: list[dict[str, object]]) -> int:
        late.append(lambda: upsert(self, rows))
        raise MilvusException(message="Deadline Exceeded")

    monkeypatch.setattr(VectorStore, "_upsert", overdue)
    drain()
    monkeypatch.setattr(VectorStore, "_upsert", upsert)
    document.chunks.all().remove()
    later(monkeypatch, circuit_breaker.FIRST_PAUSE_SECONDS)
    drain()
    late.pop()()
    later(monkeypatch, circuit_breaker.FIRST_PAUSE_SECONDS + circuit_breaker.SETTLE_SECONDS)
    drain()
    assert not Chunk.objects.exists()
    assert not written_store().existing([chunk.key for chunk in chunks])


def test_what_a_drain_that_died_had_sent_does_not_outlive_its_row_either(document: Document) -> None:
    chunks = buffered(document, range(3))
    claim = embedding_queue.claim(10)
    assert claim
    drain_died = [codec.unpack(record) for record in claim[1]]
    document.chunks.all().remove()
    drain()
    written_store().upsert(drain_died)
    drain()
    assert not Chunk.objects.exists()
    assert not written_store().existing([chunk.key for chunk in chunks])
    assert embedding_queue.unconfirmed(10) == []


def test_milvus_failing_in_the_middle_leaves_what_was_done_done_and_the_rest_waiting(
    document: Document, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMBEDDINGS_BATCH_ROWS = 2
    buffered(document, range(10))
    refuse_from(monkeypatch, 3, "rate limit exceeded[rate=0.1]")
    drain()
    assert Chunk.objects.filter(state=Chunk.State.INDEXED).count() == 4
    assert Chunk.objects.filter(state=Chunk.State.BUFFERED).count() == 6
    assert embedding_queue.length() == 6
    assert "rate limit exceeded" in Run.objects.get().note
    monkeypatch.undo()
    circuit_breaker.over()
    assert drain().rows == 6
    assert written_store().count() == 10


def refuse_from(monkeypatch: pytest.MonkeyPatch, call: int, words: str) -> list[int]:
    """Milvus answers with these words from this call of ``upsert`` on."""
    upsert, sizes = VectorStore._upsert, []

    def refusing(self: VectorStore, rows: list[dict[str, object]]) -> int:
        sizes.append(len(rows))
        if len(sizes) >= call:
            raise MilvusException(message=words)
        return upsert(self, rows)

    monkeypatch.setattr(VectorStore, "_upsert", refusing)
    return sizes


def test_a_batch_that_milvus_took_in_part_is_not_marked(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    buffered(document, range(3))
    monkeypatch.setattr(VectorStore, "_upsert", lambda self, rows: len(rows) - 1)
    drain()
    assert set(Chunk.objects.values_list("state", flat=True)) == {Chunk.State.BUFFERED}
    assert embedding_queue.length() == 3
    assert "acknowledged 2 of 3" in Run.objects.get().note


def test_a_drain_ends_before_its_period_and_the_rest_is_sent_for_at_once(document: Document, settings: Any) -> None:
    settings.EMBEDDINGS_BATCH_ROWS, settings.EMBEDDINGS_FLUSH_SECONDS = 2, 0.0
    buffered(document, range(6))
    assert drain() == (2, True)
    assert embedding_queue.length() == 4
    tasks.drain()
    assert queue_length("index") == 1
    assert embedding_queue.length() == 2
    assert drain() == (2, False)
    assert written_store().count() == 6
    settings.EMBEDDINGS_FLUSH_SECONDS = 30.0
    assert 0 < indexing.budget() < 30
    settings.EMBEDDINGS_FLUSH_SECONDS = 3600.0
    assert indexing.budget() == indexing.LONGEST_BUDGET_SECONDS


def test_deletions_take_their_turn_when_the_list_never_empties(document: Document, settings: Any) -> None:
    settings.EMBEDDINGS_BATCH_ROWS, settings.EMBEDDINGS_FLUSH_SECONDS = 1, 0.0
    other = make_document(document.source, "file:///docs/b.txt", state=Document.State.INDEXED)
    old = make_chunk(other, 0, state=Chunk.State.REMOVING)
    buffered(document, range(3))
    written_store().upsert([record(old)])
    assert drain().more
    assert written_store().existing([old.key]) == set()
    assert not Chunk.objects.filter(id=old.pk).exists()


def test_a_drain_that_lost_its_lease_writes_no_more(
    document: Document, settings: Any, monkeypatch: pytest.MonkeyPatch, clean_redis: redis.Redis
) -> None:
    settings.EMBEDDINGS_BATCH_ROWS = 2
    buffered(document, range(8))
    upsert, sizes = VectorStore._upsert, []

    def losing(self: VectorStore, rows: list[dict[str, object]]) -> int:
        sizes.append(len(rows))
        if len(sizes) == 2:
            clean_redis.set(f"{settings.EMBEDDINGS_KEY}:lock:drain", "another process")
        return upsert(self, rows)

    monkeypatch.setattr(VectorStore, "_upsert", losing)
    drain()
    assert sizes == [2, 2]
    assert clean_redis.get(f"{settings.EMBEDDINGS_KEY}:lock:drain") == b"another process"
    assert Chunk.objects.filter(state=Chunk.State.INDEXED).count() == 2
    assert embedding_queue.length() == 6
    clean_redis.delete(f"{settings.EMBEDDINGS_KEY}:lock:drain")
    assert drain().rows == 6
    assert written_store().count() == 8


def test_what_a_drain_that_is_ended_still_writes_is_looked_at_again_even_if_redis_was_emptied(
    document: Document, monkeypatch: pytest.MonkeyPatch, clean_redis: redis.Redis
) -> None:
    """Stopped with a batch on its way, told to end meanwhile, and woken after others had removed the batch's rows."""
    chunks, upsert, next_batch = buffered(document, range(3)), VectorStore._upsert, indexing.next_batch
    asked, woken = threading.Event(), threading.Event()

    def late(self: VectorStore, rows: list[dict[str, object]]) -> int:
        asked.set()
        assert woken.wait(30)
        return upsert(self, rows)

    def ended(store: VectorStore, *, besides: Sequence[str] = ()) -> indexing.Batch | None:
        if not besides:
            return next_batch(store)
        assert asked.wait(30)
        clean_redis.flushdb()
        Chunk.objects.all().delete()
        woken.set()
        raise SystemExit

    monkeypatch.setattr(VectorStore, "_upsert", late)
    monkeypatch.setattr(indexing, "next_batch", ended)
    with pytest.raises(SystemExit):
        drain()
    monkeypatch.undo()
    assert written_store().count() == 3
    drain()
    assert written_store().existing([c.key for c in chunks]) == set()


def test_what_a_drain_deletes_while_it_loses_its_turn_is_looked_at_again(
    document: Document, monkeypatch: pytest.MonkeyPatch, clean_redis: redis.Redis
) -> None:
    chunks, delete = buffered(document, range(2)), VectorStore.delete
    drain()
    chunks[0].state = Chunk.State.REMOVING
    chunks[0].save()

    def losing(self: VectorStore, keys: Iterable[str]) -> None:
        clean_redis.set(f"{settings.EMBEDDINGS_KEY}:lock:drain", "another process")
        delete(self, keys)

    monkeypatch.setattr(VectorStore, "delete", losing)
    drain()
    assert embedding_queue.unconfirmed(10) == [chunks[0].key]
    monkeypatch.undo()
    clean_redis.delete(f"{settings.EMBEDDINGS_KEY}:lock:drain")
    Chunk.objects.filter(id=chunks[0].pk).update(state=Chunk.State.INDEXED)  # the other process had written it anew
    drain()
    assert list(Chunk.objects.filter(state=Chunk.State.WAITING)) == [chunks[0]]
    assert embedding_queue.unconfirmed(10) == []


def test_a_deletion_that_milvus_refuses_does_not_keep_the_next_drain_from_writing(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffered(document, range(1))
    make_chunk(document, 7, state=Chunk.State.DELETING)

    def refuse(*_: object) -> None:
        raise PermanentError("Milvus refused")

    monkeypatch.setattr(VectorStore, "delete", refuse)
    drain()
    assert embedding_queue.unconfirmed(10) == []
    buffered(document, range(1, 2))
    assert drain().rows == 0
    assert Chunk.objects.filter(state=Chunk.State.INDEXED).count() == 2


def test_a_lease_is_renewed_while_milvus_takes_its_time(
    document: Document, monkeypatch: pytest.MonkeyPatch, clean_redis: redis.Redis
) -> None:
    monkeypatch.setattr(indexing, "RENEW_SECONDS", 0.02)
    buffered(document, range(2))
    upsert, renew = VectorStore._upsert, Lease.renew
    renewals = threading.Semaphore(0)

    def slow(self: VectorStore, rows: list[dict[str, object]]) -> int:
        while renewals.acquire(blocking=False):
            pass
        for _ in range(3):
            assert renewals.acquire(timeout=30)
        return upsert(self, rows)

    def counted(self: Lease) -> None:
        renew(self)
        renewals.release()

    monkeypatch.setattr(VectorStore, "_upsert", slow)
    monkeypatch.setattr(Lease, "renew", counted)
    assert drain().rows == 2


def test_what_a_drain_wrote_after_losing_its_turn_leaves_again_unless_a_row_wants_it(document: Document) -> None:
    chunks = buffered(document, range(3))
    drain()
    Chunk.objects.filter(id=chunks[0].pk).delete()
    embedding_queue.mark_unconfirmed([c.key for c in chunks])
    drain()
    assert written_store().existing([c.key for c in chunks]) == {chunks[1].key, chunks[2].key}
    assert embedding_queue.unconfirmed(10) == []


def test_what_two_drains_wrote_at_once_is_stored_once_in_the_end(document: Document) -> None:
    """Milvus keeps both rows of two upserts of one key that cross; two inserts leave the same."""
    chunks = buffered(document, range(3))
    drain()
    store = written_store()
    store.client.insert(store.name, [row_of(record(chunks[1]))])
    assert store.count() == 4
    embedding_queue.mark_unconfirmed([c.key for c in chunks])
    drain()
    assert Chunk.objects.filter(state=Chunk.State.WAITING).count() == 3
    Chunk.objects.update(state=Chunk.State.BUFFERED, buffered_at=timezone.now())
    embedding_queue.push([record(c) for c in chunks])
    drain()
    assert store.count() == 3
    assert set(Chunk.objects.values_list("state", flat=True)) == {Chunk.State.INDEXED}


def test_what_a_late_drain_wrote_alone_is_left_as_it_is(document: Document) -> None:
    chunks = buffered(document, range(3))
    drain()
    embedding_queue.mark_unconfirmed([c.key for c in chunks])
    drain()
    assert set(Chunk.objects.values_list("state", flat=True)) == {Chunk.State.INDEXED}


def test_vectors_made_for_another_collection_are_not_written_and_made_anew(document: Document) -> None:
    chunks = buffered(document, range(2))
    Chunk.objects.filter(id=chunks[1].pk).update(state=Chunk.State.BUFFERED)
    redis_client.connect().delete(settings.EMBEDDINGS_KEY)
    mine = replace(record(chunks[0]), collection=written_store().name)
    embedding_queue.push([mine, replace(record(chunks[1]), collection="documents_of_another_model")])
    assert drain().rows == 1
    assert written_store().existing([c.key for c in chunks]) == {chunks[0].key}
    assert Chunk.objects.get(id=chunks[1].pk).state == Chunk.State.WAITING
    assert dead_letters.count() == 0


def test_vectors_of_another_length_than_the_collections_are_buried_and_made_anew(document: Document) -> None:
    written_store().drop()
    Collection.objects.update(dimension=1024)
    chunk = buffered(document, range(1))[0]
    drain()
    assert dead_letters.buried()[0].reason == "384 dimensions, where the collection has 1024"
    assert any("1 records could not be stored (384 dimensions, where the collection has 1024)" in t for t in alerts())
    chunk.refresh_from_db()
    assert chunk.state == Chunk.State.WAITING


def test_a_redis_without_memory_pauses_the_drain_and_loses_nothing(
    document: Document, clean_redis: redis.Redis
) -> None:
    buffered(document, range(3))
    clean_redis.config_set("maxmemory", 1)
    try:
        assert drain().rows == 0
        assert "maxmemory" in Run.objects.get().note
    finally:
        clean_redis.config_set("maxmemory", 0)
    assert drain().rows == 3
    assert written_store().count() == 3


def test_redis_wiped_in_the_middle_of_a_drain_ends_with_every_row_once(
    document: Document, settings: Any, monkeypatch: pytest.MonkeyPatch, clean_redis: redis.Redis
) -> None:
    settings.EMBEDDINGS_BATCH_ROWS = 2
    chunks = buffered(document, range(8))
    upsert, sizes = VectorStore._upsert, []

    def wiping(self: VectorStore, rows: list[dict[str, object]]) -> int:
        sizes.append(len(rows))
        if len(sizes) == 2:
            clean_redis.flushall()
        return upsert(self, rows)

    monkeypatch.setattr(VectorStore, "_upsert", wiping)
    drain()
    drain()
    lost = list(Chunk.objects.filter(state=Chunk.State.WAITING))
    assert len(lost) == 6
    Chunk.objects.filter(state=Chunk.State.WAITING).update(state=Chunk.State.BUFFERED, buffered_at=timezone.now())
    embedding_queue.push([record(c) for c in lost])
    drain()
    assert Chunk.objects.filter(state=Chunk.State.INDEXED).count() == 8
    assert written_store().count() == len(chunks)


def test_a_second_drain_leaves_the_first_alone(document: Document) -> None:
    buffered(document, range(3))
    with locks.named("drain", seconds=30):
        assert drain().rows == 0
    assert drain().rows == 3


def test_rows_buffered_after_the_drain_began_are_not_taken_for_lost(document: Document) -> None:
    make_chunk(document, 0, state=Chunk.State.BUFFERED, buffered_at=timezone.now() + timedelta(seconds=30))
    drain()
    assert Chunk.objects.get().state == Chunk.State.BUFFERED


def test_records_buffered_before_the_clock_was_set_back_and_lost_are_embedded_again(document: Document) -> None:
    make_chunk(document, 0, state=Chunk.State.BUFFERED, buffered_at=timezone.now() + timedelta(hours=2))
    drain()
    assert Chunk.objects.get().state == Chunk.State.WAITING


def test_a_record_with_another_sentence_than_the_row_has_is_embedded_again(document: Document) -> None:
    chunks = buffered(document, range(3))
    Chunk.objects.filter(id=chunks[0].pk).update(context="It was described meanwhile.")
    assert drain().rows == 2
    assert written_store().existing([c.key for c in chunks]) == {c.key for c in chunks[1:]}
    assert [row.state for row in Chunk.objects.order_by("position")] == ["waiting", "indexed", "indexed"]


@pytest.mark.parametrize("state", [Chunk.State.BUFFERED, Chunk.State.EMBEDDING])
def test_a_row_whose_sentence_changes_while_milvus_takes_it_is_not_called_indexed(
    document: Document, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """``state``: left as it was, or claimed again by an embedder before Milvus acknowledged."""
    chunks, send = buffered(document, range(2)), indexing.send

    def changing(*args: Any) -> indexing.Sent:
        changed = Chunk.objects.filter(id=chunks[0].pk)
        changed.update(context="It was described meanwhile.", state=state, owner="an embedder")
        return send(*args)

    monkeypatch.setattr(indexing, "send", changing)
    drain()
    after = Chunk.State.WAITING if state == Chunk.State.BUFFERED else state
    assert [row.state for row in Chunk.objects.order_by("position")] == [after, "indexed"]


def test_threads_take_turns_as_before_when_a_drain_is_over(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    before, during = sys.getswitchinterval(), []
    monkeypatch.setattr(VectorStore, "upsert", lambda *_: during.append(sys.getswitchinterval()))
    buffered(document, range(1))
    drain()
    assert during == [pytest.approx(indexing.SWITCH_INTERVAL_SECONDS)]
    assert sys.getswitchinterval() == before


POINTS = ("write", "settle", "charge_runs", "embedding_queue.confirm", "remove_vanished")


@pytest.mark.e2e
def test_a_drain_killed_or_stopped_at_any_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.killed_drains", "10", *POINTS],
        env={
            **os.environ,
            "DATABASE_URL": fresh_url(tmp_path / "kill.sqlite3"),
            "DJANGO_SETTINGS_MODULE": "ragproject.settings",
            "EMBEDDINGS_BATCH_ROWS": "20",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [[int(n) for n in line.split()] for line in done.stdout.splitlines()]
    assert rows == [[n, n, n, 0, 0] for n in (50, 100, 150, 200, 250, 299)]


def test_chunks_are_written_once_each_within_a_batch(document: Document) -> None:
    """Milvus keeps both rows when one batch holds a key twice (milvus issue 44320)."""
    chunk = make_chunk(document, 0)
    sent: list[int] = []
    store = written_store()

    class Counting(VectorStore):
        def _upsert(self, rows: list[dict[str, object]]) -> int:
            sent.append(len(rows))
            return len(rows)

    one: EmbeddedChunk = record(chunk)
    assert Counting(store.name, store.dimension).upsert([one, one, one]) == 1
    assert sent == [1]
