"""A collection that lost its rows behind everybody's back is noticed by two counts, and an audit is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from ingestion.coordination import circuit_breaker
from ingestion.models import Chunk, Collection, Document
from ingestion.pipeline.index import completeness
from ingestion.pipeline.index.audit import audit_if_due
from ingestion.pipeline.index.completeness import audit_wanted, shortfall
from ingestion.pipeline.report.alerts import alerts
from ingestion.pipeline.state.collections import written_store
from ingestion.vector_store import store as vector_store
from ingestion.vector_store.store import VectorStore
from tests.support.models_apart import empty_milvus
from tests.support.rows import make_chunk, make_document, make_source, record

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis")]
ROWS = 12


@pytest.fixture
def store(milvus_server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorStore]:
    settings.EMBED_DIMENSION = 8
    monkeypatch.setattr(completeness, "CHECK_SECONDS", 0.001)  # each call of a test looks
    empty_milvus()
    document = make_document(make_source(), state=Document.State.INDEXED)
    chunks = [make_chunk(document, p, state=Chunk.State.INDEXED) for p in range(ROWS)]
    store = written_store()
    store.upsert([record(c) for c in chunks])
    yield store
    vector_store.open_store.cache_clear()


def test_an_index_that_holds_every_row_wants_no_audit(store: VectorStore) -> None:
    assert not audit_wanted()
    assert shortfall() == "" and alerts() == []


def test_a_dropped_collection_wants_an_audit_at_once_and_says_so(store: VectorStore) -> None:
    store.drop()
    assert audit_wanted()
    assert f"holds 0 of {ROWS} chunks" in shortfall()
    assert alerts() == [shortfall()]


def test_a_collection_that_a_drain_made_anew_is_seen_to_be_empty(store: VectorStore) -> None:
    store.drop()
    written_store()
    assert audit_wanted()


def test_a_single_lost_row_is_enough(store: VectorStore) -> None:
    store.delete([Chunk.objects.values_list("key", flat=True)[3]])
    assert audit_wanted()
    assert f"holds {ROWS - 1} of {ROWS} chunks" in shortfall()


def test_the_audit_is_asked_for_once_and_its_end_ends_the_trouble(store: VectorStore) -> None:
    store.drop()
    assert audit_wanted()
    assert not audit_wanted()
    audit_if_due()
    assert shortfall() == ""
    assert Chunk.objects.filter(state=Chunk.State.WAITING).count() == ROWS
    assert not audit_wanted()


def test_an_audit_that_never_came_is_asked_for_again(store: VectorStore) -> None:
    store.drop()
    assert audit_wanted()
    row = Collection.objects.searched()
    assert row is not None
    row.audit["asked_at"] = "2020-01-01T00:00:00+00:00"
    row.save()
    assert audit_wanted()


def test_chunks_on_their_way_in_or_out_are_not_missed(store: VectorStore) -> None:
    first, second = Chunk.objects.order_by("position")[:2]
    store.delete([first.key, second.key])
    Chunk.objects.filter(pk=first.pk).update(state=Chunk.State.WAITING)
    Chunk.objects.filter(pk=second.pk).update(state=Chunk.State.DELETING)
    assert not audit_wanted()


def test_a_deletion_between_the_two_counts_is_no_loss(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    count, leaving = completeness.indexed_chunks, [Chunk.objects.order_by("position")[0]]

    def then_deleted() -> int:
        counted = count()
        for chunk in leaving:
            chunk.delete()
            store.delete([chunk.key])
        leaving.clear()
        return counted

    monkeypatch.setattr(completeness, "indexed_chunks", then_deleted)
    assert not audit_wanted()


def test_nobody_counts_while_milvus_is_out_or_a_second_collection_is_filled(store: VectorStore) -> None:
    store.drop()
    circuit_breaker.note("Milvus does not answer.")
    assert not audit_wanted()
    circuit_breaker.over()
    Collection.objects.create(name="next", model="m", pooling="cls", dimension=8, building=True)
    assert not audit_wanted()
