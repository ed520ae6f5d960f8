"""Rows beside a real Milvus Lite: what differs is found, and only that is mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.utils import timezone
from pytest_django import Settings

from ingestion.coordination import circuit_breaker, locks
from ingestion.models import Chunk, Collection, Document, Source
from ingestion.pipeline.index import audit as auditing
from ingestion.pipeline.index.audit import Report, audit
from ingestion.pipeline.state.collections import written_store
from ingestion.types import EmbeddedChunk, Vectors
from ingestion.vector_store import store as vector_store
from ingestion.vector_store.rows import row_of
from ingestion.vector_store.store import VectorStore, first_bounds
from tests.support.models_apart import empty_milvus
from tests.support.rows import make_chunk, make_document, make_source, record

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis")]
NOTHING = {"missing": 0, "orphan": 0, "duplicate": 0, "stale": 0, "repaired": 0}
State = Chunk.State


@pytest.fixture(autouse=True)
def small_vectors(milvus_server: str, settings: Settings) -> Iterator[None]:
    settings.EMBED_DIMENSION = 8
    empty_milvus()
    yield
    vector_store.open_store.cache_clear()


@pytest.fixture
def store() -> VectorStore:
    return written_store()


def indexed(name: str = "docs", rows: int = 30) -> list[Chunk]:
    """A document whose chunks are in the database and in Milvus."""
    document = make_document(make_source(name), f"file:///{name}", state=Document.State.INDEXED)
    chunks = [make_chunk(document, p, state=State.INDEXED) for p in range(rows)]
    written_store().upsert([record(c) for c in chunks])
    return chunks


def foreign(number: int, source_id: int = 77) -> EmbeddedChunk:
    vectors = Vectors(np.full(8, 0.1, np.float32), np.array([1], np.uint32), np.ones(1, np.float32))
    return EmbeddedChunk(f"{number:032x}", 1, 5, source_id, "https://x/", "t", "h", 0, "text", vectors)


def found(**figures: int) -> dict[str, int]:
    return {**NOTHING, **figures}


def result(**options: Any) -> dict[str, Any]:
    report = audit(**{"repair": False, **options})
    assert report is not None
    return report.as_json()


def states() -> dict[str, str]:
    return dict(Chunk.objects.values_list("key", "state"))


def test_an_index_that_fits_its_rows_is_left_alone(store: VectorStore) -> None:
    indexed()
    before = states()
    assert result(repair=True) == NOTHING
    assert states() == before


def test_rows_deleted_behind_its_back_are_embedded_again_and_no_others(store: VectorStore) -> None:
    chunks = indexed()
    gone = {c.key for c in chunks[5:15]}
    store.delete(gone)
    assert result() == found(missing=10)
    assert set(states().values()) == {State.INDEXED}
    assert result(repair=True) == found(missing=10, repaired=10)
    assert {key for key, state in states().items() if state == State.WAITING} == gone
    assert result() == NOTHING


def test_foreign_rows_are_deleted_and_no_others(store: VectorStore) -> None:
    chunks = indexed()
    store.upsert([foreign(n) for n in (0, 1, 16**31, 16**32 - 1)])
    store.upsert([EmbeddedChunk("search-test-1", 1, 5, 77, "u", "t", "h", 0, "x", foreign(1).vectors)])
    assert result() == found(orphan=5)
    assert store.count() == len(chunks) + 5
    assert result(repair=True) == found(orphan=5, repaired=5)
    assert set(store.keys()) == {c.key for c in chunks}


def test_rows_in_flight_are_no_fault(store: VectorStore) -> None:
    chunks = indexed(rows=12)
    in_flight = dict(zip((c.pk for c in chunks), [s for s in State if s != State.INDEXED], strict=False))
    for pk, state in in_flight.items():
        Chunk.objects.filter(pk=pk).update(state=state, buffered_at=timezone.now())
    store.delete([c.key for c in chunks[:3]])
    before = states()
    assert result(repair=True) == NOTHING
    assert states() == before
    assert store.count() == 9


def test_a_row_that_names_another_document_is_written_again(store: VectorStore) -> None:
    chunks = indexed(rows=3)
    other = record(chunks[1])
    vectors = other.vectors
    store.upsert([EmbeddedChunk(other.key, 1, 12345, other.source_id, "u", "t", "h", 0, "text", vectors)])
    assert result() == found(stale=1)
    assert result(repair=True) == found(stale=1, repaired=1)
    assert states()[chunks[1].key] == State.WAITING
    assert list(states().values()).count(State.WAITING) == 1


def test_a_key_stored_twice_is_found_and_one_upsert_mends_it(store: VectorStore) -> None:
    chunks = indexed()
    copy = row_of(record(chunks[17]))
    store.client.insert(store.name, [copy, copy])
    assert store.count() == 32
    assert result() == found(duplicate=1)
    assert result(repair=True) == found(duplicate=1, repaired=1)
    assert [key for key, state in states().items() if state == State.WAITING] == [chunks[17].key]
    store.upsert([record(chunks[17])])
    assert store.count() == 30


def test_one_source_is_audited_alone(store: VectorStore) -> None:
    mine, other = indexed("mine", 10), indexed("other", 10)
    store.delete([mine[0].key, other[0].key, other[1].key])
    store.upsert([foreign(1, source_id=mine[0].document.source_id), foreign(2)])
    assert result(repair=True, source=Source.objects.get(name="mine")) == found(missing=1, orphan=1, repaired=2)
    assert states()[other[0].key] == State.INDEXED
    assert result() == found(missing=2, orphan=1)


def test_faults_are_counted_by_source(store: VectorStore) -> None:
    mine, other = indexed("mine", 5), indexed("other", 5)
    store.delete([mine[0].key, other[0].key, other[1].key])
    report = audit(repair=False) or Report()
    by_source = {source: dict(counts) for source, counts in report.sources.items()}
    assert by_source == {mine[0].document.source_id: {"missing": 1}, other[0].document.source_id: {"missing": 2}}


@contextmanager
def between(monkeypatch: pytest.MonkeyPatch, kind: str, happens: Any) -> Iterator[None]:
    """Something happens after a fault is suspected and before it is looked at once more."""
    confirm = auditing.CONFIRM[kind]

    def late(store: VectorStore, findings: list[auditing.Finding]) -> list[auditing.Finding]:
        happens()
        return confirm(store, findings)

    monkeypatch.setitem(auditing.CONFIRM, kind, late)
    yield
    monkeypatch.setitem(auditing.CONFIRM, kind, confirm)


def test_what_leaves_while_it_looks_is_not_missing(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = indexed(rows=3)[0]
    store.delete([chunk.key])
    with between(monkeypatch, "missing", lambda: Chunk.objects.filter(pk=chunk.pk).remove()):
        assert result(repair=True) == NOTHING


def test_what_is_written_while_it_looks_is_not_missing(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = indexed(rows=3)[0]
    store.delete([chunk.key])
    with between(monkeypatch, "missing", lambda: store.upsert([record(chunk)])):
        assert result(repair=True) == NOTHING
    assert states()[chunk.key] == State.INDEXED


def test_a_text_that_comes_back_while_it_looks_is_no_orphan(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = indexed(rows=3)[0].document
    store.upsert([foreign(9)])
    with between(monkeypatch, "orphan", lambda: make_chunk(document, 9, key=foreign(9).key)):
        assert result(repair=True) == NOTHING
    assert store.existing([foreign(9).key])


def test_orphans_wait_for_a_drain_at_work(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "DRAIN_PATIENCE_SECONDS", 0.1)
    store.upsert([foreign(9)])
    with locks.named("drain", seconds=30):
        assert result(repair=True) == found(orphan=1)
    assert store.count() == 1
    assert result(repair=True) == found(orphan=1, repaired=1)


def test_two_audits_do_not_run_at_once(store: VectorStore) -> None:
    with locks.named("audit", seconds=30):
        assert audit(repair=True) is None
    assert audit(repair=True) is not None


def test_keys_come_in_order_whatever_they_are(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of three rows, keys that crowd at one end."""
    keys = [f"{n:032x}" for n in range(25)] + ["zz", "search-1", "f" * 32, "~", "ä"]
    store.upsert([EmbeddedChunk(k, 1, 2, 3, "u", "t", "h", 0, "x", foreign(1).vectors) for k in keys])
    for rows in (3, 7, 1000):
        monkeypatch.setattr(vector_store, "WINDOW_ROWS", rows)
        assert list(store.keys()) == sorted(keys)
    assert list(store.keys(source_id=4)) == []


