"""Where the line is between pages that leave by themselves and those that a person is asked about."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.models import Chunk, Document, Run
from ingestion.pipeline.state.removals import MISSES_UNTIL_GONE, release_duplicates, settle_missing
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("known", "missing", "held"),
    [(50, 10, False), (49, 10, True), (9, 9, False), (10, 10, True), (60, 12, False), (60, 13, True)],
)
def test_more_than_a_fifth_and_ten_pages_at_least_are_held(known: int, missing: int, held: bool) -> None:
    source = make_source()
    for number in range(known):
        state = Document.State.MISSING if number < missing else Document.State.INDEXED
        misses = MISSES_UNTIL_GONE if number < missing else 0
        document = make_document(source, f"https://docs.example/{number}", state=state, misses=misses, chunk_count=1)
        make_chunk(document, 0, state=Chunk.State.INDEXED)
    said = settle_missing(Run.objects.get(source=source))
    assert bool(said) is held
    assert source.documents.filter(state=Document.State.GONE).count() == (0 if held else missing)


def test_releasing_many_duplicates_takes_a_few_queries(django_assert_max_num_queries: Any) -> None:
    original = make_document(make_source(), "https://docs.example/", chunk_count=1)
    for number in range(30):
        state = Document.State.DUPLICATE
        make_document(original.source, f"https://docs.example/{number}", state=state, duplicate_of=original)
    with django_assert_max_num_queries(10):
        release_duplicates([original.pk])
    assert Document.objects.filter(state=Document.State.WAITING, duplicate_of=None).count() == 31
