"""What the passages do not speak of is refused, with and without a language model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pytest_django import Settings

from search.answering.scope import out_of_scope
from search.questions import Passage

TEXT = "A lock is released by calling unlock. Whoever waits for the lock wakes up and takes it, one after the other."
PASSAGE = Passage(1.0, "Locks", "https://x.example/", "Locks", "", TEXT, 1, "Docs", 0)


def refused(question: str, near: float = 0.0) -> bool:
    def nearness(sentences: Sequence[str]) -> list[float]:
        return [near] * len(sentences)

    return out_of_scope(question, [PASSAGE], nearness)


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
