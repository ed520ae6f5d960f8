"""A question and its passages -> the sentences that answer best, for sites without a language model.

Chooses by the question's words, rare ones first, within passages that the retriever already ranked by
meaning; generates nothing. ``passage_text`` cuts passages into sentences and blocks of code.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from search.passage_text import Unit, shortened, units

# More than three extracts read like the list of passages below them.
EXTRACTS = 3
EXTRACT_CHARS = 600
# A shorter sentence is given its neighbours, because "Yes, it can." answers nothing alone.
SHORT_CHARS = 120
FOLLOWING = 2
# A passage whose best sentence has less than this part of the best score is left to the list.
WORTH = 0.5
# Words of one stem share their beginning: migrate, migrations; index, indexes.
STEM_CHARS = 5
# The words that shape a question in English; words of other languages weigh little by being frequent.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can could do does for from has have how i if in into is it its me my of on or "
        "should so that the their them there these they this those to use using was what when where which who "
        "why will with would you your",
    )
)

WORD = re.compile(r"[^\W_]+")
# Scripts without spaces: every two neighbouring characters count as a word.
SPACELESS = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Extract:
    """Sentences of one passage, and the passage's number."""

    text: str
    number: int


def best_extracts(question: str, texts: Sequence[str], fences: Sequence[str] = ()) -> list[Extract]:
    """Return at most EXTRACTS, in the order of ``texts``; none only when there is no text. ``fences`` are those that
    are open where each text begins."""
    read = [list(units(text, fence)) for text, fence in zip_longest(texts, fences, fillvalue="")]
    wanted = rarity(words(question), [u.text for p in read for u in p])
    scored = [(best_unit(p, wanted), n) for n, p in enumerate(read, 1) if p]
    best = max((score for (score, _), _ in scored), default=0.0)
    chosen = [(at, n) for (score, at), n in scored if score >= WORTH * best][:EXTRACTS]
    if best == 0.0:
        chosen = chosen[:1]
    return [Extract(around(read[n - 1], at), n) for at, n in chosen]


def words(text: str) -> set[str]:
    found = (w.casefold() for w in WORD.findall(text))
    return {stem for w in found if w not in STOP_WORDS for stem in stems(w)}


def stems(word: str) -> Iterator[str]:
    if not SPACELESS.search(word):
        yield word[:STEM_CHARS]
        return
    yield from (word[i : i + 2] for i in range(max(1, len(word) - 1)))


def rarity(wanted: set[str], candidates: Sequence[str]) -> dict[str, float]:
    """A word in every candidate tells them apart no better than a stop word."""
    frequency = Counter(w for c in candidates for w in words(c) & wanted)
    return {w: math.log(1 + len(candidates) / frequency[w]) for w in frequency}


def best_unit(passage: Sequence[Unit], wanted: dict[str, float]) -> tuple[float, int]:
    """(score, position) of the first best unit."""
    scores = [score(unit, wanted) for unit in passage]
    best = max(range(len(scores)), key=scores.__getitem__)
    return scores[best], best


def score(unit: Unit, wanted: dict[str, float]) -> float:
    """What the unit says of the question, a little less for every doubling of its length, and half in code,
    which shows how but does not say what."""
    said = words(unit.text)
    weight = (0.5 if unit.is_code else 1) / (1 + 0.1 * math.log2(1 + len(said)))
    return weight * sum(wanted[w] for w in said & wanted.keys())


def around(passage: Sequence[Unit], at: int) -> str:
    """Return the unit, and what follows while it is short or announces something."""
    chosen = [passage[at]]
    for following in passage[at + 1 : at + 1 + FOLLOWING]:
        if not chosen[-1].text.endswith(":") and sum(len(u.text) for u in chosen) >= SHORT_CHARS:
            break
        chosen.append(following)
    return shortened(joined(chosen), EXTRACT_CHARS)


def joined(chosen: Sequence[Unit]) -> str:
    """Return one text, in which code has its own lines."""
    text = chosen[0].text
    for before, unit in pairwise(chosen):
        text += ("\n" if before.is_code or unit.is_code else " ") + unit.text
    return text
