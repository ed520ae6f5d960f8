"""Whose chunks are embedded next: equal shares, the order within, and what is left over."""

from __future__ import annotations

import pytest

from ingestion.models import Chunk, ChunkQuerySet, Document, Source
from ingestion.pipeline.turns import in_turns
from tests.rows import make_chunk, make_document, make_source

pytestmark = pytest.mark.django_db


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


def test_a_small_source_is_not_behind_a_large_one() -> None:
    source_with(40, name="large")
    source_with(8, name="small")
    assert owners(in_turns(waiting(), 16)) == {"large": 8, "small": 7}  # one of them for being the oldest


def test_a_claim_is_no_larger_than_a_small_source_needs() -> None:
    source_with(40, name="large")
    source_with(4, name="small")
    assert owners(in_turns(waiting(), 24)) == {"large": 5, "small": 4}


def test_a_claim_is_large_enough_for_full_batches() -> None:
    source_with(40, name="large")
    source_with(1, name="small")
    chosen = in_turns(waiting(), 32)
    assert owners(chosen) == {"large": 7, "small": 1}
    assert len(set(chosen)) == 8


def test_of_one_source_the_oldest_come_first() -> None:
    source_with(12, name="only")
    assert in_turns(waiting(), 5) == list(waiting().order_by("id").values_list("id", flat=True)[:5])


def test_only_the_chunks_that_were_offered_are_chosen() -> None:
    source_with(8, name="a")
    source_with(8, name="b")
    Chunk.objects.filter(position=0).update(attempts=2)
    chosen = in_turns(waiting().filter(attempts__lt=2), 24)
    assert len(chosen) == 12
    assert not Chunk.objects.filter(id__in=chosen, attempts=2).exists()


def test_a_chunk_that_waits_while_its_document_is_elsewhere_is_embedded_too() -> None:
    source_with(4, name="a")
    source_with(4, name="b")
    document = make_document(make_source("c"), state=Document.State.INDEXED)
    lost = make_chunk(document, 0)
    assert lost.pk in in_turns(waiting(), 16 * 9)


def test_documents_whose_chunks_are_all_claimed_do_not_hide_the_others() -> None:
    source_with(400, name="large")
    source_with(8, name="small")
    claimed = Chunk.objects.filter(document__source__name="large").order_by("id")[:360]
    Chunk.objects.filter(id__in=[chunk.pk for chunk in claimed]).update(state=Chunk.State.EMBEDDING)
    assert owners(in_turns(waiting(), 32)) == {"large": 10, "small": 8}


def test_more_sources_than_room_take_turns_by_chance() -> None:
    for n in range(6):
        source_with(4, name=f"s{n}")
    assert len(in_turns(waiting(), 3)) == 3  # one each
    assert len({owner for _ in range(40) for owner in owners(in_turns(waiting(), 3))}) == 6
