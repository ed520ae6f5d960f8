"""How many chunks hold each term: right after the first drain, and counted again when much has changed."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import numpy as np
import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.utils import timezone

from ingestion.models import Chunk, Document, SourceReader, TermFrequencies
from ingestion.pipeline.index import term_counts
from ingestion.pipeline.index.term_counts import recount_if_due
from ingestion.words.terms import hash_of
from ingestion.words.vocabulary import Vocabulary
from search.retrieval.query_vectors import Counted, last_count
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = pytest.mark.django_db


@pytest.fixture
def document() -> Document:
    return make_document(make_source(), title="Zoo")


def write(document: Document, texts: list[str]) -> None:
    first = document.chunks.count()
    for position, text in enumerate(texts, first):
        key = hashlib.blake2b(f"{position}".encode(), digest_size=16).hexdigest()
        make_chunk(document, position, text=text, key=key)


def count_of(term: str) -> int:
    row = TermFrequencies.objects.get()
    counts = dict(zip(np.frombuffer(row.terms, "<u4"), np.frombuffer(row.counts, "<u4"), strict=True))
    return int(counts.get(hash_of(term), 0))


def words() -> set[str]:
    return set(Vocabulary.unpacked(bytes(TermFrequencies.objects.get().vocabulary)).words)


def test_chunks_are_counted_by_text_heading_and_title(document: Document) -> None:
    assert recount_if_due() is False  # nothing is there
    write(document, ["zebra zebra apple", "apple", "pear"])
    Chunk.objects.filter(position=2).update(heading="apple trees")
    assert recount_if_due() is True
    assert [count_of(term) for term in ("zebra", "appl", "pear", "tree", "zoo", "absent")] == [1, 3, 1, 1, 3, 0]


def test_it_counts_again_only_when_much_came_or_went(document: Document) -> None:
    Document.objects.update(state=Document.State.EMBEDDING)
    write(document, ["zebra"] * 10)
    assert recount_if_due() and not recount_if_due()
    write(document, ["zebra"] * 4)
    assert not recount_if_due()
    write(document, ["zebra"])
    assert recount_if_due() and count_of("zebra") == 15
    Chunk.objects.filter(position__gte=10).remove()
    assert recount_if_due() and count_of("zebra") == 10
    assert TermFrequencies.objects.count() == 1


def test_when_all_documents_are_done_it_counts_the_last_twentieth_too(document: Document) -> None:
    write(document, ["zebra"] * 40)
    recount_if_due()
    write(document, ["apple"])
    Document.objects.update(state=Document.State.INDEXED)
    assert not recount_if_due()
    write(document, ["apple"])
    Document.objects.update(state=Document.State.EMBEDDING)
    assert not recount_if_due()
    Document.objects.update(state=Document.State.INDEXED)
    assert recount_if_due() and count_of("appl") == 2
    Chunk.objects.filter(position__gte=39).remove()
    assert recount_if_due() and count_of("appl") == 0


def test_it_counts_again_once_a_day(document: Document) -> None:
    write(document, ["zebra"])
    recount_if_due()
    Chunk.objects.update(text="apple")
    TermFrequencies.objects.update(counted_at=timezone.now() - timedelta(seconds=settings.AUDIT_SECONDS + 1))
    assert recount_if_due()
    assert (count_of("zebra"), count_of("appl")) == (0, 1)


def test_it_counts_again_when_other_sources_are_restricted(document: Document) -> None:
    write(document, ["projectname"] * 2)
    assert recount_if_due() and words() == {"projectname"}
    document.source.readers.add(Group.objects.create(name="staff"))
    assert recount_if_due() and words() == set()
    assert not recount_if_due()
    document.source.readers.add(Group.objects.create(name="more staff"))
    assert not recount_if_due()  # the same sources
    SourceReader.objects.all().delete()
    assert recount_if_due() and words() == {"projectname"}


def test_of_many_chunks_an_even_sample_is_counted(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(term_counts, "SAMPLED_CHUNKS", 100)
    write(document, ["zebra apple"] * 300 + ["zebra"] * 300)
    recount_if_due()
    row = TermFrequencies.objects.get()
    assert row.chunks == 600 and 60 < row.sampled < 140
    assert count_of("zebra") == row.sampled
    assert 0.3 < count_of("appl") / row.sampled < 0.7


def latest() -> Counted:
    return last_count(TermFrequencies.objects.values_list("counted_at", flat=True).first())


def test_questions_use_the_latest_count(document: Document) -> None:
    write(document, ["zebra"])
    recount_if_due()
    before = latest().frequencies
    assert latest().frequencies is before
    write(document, ["apple"] * 9)
    recount_if_due()
    terms = np.array([hash_of("zebra"), hash_of("appl")], np.uint32)
    rare, common = latest().frequencies.rarity(terms).tolist()
    assert rare > common
    TermFrequencies.objects.all().delete()
    assert latest().frequencies.chunks == 0