def test_a_million_keys_are_read_in_windows_that_are_half_full() -> None:
    assert first_bounds(100) == [""]
    bounds = first_bounds(1_000_000)
    assert bounds == sorted(bounds) and len(bounds) == 256
    assert 1_000_000 / len(bounds) <= vector_store.WINDOW_ROWS / 2


def test_the_result_stands_on_the_collection(store: VectorStore) -> None:
    store.delete([indexed(rows=3)[0].key])
    Collection.objects.update(created_at=timezone.now() - timedelta(days=9))
    auditing.audit_if_due()
    said = Collection.objects.get().audit
    assert {**NOTHING, "missing": 1, "repaired": 1}.items() <= said.items()
    assert said["at"].startswith(str(timezone.now().year))


def looked(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many audits Beat's job makes now."""
    made: list[bool] = []
    monkeypatch.setattr(auditing, "audit", lambda *, repair: made.append(repair))
    auditing.audit_if_due()
    return len(made)


@pytest.mark.parametrize(
    ("last", "audits"),
    [
        ({"hours": -23}, 0),
        ({"hours": -25}, 1),
        ({"hours": 2}, 1),  # noted before the clock was set back
    ],
)
def test_it_is_due_by_the_time_of_the_last_one_and_not_of_beats_start(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch, settings: Settings, last: dict[str, int], audits: int
) -> None:
    settings.AUDIT_SECONDS = 86_400.0
    indexed()
    at = timezone.now() + timedelta(**last)
    Collection.objects.update(audit={**NOTHING, "at": at.isoformat(timespec="seconds")})
    assert looked(monkeypatch) == audits


def test_a_fresh_index_is_audited_for_the_first_time_after_the_interval(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.AUDIT_SECONDS = 86_400.0
    indexed()
    assert looked(monkeypatch) == 0
    Collection.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert looked(monkeypatch) == 1


def test_after_an_audit_the_next_look_makes_none(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    indexed()
    Collection.objects.update(created_at=timezone.now() - timedelta(days=9))
    auditing.audit_if_due()
    assert Collection.objects.get().audit
    assert looked(monkeypatch) == 0


def test_nothing_is_asked_of_a_milvus_that_is_known_to_be_out(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    Collection.objects.update(created_at=timezone.now() - timedelta(days=9))
    circuit_breaker.note("Milvus does not answer.")
    assert looked(monkeypatch) == 0
