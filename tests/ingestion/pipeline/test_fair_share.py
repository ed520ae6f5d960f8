"""Whose chunks are embedded next: shares, small ones first, the order within, and what is left over."""

from __future__ import annotations

import pytest

from ingestion.models import Chunk, ChunkQuerySet, Document, Source
from ingestion.pipeline.embed import fair_share
from ingestion.pipeline.embed.fair_share import choose_fairly
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_share, "SMALL_CHUNKS", 10)


def waiting() -> ChunkQuerySet:
    return Chunk.objects.filter(state=Chunk.State.WAITING)


def source_with(chunks: int, *, name: str) -> Source:
    source = make_source(name)
    for n in range(0, chunks, 4):
        document = make_document(source, f"file:///{name}/{n}", state=Document.State.EMBEDDING)
        for position in range(min(4, chunks - n)):
            make_chunk(document, position)
    return source


def owners(ids: list[int]) -> dict[str, int]:
    names = list(Chunk.objects.filter(id__in=ids).values_list("document__source__name", flat=True))
    return {name: names.count(name) for name in sorted(set(names))}


def test_large_sources_have_equal_shares() -> None:
    source_with(40, name="large")
    source_with(20, name="newer")
    assert owners(choose_fairly(waiting(), 16)) == {"large": 9, "newer": 7}  # one for being the oldest, and the odd one


def test_a_small_source_comes_first() -> None:
    source_with(40, name="large")
    source_with(6, name="small")
    assert owners(choose_fairly(waiting(), 8)) == {"large": 2, "small": 6}


def test_small_sources_leave_a_quarter_to_the_large_ones() -> None:
    source_with(80, name="large")
    for n in range(4):
        source_with(9, name=f"small {n}")
    taken = owners(choose_fairly(waiting(), 32))
    assert taken["large"] == 9  # with the oldest two
    assert sum(taken.values()) == 32


def test_of_small_sources_the_smallest_comes_first() -> None:
    source_with(9, name="larger")
    source_with(5, name="smaller")
    assert owners(choose_fairly(waiting(), 8)) == {"larger": 3, "smaller": 5}


def test_what_small_sources_leave_is_shared_by_the_large_ones() -> None:
    source_with(40, name="large")
    source_with(40, name="newer")
    source_with(2, name="small")
    assert owners(choose_fairly(waiting(), 15)) == {"large": 7, "newer": 6, "small": 2}


def test_of_one_source_the_oldest_come_first() -> None:
    source_with(12, name="only")
    assert choose_fairly(waiting(), 5) == list(waiting().order_by("id").values_list("id", flat=True)[:5])


def test_only_the_chunks_that_were_offered_are_chosen() -> None:
    source_with(8, name="a")
    source_with(8, name="b")
    Chunk.objects.filter(position=0).update(attempts=2)
    chosen = choose_fairly(waiting().filter(attempts__lt=2), 24)
    assert len(chosen) == 12
    assert not Chunk.objects.filter(id__in=chosen, attempts=2).exists()


def test_a_chunk_that_waits_while_its_document_is_elsewhere_is_embedded_too() -> None:
    source_with(4, name="a")
    source_with(4, name="b")
    document = make_document(make_source("c"), state=Document.State.INDEXED)
    lost = make_chunk(document, 0)
    assert lost.pk in choose_fairly(waiting(), 16 * 9)


def test_documents_whose_chunks_are_all_claimed_do_not_hide_the_others() -> None:
    source_with(400, name="large")
    source_with(8, name="small")
    claimed = Chunk.objects.filter(document__source__name="large").order_by("id")[:360]
    Chunk.objects.filter(id__in=[chunk.pk for chunk in claimed]).update(state=Chunk.State.EMBEDDING)
    assert owners(choose_fairly(waiting(), 32)) == {"large": 24, "small": 8}


def test_more_sources_than_are_looked_at_take_turns_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_share, "SOURCES_AT_A_TIME", 2)
    for n in range(6):
        source_with(4, name=f"s{n}")
    assert len(choose_fairly(waiting(), 3)) == 3
    assert len({owner for _ in range(60) for owner in owners(choose_fairly(waiting(), 3))}) == 6
