"""A question with words that no document has → the question as it may be meant; for sites without a language model.

In: the question, how often terms occur in the index, and its vocabulary. Out: another text to search for as well, or
none. A word that no chunk holds finds nothing by itself; it is replaced by the most frequent word that is one typing
error away, or two where it is long. An acronym that hardly any chunk has is replaced by what it stands for.

Both texts are searched, and the index tells which of them counts: the corrected one does when passages are nearer to
it, and readers are told (``Passage.found_by``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import OSA

from ingestion.words.language import language_of
from ingestion.words.terms import terms_of, tokens
from ingestion.words.vocabulary import LONGEST, Vocabulary
from ingestion.words.weights import Frequencies, telling
from search.retrieval.fusion import Pools

# Words that are looked up in one question; each takes .2 ms, and a long one 1.
CORRECTED = 3
# Shorter words are one error away from words that mean something else ("shop" and "show"); a word of LONG letters may
# have two.
LEAST_LETTERS, LONG = 6, 8
# Words of so few letters are mistyped, too, though nobody knows what was meant ("paeg").
LEAST_MISTYPED = 4
# Hardly anybody means a word that fewer than one chunk in so many holds: "shopping" was taken for "stopping".
RARE = 2000
# An acronym in fewer chunks finds little by itself.
FEW_CHUNKS = 3
# So much larger is the best cosine of what is meant. No correction of a right question reached .01, on the questions on
# Django's and OpenShift's documentation; of those of wrong ones, three in four did. With one error in each of Django's
# questions nDCG@10 is .830 so, .826 with the passages of both texts, .805 without corrections.
NEARER = 0.01
LETTERS = "abcdefghijklmnopqrstuvwxyz_"


def corrected(question: str, frequencies: Frequencies, vocabulary: Vocabulary) -> str:
    """Return the question as it may be meant; empty where it is right, nothing is near, or no words were counted."""
    if not (frequencies.chunks and vocabulary.words):
        return ""
    asked, language = tokens(question), language_of(question)
    least = max(1, frequencies.chunks / RARE)
    text, tried = question, 0
    for word in dict.fromkeys(telling(asked, language)):
        if word.lower() in vocabulary.words and word.lower() not in vocabulary.acronyms:
            continue
        acronym = vocabulary.acronyms.get(word.lower(), "") if len(word) > 2 or word.isupper() else ""
        if not (acronym or is_correctable(word)):
            continue
        chunks = chunks_with(word, language.stemmer, frequencies)
        meant = acronym if chunks < FEW_CHUNKS else ""
        if not (meant or chunks) and tried < CORRECTED and is_correctable(word):
            tried += 1
            meant = nearest(word.lower(), vocabulary, least)
        if meant:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", meant, text)  # words have no backslashes
    return text if text != question else ""


def is_meant(corrected: Pools, asked: Pools) -> bool:
    """Return whether the passages found for the corrected text are so much nearer to it that it is what was meant.

    Where vectors of meaning are not searched, it is when nothing is found for the question itself.
    """
    if "dense" not in asked:
        return any(corrected.values()) and not any(asked.values())
    best = [max(pools.get("dense", {}).values(), default=0.0) for pools in (corrected, asked)]
    return best[0] - best[1] > NEARER


def is_mistyped(word: str, vocabulary: Vocabulary) -> bool:
    """Return whether a word is none of the vocabulary's, but may be one of them with one typing error."""
    word, words = word.lower(), vocabulary.words
    is_word = LEAST_MISTYPED <= len(word) <= LONGEST and word.isascii() and word.isalpha()
    return is_word and word not in words and any(each in words for each in edits(word))


def is_correctable(word: str) -> bool:
    """Return whether a word is one of ASCII letters, and neither too short nor too long to be corrected."""
    return LEAST_LETTERS <= len(word) <= LONGEST and word.isascii() and word.replace("_", "").isalpha()


def chunks_with(word: str, stemmer: str, frequencies: Frequencies) -> int:
    """Return about how many chunks hold a word: a name counts as itself, not by its parts."""
    terms = np.array([term for term, share in terms_of(word, stemmer) if share == 1.0], np.uint32)
    return int(frequencies.counted(terms).max(initial=0))


def nearest(word: str, vocabulary: Vocabulary, least: float) -> str:
    """Return the most frequent word that is one error away, or two where the word is long; empty where there is none.

    Words that fewer than ``least`` chunks hold do not count. Of two errors, the first letter is rarely one.
    """
    words = vocabulary.words
    near = [each for each in edits(word) if words.get(each, 0) >= least]
    if not near and len(word) >= LONG:
        beginning = vocabulary.by_first_letter.get(word[0], ())
        found = process.extract_iter(word, beginning, scorer=OSA.distance, score_cutoff=2)
        near = [each for each, _, _ in found if words[each] >= least]
    return max(near, key=lambda each: words[each], default="")


def edits(word: str) -> Iterator[str]:
    """Yield what one error makes of a word: a letter lost, doubled, wrong or added, or two that changed places."""
    for at in range(len(word) + 1):
        head, tail = word[:at], word[at:]
        yield from (f"{head}{letter}{tail}" for letter in LETTERS)
        if tail:
            yield head + tail[1:]
            yield from (f"{head}{letter}{tail[1:]}" for letter in LETTERS)
        if len(tail) > 1:
            yield f"{head}{tail[1]}{tail[0]}{tail[2:]}"
