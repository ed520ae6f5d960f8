"""Chunks and questions → sparse vectors whose inner product is their BM25 score.

In: a chunk's text with its heading path and its document's title, or a question and how often terms occur. Out:
``TermWeights``. A chunk's weights are the saturated, length-normalised frequencies of its terms; a question's are the
inverse document frequencies of its terms. Terms of the heading path and the title count as if the text had them several
times.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ingestion.types import FloatArray, IndexArray, TermWeights
from ingestion.words.language import Language, language_among
from ingestion.words.terms import is_name, terms_of, tokens

# Over 247 questions on Django's documentation and 205 on OpenShift's, nDCG@10 with these is .825. A saturation of 0.9
# costs .008; no headings cost .029, and title and headings three times .010; no length costs .019.
SATURATION = 1.5
LENGTH_SHARE = 0.75
HEADING_COUNT = 1.5
# The tokens of a usual chunk. Chunks share one budget, so a constant serves: 60 costs .001, 240 costs .006.
USUAL_TOKENS = 120


@dataclass(frozen=True, slots=True)
class Frequencies:
    """In how many of ``chunks`` chunks each term occurs: hashes in ascending order, and a count of each."""

    chunks: int = 0
    terms: IndexArray = field(default_factory=lambda: np.empty(0, np.uint32))
    counts: IndexArray = field(default_factory=lambda: np.empty(0, np.uint32))

    def counted(self, terms: IndexArray) -> IndexArray:
        """Return in how many chunks each of the terms occurs."""
        if not len(self.terms):
            return np.zeros(len(terms), np.uint32)
        at = np.minimum(np.searchsorted(self.terms, terms), len(self.terms) - 1)
        return np.where(self.terms[at] == terms, self.counts[at], np.uint32(0))

    def rarity(self, terms: IndexArray) -> FloatArray:
        """Return BM25's inverse document frequency of each term."""
        counts = self.counted(terms)
        rarity: FloatArray = np.log1p((self.chunks - counts + 0.5) / (counts + 0.5)).astype(np.float32)
        return rarity


def chunk_weights(text: str, heading: str, title: str) -> TermWeights:
    """Return the terms of a chunk's text, heading and title with their weights (BM25 without the rarity of a term)."""
    counts: Counter[str] = Counter(tokens(text))
    language, length = language_among(counts), counts.total()
    fields: defaultdict[str, float] = defaultdict(float, counts)
    for token in tokens(heading if heading.startswith(title) else f"{title} {heading}"):
        fields[token] += HEADING_COUNT
    terms, frequencies = term_frequencies(fields, language)
    spread = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length / USUAL_TOKENS)
    return TermWeights(terms, frequencies * (SATURATION + 1) / (frequencies + spread))


def question_weights(text: str, frequencies: Frequencies) -> TermWeights:
    """Return the weights of a question's terms; empty where it has none."""
    asked = tokens(text)
    language = language_among(Counter(asked))
    terms, shares = term_frequencies(Counter(telling(asked, language)), language)
    return TermWeights(terms, shares * frequencies.rarity(terms))


def share_of_names(text: str) -> float:
    """Return which share of a question's tokens looks like code rather than prose, from 0 to 1."""
    asked = tokens(text)
    told = telling(asked, language_among(Counter(asked)))
    return sum(map(is_name, told)) / max(1, len(told))


def telling(asked: Sequence[str], language: Language) -> list[str]:
    """Return a question's tokens without "how do I"; all of them where there are no others.

    They are rare in documentation and would weigh much: nDCG@10 is .825 without them and .810 with them. A capital
    within the question means a name: Django has an expression ``When``.
    """
    words = language.question_words
    told = [token for at, token in enumerate(asked) if token not in words and (at or token.lower() not in words)]
    return told or list(asked)


def term_frequencies(counts: Mapping[str, float], language: Language) -> tuple[IndexArray, FloatArray]:
    """Return the terms of counted tokens, and how often each occurs, parts by their shares."""
    found: defaultdict[int, float] = defaultdict(float)
    for token, count in counts.items():
        for term, share in terms_of(token, language.stemmer):
            found[term] += share * count
    terms = np.fromiter(found, np.uint32, len(found))
    return terms, np.fromiter(found.values(), np.float32, len(found))
