"""Questions with words that no document has are also searched for as they may be meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.models import Chunk, TermFrequencies
from ingestion.pipeline.index.term_counts import recount_if_due
from ingestion.words.vocabulary import Vocabulary, VocabularyCounter, acronyms_of
from search.questions import Question
from search.retrieval.corrections import corrected, distance, edits
from search.retrieval.query_vectors import last_count
from search.retrieval.retriever import retrieve
from search.timings import Timings
from tests.support.rows import make_chunk, make_document, make_source

TEXTS = [
    "Run makemigrations to create migrations for the models that changed.",
    "The migrations of an app are applied by migrate; a migration is a file.",
    "A decorator caches the output of a view. Decorators wrap functions.",
    "Another decorator for authentication; backends check passwords.",
    "Cross-Site Request Forgery (CSRF) protection is on by default.",
    "The request of a form carries a token; authentication needs it.",
    "The request of a page does not; makemigrations has nothing to do with it.",
]


@pytest.fixture
def counted(db: None) -> None:
    document = make_document(make_source(), title="Guide")
    for position, text in enumerate(TEXTS):
        make_chunk(document, position, text=text, state=Chunk.State.INDEXED)
    assert recount_if_due()


def meant(question: str) -> str:
    count = last_count()
    return corrected(question, count.frequencies, count.vocabulary)


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("How do I use makemigratons?", "How do I use makemigrations?"),
        ("Where is the decroator?", "Where is the decorator?"),
        ("authentikatoin of users", "authentication of users"),
        ("CSRF and decoratr", "CSRF and decorator".replace("CSRF", "cross site request forgery")),
        ("How do I use makemigrations?", ""),
        ("How are migration files named?", ""),
        ("xyzzyplugh?", ""),
        ("views.E304 v5.2 --fake", ""),
        ("Wie funktioniert das?", ""),
    ],
)
def test_what_a_question_may_mean(question: str, text: str) -> None:
    assert meant(question) == text


@pytest.mark.usefixtures("counted")
def test_a_long_question_is_corrected_in_a_few_words_only() -> None:
    text = meant("decroator decoratr decorattor decorater of views")
    assert text.split() == ["decorator", "decorator", "decorator", "decorater", "of", "views"]


@pytest.mark.django_db
def test_nothing_is_corrected_before_terms_were_counted() -> None:
    assert meant("makemigratons") == ""
    TermFrequencies.objects.all().delete()
    assert meant("makemigratons") == ""


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("Hypertext Transfer Protocol (HTTP) is", []),
        ("the Domain Name System (DNS) is", [("dns", "domain name system")]),
        ("A DNS (Domain Name System) server", [("dns", "domain name system")]),
        ("cross-site request forgery (CSRF)", [("csrf", "cross site request forgery")]),
        ("The function (see above) is", []),
        ("Some Other Words (DNS)", []),
        ("(DNS)", []),
    ],
)
def test_acronyms_are_learnt_where_a_text_says_what_they_stand_for(text: str, pairs: list[tuple[str, str]]) -> None:
    assert list(acronyms_of(text)) == pairs


def test_words_of_one_chunk_are_no_vocabulary() -> None:
    counter = VocabularyCounter()
    for text in ("decorator once", "decorator twice", "the_setting", "the_setting the", "E304 5.2 x" * 9):
        counter.add(text)
    vocabulary = counter.vocabulary()
    assert vocabulary.words == {"decorator": 2, "the_setting": 2}
    assert Vocabulary.unpacked(vocabulary.packed()) == vocabulary
    assert Vocabulary.unpacked(b"") == Vocabulary()


@given(st.text("abc", min_size=1, max_size=5), st.text("abc", max_size=6))
def test_one_edit_is_a_distance_of_one(one: str, other: str) -> None:
    assert (other in set(edits(one)) or one == other) == (distance(one, other) <= 1)


def test_readers_are_told_what_else_was_searched_for(index: None) -> None:
    TermFrequencies.objects.all().delete()
    assert recount_if_due()
    found = retrieve(Question("How are migratins created?"), Timings())
    meant = "How are migrations created?"
    assert {passage.found_by for passage in found} == {"", meant}
    assert (found[0].document, found[0].found_by) == (911, meant)
