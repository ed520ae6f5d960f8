"""A question and its passages → whether they can answer it at all.

Retrieval always finds something, and no score of it tells an answer from the nearest miss. What tells is what the
question's words are to the index: where a third of their weight is in words that hardly any chunk has and no passage
has, these documents do not speak of it. One passage with nearly all words may answer all the same. Where the model's
cosines are known (ANSWER_LEAST_COSINE above 0) the nearest sentences have a say: far ones cannot answer, and near ones
may, in other words.

With the stand-in model, over 90 pages of Django's documentation: 5 % of 103 questions that they answer are refused,
half of which are in other words than the pages', and 92 % of 99 on other subjects; with a typing error in each, 11 %
and 89 %; by words alone, 4 % and 80 %. Over OpenShift's documentation, by which nothing was chosen: 0 of 205, and
94 % of 78 on other subjects (72 % of 81 that are about Django's); by words alone, one and 77 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from itertools import islice
from statistics import fmean

import numpy as np
from django.conf import settings

from ingestion.words.language import WORD, Language, language_of
from ingestion.words.terms import terms_of, tokens
from ingestion.words.weights import chunk_weights, question_weights
from search.answering.extractive import Nearness, stems
from search.passage_text import units
from search.questions import Passage
from search.retrieval.corrections import is_mistyped
from search.retrieval.query_vectors import Counted

# Of a question's words in one passage: with so many nothing else is asked; with so few it is refused where nothing is
# known of cosines and of other chunks.
CERTAIN, HARDLY_ANY = 0.8, 0.34
# A word is unheard of in fewer than one chunk in RARE; a question is, by this share of its words' weight. In a small
# index most words are.
RARE, UNHEARD_OF = 1000, 1 / 3
LEAST_CHUNKS = 1000
# The nearest sentences, whose mean decides: one alone is near by chance. Twice the least cosine is plainly near.
NEAREST, PLAINLY = 3, 2
# The passages that are looked at, and the sentences of each: about 0.05 s with the stand-in on two cores. Twelve decide
# the same; two passages refuse 10 % of what the index answers.
PASSAGES, SENTENCES = 3, 6


def out_of_scope(question: str, passages: Sequence[Passage], nearness: Nearness, counted: Counted) -> bool:
    """Return whether the passages say nothing of what is asked; ``counted`` is what the index's words are."""
    language = language_of(" ".join(passage.text for passage in passages[:PASSAGES]))
    covered, foreign = coverage(question, passages, language), is_foreign(question, language)
    if covered >= CERTAIN:
        return False
    is_counted = counted.frequencies.chunks >= LEAST_CHUNKS
    unheard = is_counted and not foreign and unheard_of(question, passages, counted) > UNHEARD_OF
    sentences = [unit.plain for p in passages[:PASSAGES] for unit in islice(units(p.text), SENTENCES)]
    near = nearness(sentences) if settings.ANSWER_LEAST_COSINE else ()
    if near:
        return fmean(nlargest(NEAREST, near)) < settings.ANSWER_LEAST_COSINE * (PLAINLY if unheard else 1)
    return unheard or (covered < HARDLY_ANY and not foreign and not is_counted)


def unheard_of(question: str, passages: Sequence[Passage], counted: Counted) -> float:
    """Return which share of the question's words, by weight, hardly any chunk has and no passage.

    A word that may be mistyped tells nothing.
    """
    frequencies = counted.frequencies
    asked = question_weights(question, frequencies)
    rare = frequencies.counted(asked.terms) * RARE < frequencies.chunks
    if not rare.any():
        return 0.0
    stemmer = language_of(question).stemmer
    mistyped = [
        t for word in tokens(question) if is_mistyped(word, counted.vocabulary) for t, _ in terms_of(word, stemmer)
    ]
    held = np.concatenate(
        [np.array(mistyped, np.uint32), *(chunk_weights(p.text, p.heading, p.title).terms for p in passages)]
    )
    return float(asked.weights[rare & ~np.isin(asked.terms, held)].sum() / asked.weights.sum())


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
