"""A question and its passages → the extracts that answer best, for sites without a language model.

Chooses by words and, where it is given, by meaning, within passages that the retriever already ranked; generates
nothing. ``passage_text`` cuts passages into units: sentences, items of lists, rows of tables and blocks of code. An
extract is a unit with what makes it readable: its neighbours while it is short, the sentence that introduces code, the
whole of a list or a table where there is room. Stems are Snowball's, of the language that the passages are in: queries
meets query, instance does not meet install.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import snowballstemmer

from ingestion.words.language import WORD, Language, language_of
from search.code_marks import RUN, open_fence
from search.passage_text import Unit, shortened, units

# More than three extracts read like the list of passages below them.
EXTRACTS = 3
EXTRACT_CHARS = 600
# A shorter sentence is given its neighbours, because "Yes, it can." answers nothing alone.
SHORT_CHARS = 120
FOLLOWING = 2
# A passage whose best unit has less than this part of the best score is left to the list.
WORTH = 0.5
# How much of a score is meaning, the rest being words.
MEANING = 0.5
# What a passage loses to the one that the retriever ranked before it. Of 20 questions about Django, rated by hand from
# 0 to 2, the first extracts have .95 on average with it, .90 without, .75 when only words count.
RANK = 0.06
# Words of the heading count for the sentences below it, less than their own.
HEADING_WEIGHT = 0.4
# A sentence that begins so needs the one before it.
DEPENDENT = re.compile(
    r"(?:this|that|these|those|it|they|such|however|instead|otherwise|also|then|in that case)\b", re.I
)
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

# Sentences → how near each is to the question in meaning, from 0 to 1; empty where that is not known.
Nearness = Callable[[Sequence[str]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Extract:
    """Units of one passage as Markdown, the passage's number, and the heading in the passage above them."""

    text: str
    number: int
    heading: str = ""


def best_extracts(
    question: str,
    texts: Sequence[str],
    headings: Sequence[str] = (),
    nearness: Nearness = lambda sentences: (),
) -> list[Extract]:
    """Return at most EXTRACTS extracts of the texts, best first; none only when there is no text.

    ``headings`` are those of the texts, in their order; ``nearness`` returns how near each sentence is to the question
    in meaning, or nothing.
    """
    found = scored(question, texts, headings, nearness)
    best = max((points for points, _ in found), default=0.0)
    ranked = sorted(found, key=lambda entry: -entry[0])
    chosen = [extract for points, extract in ranked if points >= WORTH * best]
    return chosen[: EXTRACTS if best else 1]


def scored(
    question: str, texts: Sequence[str], headings: Sequence[str], nearness: Nearness
) -> list[tuple[float, Extract]]:
    """Return each passage's best score, and the extract around the first unit that has it."""
    passages = [list(units(text)) for text in texts]
    every = [unit for passage in passages for unit in passage]
    language = language_of(" ".join(unit.plain for unit in every if not unit.is_code))
    asked = stems(question, language)
    frequency = Counter(stem for unit in every for stem in stems(unit.text, language) & asked)
    above = [*headings, *[""] * (len(passages) - len(headings))]
    for passage, heading in zip(passages, above, strict=True):
        for stem in (stems(heading, language) & asked) - frequency.keys():
            frequency[stem] = max(1, len(passage))
    # A word in every sentence tells them apart no better than a stop word.
    weights = {stem: math.log(1 + len(every) / count) for stem, count in frequency.items()}
    near = iter(nearness([unit.plain for unit in every]))
    points = [
        [score(unit, heading, weights, language) for unit in passage]
        for passage, heading in zip(passages, above, strict=True)
    ]
    most = max((value for values in points for value in values), default=0.0) or 1.0
    found = []
    for number, (passage, values) in enumerate(zip(passages, points, strict=True), 1):
        meanings = [next(near, None) for _ in passage]
        total = [
            v if m is None else (1 - MEANING) * v / most + MEANING * m for v, m in zip(values, meanings, strict=True)
        ]
        if total:
            at = total.index(max(total))
            ranked = total[at] * (1 - RANK) ** (number - 1)
            found.append((ranked, Extract(readable(passage, at), number, passage[at].heading)))
    return found


