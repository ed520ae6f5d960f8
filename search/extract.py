"""A question and its passages -> the sentences that answer best, for sites without a language model.

Chooses by the question's words, rare ones first, within passages that the retriever already ranked by
meaning; generates nothing. Prose is cut into sentences; a block of code stays whole.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

# More than three extracts read like the list of passages below them.
EXTRACTS = 3
EXTRACT_CHARS = 600
PREVIEW_CHARS = 240
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

CODE = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)[^\n]*$)", re.DOTALL | re.MULTILINE)
PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*+]|\d{1,3}[.)])\s)")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\sa-z])|(?<=[。！？])")
LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
EMPHASIS = re.compile(r"\*\*|__(?=\S)|(?<=\S)__|^\s*[-*+]\s+|^\s*>\s?")
BACKTICKS = re.compile(r"`+")
WORD = re.compile(r"[^\W_]+")
# Scripts without spaces: every two neighbouring characters count as a word.
SPACELESS = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Extract:
    """Sentences of one passage, and the passage's number."""

    text: str
    number: int


def best_extracts(question: str, texts: Sequence[str]) -> list[Extract]:
    """At most EXTRACTS, in the order of ``texts``; none only when there is no text."""
    passages = [list(units(text)) for text in texts]
    wanted = rarity(words(question), [u for p in passages for u in p])
    scored = [(best_unit(p, wanted), n) for n, p in enumerate(passages, 1) if p]
    best = max((score for (score, _), _ in scored), default=0.0)
    chosen = [(at, n) for (score, at), n in scored if score >= WORTH * best][:EXTRACTS]
    if best == 0.0:
        chosen = chosen[:1]
    return [Extract(around(passages[n - 1], at), n) for at, n in chosen]


def preview(markdown: str) -> str:
    """The beginning of a passage as plain text."""
    return shortened(" ".join(" ".join(units(markdown)).replace("`", "").split()), PREVIEW_CHARS)


def units(markdown: str) -> Iterator[str]:
    """Sentences and whole blocks of code (between backticks), in order, without headings and markup."""
    for n, part in enumerate(CODE.split(markdown)):
        if n % 2:
            yield code("\n".join(part.splitlines()[1:-1]))
        else:
            yield from sentences(part)


def code(block: str) -> str:
    """Between backticks, which readers of an answer understand as code."""
    return f"`{block.replace('`', '').strip()}`"


def is_code(unit: str) -> bool:
    return unit.startswith("`") and unit.find("`", 1) == len(unit) - 1


def sentences(prose: str) -> Iterator[str]:
    for paragraph in PARAGRAPH.split(prose):
        lines = (line for line in paragraph.splitlines() if not line.lstrip().startswith(("#", "|--", "---")))
        text = " ".join(" ".join(plain(line) for line in lines).split())
        yield from (s for s in SENTENCE.split(text) if s)


def plain(line: str) -> str:
    return EMPHASIS.sub("", LINK.sub(r"\1", line))


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


def best_unit(passage: Sequence[str], wanted: dict[str, float]) -> tuple[float, int]:
    """(score, position) of the first best unit."""
    scores = [score(unit, wanted) for unit in passage]
    best = max(range(len(scores)), key=scores.__getitem__)
    return scores[best], best


def score(unit: str, wanted: dict[str, float]) -> float:
    """What the unit says of the question, a little less for every doubling of its length, and half in code,
    which shows how but does not say what."""
    said = words(unit)
    weight = (0.5 if is_code(unit) else 1) / (1 + 0.1 * math.log2(1 + len(said)))
    return weight * sum(wanted[w] for w in said & wanted.keys())


def around(passage: Sequence[str], at: int) -> str:
    """The unit, and what follows while it is short or announces something."""
    chosen = [passage[at]]
    for following in passage[at + 1 : at + 1 + FOLLOWING]:
        if not chosen[-1].endswith(":") and sum(map(len, chosen)) >= SHORT_CHARS:
            break
        chosen.append(following)
    return balanced(shortened(joined(chosen), EXTRACT_CHARS))


def joined(chosen: Sequence[str]) -> str:
    """One text, in which code has its own lines."""
    text = chosen[0]
    for before, unit in pairwise(chosen):
        text += ("\n" if is_code(before) or is_code(unit) else " ") + unit
    return text


def balanced(text: str) -> str:
    """Without backticks when one of them opens code that nothing closes."""
    return text if len(BACKTICKS.findall(text)) % 2 == 0 else text.replace("`", "")


def shortened(text: str, size: int) -> str:
    return text if len(text) <= size else text[:size].rsplit(" ", 1)[0] + " …"
