"""What the passages do not speak of is refused, with and without a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from pytest_django import Settings

from ingestion.words.terms import terms_of, tokens
from ingestion.words.vocabulary import Vocabulary
from ingestion.words.weights import Frequencies
from search.answering.scope import LEAST_CHUNKS, PASSAGES, out_of_scope
from search.questions import Passage
from search.retrieval.query_vectors import Counted

TEXT = "A lock is released by calling unlock. Whoever waits for the lock wakes up and takes it, one after the other."
PASSAGE = Passage(1.0, "Locks", "https://x.example/", "Locks", "", TEXT, 1, "Docs", 0)


UNKNOWN = Counted()


def refused(question: str, near: float = 0.0, counted: Counted = UNKNOWN) -> bool:
    def nearness(sentences: Sequence[str]) -> list[float]:
        return [near] * len(sentences)

    return out_of_scope(question, [PASSAGE], nearness, counted)


def index_of(words: str, chunks: int = LEAST_CHUNKS) -> Counted:
    """Return the words of an index where two chunks in a thousand have each of the words."""
    terms = np.unique([term for word in tokens(words) for term, _ in terms_of(word, "english")]).astype(np.uint32)
    frequencies = Frequencies(chunks, terms, np.full(len(terms), chunks // 500, np.uint32))
    return Counted(None, frequencies, Vocabulary(dict.fromkeys(words.lower().split(), 2)))


@pytest.mark.parametrize(
    ("question", "near", "expected"),
    [
        ("How is a lock released?", 0.0, False),  # all words
        ("How do I bake bread?", 0.2, True),
        ("How do I free a mutex?", 0.8, False),  # other words, the same meaning
        ("How do I free a mutex?", 0.3, True),
        ("How does the lock wait for threads?", 0.3, True),  # some words are not enough
        ("???", 0.0, False),  # nothing to judge by
    ],
)
def test_words_and_meaning_decide(settings: Settings, question: str, near: float, expected: bool) -> None:
    settings.ANSWER_LEAST_COSINE = 0.34
    assert refused(question, near) is expected


def test_words_alone_decide_where_cosines_were_not_measured(settings: Settings) -> None:
    settings.ANSWER_LEAST_COSINE = 0.0
    assert refused("How do I bake bread?", 0.9)
    assert not refused("How do I free a lock?", 0.0)


def test_a_question_in_another_language_is_never_refused_by_its_words(settings: Settings) -> None:
    settings.ANSWER_LEAST_COSINE = 0.0
    assert not refused("Wie wird der Riegel aufgemacht, der nicht zu ist?")


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Where does Zürich's airport sell sourdough bread?", True),  # no word of it is in the index
        ("How do threads share a queue?", False),  # in other chunks than those found, but these documents speak of it
        ("How do threads share a queue when the lock wakes them up in erlang?", False),  # one word of seven
        ("How do threads share erlang's mailbox?", True),
        (
            "How is a lock released so that who waits wakes up and takes it in Erlang?",
            False,
        ),  # the passage has most of its words
    ],
)
@pytest.mark.parametrize("least_cosine", [0.0, 0.28])
def test_words_that_no_document_has_decide(
    settings: Settings, question: str, expected: bool, least_cosine: float
) -> None:
    settings.ANSWER_LEAST_COSINE = least_cosine
    index = index_of(f"{TEXT} threads share a queue in them")
    assert refused(question, 0.5, index) is expected


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("How do threads share a queue when the lock wakes them up in Erlang?", True),
        ("How do threads share a queue when the lock wakes them up in OpenERL?", True),
        ("how do threads share a queue when the lock wakes them up in erlang?", False),  # no capital letter
        ("Erlang: how do threads share a queue when the lock wakes them up?", False),  # a sentence begins with it
        ("How Do Threads Share A Queue When The Lock Wakes Them Up In Erlang?", False),  # a title
        ("How do Threads share a queue when the lock wakes them up?", False),  # no name of anything else
    ],
)
def test_a_name_that_no_document_has_asks_for_nearer_sentences(settings: Settings, question: str, name: bool) -> None:
    settings.ANSWER_LEAST_COSINE = 0.28
    index = index_of(f"{TEXT} threads share a queue in them")
    assert refused(question, 0.5, index) is name
    assert not refused(question, 0.57, index), "these documents say it in other words"
    settings.ANSWER_LEAST_COSINE = 0.0
    assert not refused(question, 0.5, index), "one name is not enough where nothing is known of sentences"


def test_german_nouns_are_no_names(settings: Settings) -> None:
    settings.ANSWER_LEAST_COSINE = 0.28
    question = "Wie teilen sich threads eine queue, wenn der lock sie weckt, in der Warteschlange?"
    index = index_of("threads teilen queue wenn lock sie weckt eine sich der wie in")
    german = replace(PASSAGE, text="Ein Lock wird freigegeben, und wer auf ihn wartet, der ist dann nicht mehr allein.")
    assert not out_of_scope(question, [german], lambda sentences: [0.5] * len(sentences), index)


def test_a_word_that_only_a_late_passage_has_is_lacking(settings: Settings) -> None:
    settings.ANSWER_LEAST_COSINE = 0.28
    index = index_of(f"{TEXT} of another process")
    others, late = [PASSAGE] * PASSAGES, replace(PASSAGE, text="Whoever holds a mutex may free it.")
    question = "How do I free a mutex of another process?"
    assert out_of_scope(question, [*others, late], lambda sentences: [0.5] * len(sentences), index)
    assert not out_of_scope(question, [late, *others], lambda sentences: [0.5] * len(sentences), index)


def test_a_small_index_lacks_most_words(settings: Settings) -> None:
    settings.ANSWER_LEAST_COSINE = 0.28
    assert refused("How do threads share a mailbox?", 0.5, index_of(TEXT, LEAST_CHUNKS))
    assert not refused("How do threads share a mailbox?", 0.5, index_of(TEXT, LEAST_CHUNKS - 1))


def test_plainly_near_sentences_answer_in_other_words(settings: Settings) -> None:
    settings.ANSWER_LEAST_COSINE = 0.28
    assert refused("How do I free a mutex?", 0.55, index_of(TEXT))
    assert not refused("How do I free a mutex?", 0.57, index_of(TEXT))


def test_a_mistyped_word_is_not_one_that_the_documents_lack(settings: Settings) -> None:
    settings.ANSWER_LEAST_COSINE = 0.28
    index = index_of(f"{TEXT} threads share a queue")
    assert refused("How do Erlang processes share?", 0.5, index)
    assert not refused("How do thraeds shre a queu?", 0.5, index)
