"""A question and its passages → whether they can answer it at all.

Retrieval always finds something, and no score of it tells an answer from the nearest miss. What tells is what the
question's words are to the index: where a third of their weight is in words that hardly any chunk has and none of the
best passages, these documents do not speak of it. One passage with nearly all words may answer all the same. Where the
model's cosines are known (ANSWER_LEAST_COSINE above 0) the nearest sentences have a say: far ones cannot answer, and
near ones may, in other words; and where a name is one of those words ("… in Lisp?") only near ones.

With the stand-in model, over 90 pages of Django's documentation: 5 % of 103 questions that they answer are refused,
half of which are in other words than the pages', and 95 % of 99 on other subjects; over all 650 pages, whose notes for
developers speak of Git, cron and GDAL, 4 % of 245 and 86 %. With a typing error in each, over 90 pages, 8 % and 95 %;
by words alone, 4 % and 77 %. Over OpenShift's documentation: one of 205, and 86 % of those 99, some of which are about
Kubernetes and Linux. The rule was chosen among some 70 by these questions, OpenShift's beside them: expect less of
others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from heapq import nlargest
from itertools import islice
from statistics import fmean

import numpy as np
from django.conf import settings

from ingestion.words.language import WORD, Language, language_of
from ingestion.words.terms import terms_of, tokens
from ingestion.words.weights import Frequencies, chunk_weights, question_weights
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
    """Return whether the passages say nothing of what is asked.

    ``nearness`` returns how near each sentence is to the question in meaning, or nothing; ``counted`` says how many
    chunks hold each term.
    """
    language = language_of(" ".join(passage.text for passage in passages[:PASSAGES]))
    covered, foreign = coverage(question, passages, language), is_foreign(question, language)
    if covered >= CERTAIN:
        return False
    is_counted = counted.frequencies.chunks >= LEAST_CHUNKS
    lacking = lacking_terms(question, passages[:PASSAGES], counted.frequencies) if is_counted and not foreign else set()
    unheard = bool(lacking) and share_of(lacking, question, counted) > UNHEARD_OF
    sentences = [unit.plain for p in passages[:PASSAGES] for unit in islice(units(p.text), SENTENCES)]
    near = nearness(sentences) if settings.ANSWER_LEAST_COSINE else ()
    if near:
        must_be_plain = unheard or names_one_of(lacking, question)
        return fmean(nlargest(NEAREST, near)) < settings.ANSWER_LEAST_COSINE * (PLAINLY if must_be_plain else 1)
    return unheard or (covered < HARDLY_ANY and not foreign and not is_counted)


def lacking_terms(question: str, passages: Sequence[Passage], frequencies: Frequencies) -> set[int]:
    """Return the terms of the question that hardly any chunk has and none of the passages."""
    asked = question_weights(question, frequencies).terms
    rare = asked[frequencies.counted(asked) * RARE < frequencies.chunks]
    if not len(rare):
        return set()
    held = np.concatenate([chunk_weights(p.text, p.heading, p.title).terms for p in passages])
    return set(rare[~np.isin(rare, held)].tolist())


def share_of(lacking: Collection[int], question: str, counted: Counted) -> float:
    """Return the share, by weight, that the terms in ``lacking`` have of all terms of the question.

    Terms of a word that may be mistyped are left out of ``lacking``.
    """
    asked, stemmer = question_weights(question, counted.frequencies), language_of(question).stemmer
    mistyped = {
        t for word in tokens(question) if is_mistyped(word, counted.vocabulary) for t, _ in terms_of(word, stemmer)
    }
    unknown = np.isin(asked.terms, np.array([*{*lacking} - mistyped], np.uint32))
    return float(asked.weights[unknown].sum() / asked.weights.sum())


def names_one_of(lacking: Collection[int], question: str) -> bool:
    """Return whether one of the terms is a name in the question: a word with a capital letter that is not its first.

    In German every noun has one, and in a title nearly every word.
    """
    words, language = tokens(question), language_of(question)
    if language.code == "de" or 2 * sum(word[0].islower() for word in words) <= len(words):
        return False
    names = [word for word in words[1:] if word != word.lower()]
    return any(term in lacking for name in names for term, share in terms_of(name, language.stemmer) if share == 1.0)


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
