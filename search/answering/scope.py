"""A question and its passages → whether they can answer it at all.

Retrieval always finds something, and no score of it tells an answer from the nearest miss. What tells is how many of
the question's words one passage has and how near its nearest sentence is. Over Django's documentation with the stand-in
model, 40 questions that it answers and 40 on other subjects: 38 of the others are refused, none of the 40.

Where nothing is known of the model's cosines (ANSWER_LEAST_COSINE 0), words alone decide, and only where there are
hardly any; a question in another language than its passages is then never refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from django.conf import settings

from ingestion.words.language import WORD, Language, language_of
from search.answering.extractive import Nearness, stems
from search.passage_text import units
from search.questions import Passage

# Of a question's words in one passage: with so many no more is asked, with fewer than half it must be nearer, and
# below the last nearness is not needed to say no.
CERTAIN, HALF, HARDLY_ANY = 0.75, 0.5, 0.34
NEARER = 0.1
# The passages that are looked at, and the sentences of each: about 0.1 s with the stand-in on two cores.
PASSAGES, SENTENCES = 3, 12


def out_of_scope(question: str, passages: Sequence[Passage], nearness: Nearness) -> bool:
    """Return whether the passages say nothing of what is asked."""
    language = language_of(" ".join(passage.text for passage in passages[:PASSAGES]))
    covered = coverage(question, passages, language)
    if covered >= CERTAIN:
        return False
    sentences = [unit.plain for p in passages[:PASSAGES] for unit in islice(units(p.text), SENTENCES)]
    near = nearness(sentences) if settings.ANSWER_LEAST_COSINE else ()
    if near:
        nearest, least = max(near), settings.ANSWER_LEAST_COSINE
        return nearest < least or (covered < HALF and nearest < least + NEARER)
    return covered < HARDLY_ANY and not is_foreign(question, language)


def is_foreign(question: str, language: Language) -> bool:
    """Return whether two words of the question say that it is in another language; one may be in any ("do")."""
    own = language_of(question)
    return own != language and sum(word in own.frequent_words for word in WORD.findall(question.casefold())) > 1


def coverage(question: str, passages: Sequence[Passage], language: Language) -> float:
    """Return the largest share of the question's words that one passage has; 1 where it has none to look for."""
    asked = stems(question, language)
    if not asked:
        return 1.0
    texts = (f"{passage.title} {passage.heading} {passage.text}" for passage in passages)
    return max((len(asked & stems(text, language)) / len(asked) for text in texts), default=0.0)
