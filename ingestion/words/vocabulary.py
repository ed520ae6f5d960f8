"""Texts → the words and acronyms that they hold, by which misspelled questions are corrected.

In: texts of chunks, one after the other. Out: a ``Vocabulary``: in how many chunks each word occurs, and what acronyms
stand for where a text says so ("Cross-Site Request Forgery (CSRF)"). Bounded: rare words are left out, they may be
errors themselves; as are short ones, which are too near to others.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from ingestion.words.terms import REMEMBERED, SEGMENT, tokens

# 0.5 MB before it is compressed; all of Django's documentation has 9 000 words that two chunks hold.
WORDS, ACRONYMS = 50_000, 2000
FEWEST_CHUNKS = 2
SHORTEST, LONGEST = 4, 40
IN_PARENTHESES = re.compile(r"(?<=[ \n])\(([A-Z][\w -]{1,60})\)")
# What may be meant by it. A pattern that begins with these words would try each word of a text: 0.09 ms, now 0.01.
BEFORE, BEFORE_CHARS = re.compile(r"(?<![\w-])(?:[\w-]+[ \n]){1,8}\Z"), 400
ACRONYM = re.compile(r"[A-Z]{2,6}")
PART = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Vocabulary:
    """Words with the number of chunks that hold each, and acronyms in lower case with what they stand for."""

    words: Mapping[str, int] = field(default_factory=dict)
    acronyms: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_first_letter(self) -> Mapping[str, Sequence[str]]:
        """Return the words that begin with each letter."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for word in self.words:
            found[word[0]].append(word)
        return found

    def packed(self) -> bytes:
        """Return the vocabulary as compressed bytes, as it is stored."""
        return zlib.compress(json.dumps([dict(self.words), dict(self.acronyms)]).encode())

    @classmethod
    def unpacked(cls, body: bytes) -> Vocabulary:
        """Return the vocabulary from bytes that ``packed`` returned; an empty one from no bytes."""
        return cls(*json.loads(zlib.decompress(body))) if body else cls()


class VocabularyCounter:
    """Counts the words of texts: ``add`` each of them, then take the ``vocabulary``."""

    def __init__(self) -> None:
        self._words: Counter[str] = Counter()
        self._acronyms: Counter[tuple[str, str]] = Counter()

    def add(self, text: str) -> None:
        """Count each word and each acronym in the text of a chunk once."""
        self._words.update({word for token in set(tokens(text)) for word in words_of(token)})
        self._acronyms.update(set(acronyms_of(text)))

    def vocabulary(self) -> Vocabulary:
        """Return the most frequent words and acronyms; of an acronym with several meanings the most frequent."""
        words = {word: count for word, count in self._words.most_common(WORDS) if count >= FEWEST_CHUNKS}
        pairs = [pair for pair, _ in self._acronyms.most_common(ACRONYMS)]
        return Vocabulary(words, dict(reversed(pairs)))


@lru_cache(maxsize=REMEMBERED)
def words_of(token: str) -> tuple[str, ...]:
    """Return the words of a token in lower case: itself, and what stands between the joints of a name."""
    return tuple(
        word.lower()
        for word in {token, *SEGMENT.findall(token)}
        if SHORTEST <= len(word) <= LONGEST and word.replace("_", "").isalpha()
    )


def acronyms_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield (acronym, meaning) where one of them stands in parentheses behind the other, both in lower case."""
    for found in IN_PARENTHESES.finditer(text):
        words = BEFORE.search(text[max(0, found.start() - BEFORE_CHARS) : found.start()])
        before, inside = words[0].rstrip() if words else "", found[1]
        if ACRONYM.fullmatch(inside):
            if meaning := meaning_of(inside, PART.findall(before)):
                yield inside.lower(), meaning
        elif ACRONYM.fullmatch(word := before.rpartition(" ")[2]) and meaning_of(word, PART.findall(inside)):
            yield word.lower(), " ".join(PART.findall(inside)).lower()


def meaning_of(acronym: str, words: Iterable[str]) -> str:
    """Return the last words, one for each letter of the acronym, if they begin with these; else an empty string."""
    last = list(words)[-len(acronym) :]
    return " ".join(last).lower() if "".join(word[0] for word in last).upper() == acronym else ""
