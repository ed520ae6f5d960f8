"""Questions with words that no document has are also searched for as they may be meant."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from ingestion.models import Chunk, SourceReader, TermFrequencies
from ingestion.pipeline.index.term_counts import recount_if_due
from ingestion.words.vocabulary import Vocabulary, VocabularyCounter, acronyms_of
from search.access.caller import OPERATOR
from search.forms import MODES
from search.questions import Question
from search.retrieval import preparation
from search.retrieval.corrections import corrected, edits, is_meant
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
    count = last_count(TermFrequencies.objects.values_list("counted_at", flat=True).first())
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
def test_words_that_not_everybody_may_read_correct_nothing() -> None:
    document = make_document(make_source(), title="Secret")
    document.source.readers.add(Group.objects.create(name="staff"))
    for position in range(3):
        make_chunk(document, position, text="The projectname of it.", state=Chunk.State.INDEXED)
    assert recount_if_due()
    assert meant("projectnmae") == ""
    SourceReader.objects.all().delete()
    TermFrequencies.objects.all().delete()
    assert recount_if_due()
    assert meant("projectnmae") == "projectname"


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
    assert (other in set(edits(one)) or one == other) == (OSA.distance(one, other) <= 1)


def test_readers_are_told_what_else_was_searched_for(index: None) -> None:
    TermFrequencies.objects.all().delete()
    assert recount_if_due()
    found = retrieve(Question("How are migratins created?", OPERATOR), Timings())
    meant = "How are migrations created?"
    assert {passage.found_by for passage in found} == {meant}
    assert found[0].document == 911


@pytest.mark.parametrize("mode", MODES)
def test_a_correction_that_finds_nothing_nearer_changes_nothing(
    index: None, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    question = Question("How are migrations created?", OPERATOR, mode=mode)
    before = retrieve(question, Timings())
    monkeypatch.setattr(preparation, "corrected", lambda *args: "How are lemons peeled?")
    assert retrieve(question, Timings()) == before


def test_the_parts_of_a_question_are_searched_for_besides(index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = ("How do I cache in Redis?",)
    meant = "How are migrations created?"
    monkeypatch.setattr(preparation, "corrected", lambda *args: meant)
    found = retrieve(Question("How are migratins created?", OPERATOR, parts=parts), Timings())
    assert {passage.found_by for passage in found} == {meant, *parts}


@pytest.mark.parametrize(
    ("corrected", "asked", "meant"),
    [
        ({"dense": 0.52}, {"dense": 0.50}, True),
        ({"dense": 0.505}, {"dense": 0.50}, False),
        ({"dense": 0.50, "words": 9.0}, {"dense": 0.52, "words": 1.0}, False),
        ({"words": 9.0}, {"words": 0.2}, False),
    ],
)
def test_what_is_meant_is_what_passages_are_nearer_to(
    corrected: dict[str, float], asked: dict[str, float], meant: bool
) -> None:
    pools = [{name: {"a": score, "b": 0.1} for name, score in best.items()} for best in (corrected, asked)]
    assert is_meant(*pools) is meant
    assert not is_meant({}, {}) and is_meant({"words": {"a": 1.0}}, {"words": {}})
