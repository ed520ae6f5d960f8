"""The drain against real Redis and Milvus Lite: whatever dies whenever, the index ends up right."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from ingestion import buffer
from ingestion.models import Chunk, Collection, Document, Run
from ingestion.pipeline import indexing
from ingestion.pipeline.indexing import active_store, drain
from ingestion.types import EmbeddedChunk
from ingestion.vector_store import VectorStore
from tests.rows import make_chunk, make_document, make_source, record

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("clean_redis", "clean_milvus"),
]


@pytest.fixture
def document() -> Document:
    return make_document(make_source(), state=Document.State.INDEXING, chunk_count=3)


def buffered(document: Document, positions: range) -> list[Chunk]:
    chunks = [make_chunk(document, p, state=Chunk.State.BUFFERED, buffered_at=timezone.now()) for p in positions]
    buffer.push([record(c) for c in chunks])
    return chunks


def test_it_writes_records_and_marks_rows(document: Document) -> None:
    buffered(document, range(3))
    assert drain() == 3
    document.refresh_from_db()
    assert document.state == Document.State.INDEXED
    assert active_store().count() == 3
    assert buffer.length() == 0
    assert Run.objects.get().state == Run.State.FINISHED


def test_receiving_a_record_three_times_changes_nothing(document: Document) -> None:
    chunks = buffered(document, range(3))
    buffer.push([record(c) for c in chunks] * 2)
    drain()
    assert active_store().count() == 3


def test_a_chunk_that_left_in_the_meantime_does_not_come_back(document: Document) -> None:
    chunks = buffered(document, range(3))
    Chunk.objects.filter(id=chunks[0].pk).remove()
    Chunk.objects.filter(id=chunks[1].pk).delete()
    drain()
    assert active_store().existing([c.key for c in chunks]) == {chunks[2].key}
    assert Chunk.objects.get().key == chunks[2].key


def test_old_chunks_leave_only_after_the_new_ones_are_found(document: Document) -> None:
    old = buffered(document, range(1))[0]
    drain()
    Chunk.objects.filter(id=old.pk).remove()
    new = make_chunk(document, 1)
    drain()
    assert active_store().existing([old.key]) == {old.key}
    Chunk.objects.filter(id=new.pk).update(state=Chunk.State.BUFFERED, buffered_at=timezone.now())
    buffer.push([record(new)])
    drain()
    assert active_store().existing([old.key, new.key]) == {new.key}


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
    assert drain() == 3
    assert buffer.dead_length() == 2
    assert buffer.length() == 0


def test_a_row_that_milvus_refuses_fails_alone(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = buffered(document, range(8))
    upsert = VectorStore._upsert

    def strict(self: VectorStore, rows: list[dict[str, object]]) -> int:
        if any(r["key"] == chunks[5].key for r in rows):
            from pymilvus import MilvusException

            raise MilvusException(message="field text exceeds its length")
        return upsert(self, rows)

    monkeypatch.setattr(VectorStore, "_upsert", strict)
    assert drain() == 7
    document.refresh_from_db()
    assert document.state == Document.State.FAILED
    assert "exceeds its length" in document.error
    assert active_store().count() == 7


def test_milvus_down_keeps_everything_and_says_why(document: Document, settings) -> None:  # type: ignore[no-untyped-def]
    buffered(document, range(3))
    settings.MILVUS_URI = "http://127.0.0.1:1"
    assert drain() == 0
    assert "Milvus does not answer" in Run.objects.get().note
    assert buffer.length() == 3


def test_a_second_drain_leaves_the_first_alone(document: Document) -> None:
    buffered(document, range(3))
    with buffer.lock("drain", seconds=30):
        assert drain() == 0
    assert drain() == 3


def test_another_model_than_the_index_was_built_with_is_refused(document: Document) -> None:
    Collection.objects.create(name="old", model="BAAI/bge-m3", dimension=1024, active=True)
    buffered(document, range(3))
    assert drain() == 0
    assert "was built with BAAI/bge-m3" in Run.objects.get().note
    assert buffer.length() == 3


def test_rows_buffered_after_the_drain_began_are_not_taken_for_lost(document: Document) -> None:
    make_chunk(document, 0, state=Chunk.State.BUFFERED, buffered_at=timezone.now() + timedelta(seconds=5))
    drain()
    assert Chunk.objects.get().state == Chunk.State.BUFFERED


POINTS = ("indexing.write", "indexing.charge_runs", "indexing.remove_vanished")


@pytest.mark.e2e
def test_a_drain_killed_at_any_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    points = ["ingestion.buffer.confirm", *(f"ingestion.pipeline.{p}" for p in POINTS)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.killed_drains", "20", *points],
        env={
            **os.environ,
            "DATABASE_URL": f"sqlite:///{tmp_path}/kill.sqlite3",
            "DJANGO_SETTINGS_MODULE": "ragproject.settings",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [[int(n) for n in line.split()] for line in done.stdout.splitlines()]
    assert rows == [[n, n, n, 0, 0] for n in (50, 100, 150, 200)]


def test_chunks_are_written_once_each_within_a_batch(document: Document) -> None:
    """Milvus keeps both rows when one batch holds a key twice (milvus issue 44320)."""
    chunk = make_chunk(document, 0)
    sent: list[int] = []
    store = active_store()

    class Counting(VectorStore):
        def _upsert(self, rows: list[dict[str, object]]) -> int:
            sent.append(len(rows))
            return len(rows)

    one: EmbeddedChunk = record(chunk)
    assert Counting(store.name, store.dimension).upsert([one, one, one]) == 1
    assert sent == [1]
    assert indexing.write(store, []) == []
