"""A question and its passages → whether they can answer it at all.

Retrieval always finds something, and no score of it tells an answer from the nearest miss. What tells is whether one
passage has nearly all words of the question, and how near the nearest sentences are. Over 90 pages of Django's
documentation with the stand-in model, 103 questions that they answer, half of them in other words than the pages', and
65 on other subjects: 6 % of the first are refused and 78 % of the others. (Of questions in the pages' own words none
is refused; a threshold that refuses 86 % of the others refuses 10 % of the first.)

Where nothing is known of the model's cosines (ANSWER_LEAST_COSINE 0), words alone decide, and only where there are
hardly any; a question in another language than its passages is then never refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from itertools import islice
from statistics import fmean

from django.conf import settings

from ingestion.words.language import WORD, Language, language_of
from search.answering.extractive import Nearness, stems
from search.passage_text import units
from search.questions import Passage

# Of a question's words in one passage: with so many nothing else is asked; with so few it is refused where nothing is
# known of cosines.
CERTAIN, HARDLY_ANY = 0.8, 0.34
# The nearest sentences, whose mean decides: one alone is near by chance.
NEAREST = 3
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
        return fmean(nlargest(NEAREST, near)) < settings.ANSWER_LEAST_COSINE
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