def score(unit: Unit, heading: str, weights: dict[str, float], language: Language) -> float:
    """Return the sum of the weights of the question's stems that the unit or, for less, its heading has.

    A little less for every doubling of its length, and half in code, which shows how but does not say what.
    """
    said = stems(unit.text, language)
    above = (stems(f"{heading} {unit.heading}", language) & weights.keys()) - said
    factor = (0.5 if unit.is_code else 1) / (1 + 0.1 * math.log2(1 + len(said)))
    own = sum(weights[stem] for stem in said & weights.keys())
    return factor * (own + HEADING_WEIGHT * sum(weights[stem] for stem in above)) if own else 0.0


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


def readable(passage: Sequence[Unit], at: int) -> str:
    """Return the unit at ``at`` with the units that a reader needs to understand it, as Markdown."""
    start, end = at, at + 1
    if passage[at].kind in ("item", "row"):
        start, end = whole_block(passage, at)
    introduced = passage[at].is_code or passage[start].kind in ("item", "row")
    if start and introduced and (passage[at].is_code or passage[start - 1].text.endswith(":")):
        start -= passage[start - 1].kind == "sentence"
    elif start and DEPENDENT.match(passage[at].plain) and passage[start - 1].block == passage[at].block:
        start -= 1
    for following in passage[end : end + FOLLOWING]:
        said = sum(len(unit.text) for unit in passage[start:end])
        if end >= len(passage) or (not passage[end - 1].text.endswith(":") and said >= SHORT_CHARS):
            break
        if following.heading != passage[at].heading:
            break
        end = whole_block(passage, end)[1] if passage[end].kind in ("item", "row") else end + 1
    return cut(markdown_of(passage[start:end]))


def whole_block(passage: Sequence[Unit], at: int) -> tuple[int, int]:
    """Return where the list or table of the unit at ``at`` begins and ends, or as much of it as there is room for."""
    start, end = at, at + 1
    while end < len(passage) and passage[end].block == passage[at].block:
        end += 1
    while start and passage[start - 1].block == passage[at].block:
        start -= 1
    if sum(len(unit.text) for unit in passage[start:end]) <= EXTRACT_CHARS:
        return start, end
    room, last = EXTRACT_CHARS, at
    while last < end and (room := room - len(passage[last].text)) > 0:
        last += 1
    return at, max(last, at + 1)


def markdown_of(chosen: Sequence[Unit]) -> str:
    """Return the units as one text, in which code, items and rows have their own lines."""
    text = line_of(chosen[0], first_row=chosen[0].kind == "row")
    for before, unit in pairwise(chosen):
        alone = before.is_code or unit.is_code or unit.mark or "row" in (before.kind, unit.kind)
        first_row = unit.kind == "row" and before.kind != "row"
        text += ("\n" if alone else " ") + line_of(unit, first_row=first_row)
    return text


def cut(text: str) -> str:
    """Return at most about EXTRACT_CHARS of an extract: whole words, in a block of code whole lines."""
    fence = open_fence(text[:EXTRACT_CHARS])
    if len(text) <= EXTRACT_CHARS or not fence:
        return shortened(text, EXTRACT_CHARS)
    kept = text[:EXTRACT_CHARS].rpartition("\n")[0]
    return f"{kept}\n…\n{fence}" if open_fence(kept) else f"{kept} …"


def line_of(unit: Unit, *, first_row: bool) -> str:
    """Return a unit as a line of Markdown, with the mark of its list item in front.

    Code of several lines is put into a fence, and the rule of a table is added below its first row.
    """
    if unit.is_code and "\n" in unit.plain:
        fence = "`" * max(3, 1 + max(map(len, RUN.findall(unit.plain)), default=0))
        return f"{fence}\n{unit.plain}\n{fence}"
    rule = "\n|" + " --- |" * (unit.text.count(" | ") + 1) if first_row else ""
    return unit.mark + unit.text + rule
