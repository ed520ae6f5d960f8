"""The overview of an index: as it is now, or kept for a while where counting is dear."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ingestion.models import Chunk, Document
from search import catalogue
from search.access.caller import OPERATOR
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, which stands still."""
    now = [1000.0]
    monkeypatch.setattr(catalogue, "monotonic", lambda: now[0])
    monkeypatch.setattr(catalogue, "_overviews", {})
    return now


def add_documents() -> Document:
    """Add two documents that can be found, and return one."""
    source = make_source()
    some = [make_document(source, url=f"http://x/{name}", state=Document.State.INDEXED) for name in "ab"]
    for document in some:
        make_chunk(document, 0, state=Chunk.State.INDEXED)
    return some[0]


def test_a_small_index_is_counted_each_time(clock: list[float]) -> None:
    assert catalogue.overview(OPERATOR).documents == 0
    add_documents()
    assert catalogue.overview(OPERATOR).documents == 2


def test_a_large_index_is_counted_once_a_minute_for_all_who_see_the_same(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "MANY_DOCUMENTS", 2)
    document = add_documents()
    assert catalogue.overview(OPERATOR).documents == 2
    document.chunks.all().remove()
    assert catalogue.overview(OPERATOR).documents == 2
    assert catalogue.overview(replace(OPERATOR, sources=frozenset())).documents == 0
    clock[0] += catalogue.OVERVIEW_SECONDS + 1
    assert catalogue.overview(OPERATOR).documents == 1
