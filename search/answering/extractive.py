"""A question and its passages -> the sentences that answer best, for sites without a language model.

Compares the stems of words, rare ones first, within passages that the retriever already ranked by meaning; generates
nothing. ``passage_text`` cuts passages into sentences and blocks of code. Stems are Snowball's, of the language that
the passages are in: queries meets query, instance does not meet install.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, zip_longest

import snowballstemmer

from ingestion.words.language import WORD, Language, language_of
from search.passage_text import Unit, shortened, units

# More than three extracts read like the list of passages below them.
EXTRACTS = 3
EXTRACT_CHARS = 600
# A shorter sentence is given its neighbours, because "Yes, it can." answers nothing alone.
SHORT_CHARS = 120
FOLLOWING = 2
# A passage whose best sentence has less than this part of the best score is left to the list.
WORTH = 0.5
# The words that shape a question in English; words of other languages weigh little by being frequent.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can could do does for from has have how i if in into is it its me my of on or "
        "should so that the their them there these they this those to use using was what when where which who "
        "why will with would you your",
    )
)
# Scripts without spaces: every two neighbouring characters count as a word.
SPACELESS = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")
# A stem takes 33 µs to compute, and an answer of five passages has about 400 different words.
STEMS_KEPT = 10_000
# Hashes and base64 are words, too; they are not kept whole.
WORD_CHARS = 40


@dataclass(frozen=True, slots=True)
class Extract:
    """Sentences of one passage, and the passage's number."""

    text: str
    number: int


def best_extracts(question: str, texts: Sequence[str], fences: Sequence[str] = ()) -> list[Extract]:
    """Return at most EXTRACTS, in the order of ``texts``; none only when there is no text.

    ``fences`` are the lines that open the blocks of code in which the texts begin, empty where a text begins in prose.
    """
    passages = [list(units(text, fence)) for text, fence in zip_longest(texts, fences, fillvalue="")]
    every = [unit for passage in passages for unit in passage]
    language = language_of(" ".join(unit.plain for unit in every if not unit.is_code))
    asked = stems(question, language)
    frequency = Counter(stem for unit in every for stem in stems(unit.text, language) & asked)
    # A word in every sentence tells them apart no better than a stop word.
    weights = {stem: math.log(1 + len(every) / count) for stem, count in frequency.items()}
    # Each passage's best score, and the extract that begins with the first unit of this score.
    found: list[tuple[float, Extract]] = []
    for number, passage in enumerate(passages, 1):
        scores = [score(unit, weights, language) for unit in passage]
        if scores:
            at = scores.index(max(scores))
            found.append((scores[at], Extract(with_neighbours(passage, at), number)))
    best = max((points for points, _ in found), default=0.0)
    chosen = [extract for points, extract in found if points >= WORTH * best]
    return chosen[: EXTRACTS if best else 1]


def score(unit: Unit, weights: dict[str, float], language: Language) -> float:
    """Return the sum of the weights of the question's stems that the unit has.

    A little less for every doubling of its length, and half in code, which shows how but does not say what.
    """
    said = stems(unit.text, language)
    factor = (0.5 if unit.is_code else 1) / (1 + 0.1 * math.log2(1 + len(said)))
    return factor * sum(weights[stem] for stem in said & weights.keys())


def stems(text: str, language: Language) -> set[str]:
    """Return the stems of the words in ``text``, without stop words.

    Scripts without spaces have no words: their stems are the pairs of neighbouring characters.
    """
    found = set()
    for word in WORD.findall(text.casefold()):
        if SPACELESS.search(word):
            found |= {word[at : at + 2] for at in range(max(1, len(word) - 1))}
        elif word not in STOP_WORDS:
            found.add(stem_of(word[:WORD_CHARS], language.stemmer))
    return found


@lru_cache(STEMS_KEPT)
def stem_of(word: str, stemmer: str) -> str:
    """Return the stem of a word."""
    # A stemmer holds the word that it works on: one for each call, which costs 0.3 µs, is safe in threads.
    stem: str = snowballstemmer.stemmer(stemmer).stemWord(word)
    return stem


def with_neighbours(passage: Sequence[Unit], at: int) -> str:
    """Return the unit at ``at``, and those that follow while it is short or announces something.

    They are one text, in which code has its own lines.
    """
    chosen = [passage[at]]
    for following in passage[at + 1 : at + 1 + FOLLOWING]:
        if not chosen[-1].text.endswith(":") and sum(len(u.text) for u in chosen) >= SHORT_CHARS:
            break
        chosen.append(following)
    text = chosen[0].text
    for before, unit in pairwise(chosen):
        text += ("\n" if before.is_code or unit.is_code else " ") + unit.text
    return shortened(text, EXTRACT_CHARS)
