"""A text → the terms under which it is found, each with its share.

In: text and its language. Out: hashes of terms. A word of prose is its stem. What looks like a name in code is kept
whole and also in its parts, which count less: ``django.db.models.CharField`` is found as itself, as ``CharField``, and
a little as ``char``, ``field``, ``models``. Names are cut at case, digits and joints before they are lower-cased. Texts
in scripts without spaces are cut into pairs of characters. Single letters are left out.

A term's hash is the same in every process and version: it is stored in the index.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache, partial

import snowballstemmer

# Letters, digits and underscores, with the vowel signs of Devanagari and Thai, which Python counts as no letters.
WORD = r"[\w\u0900-\u0963\u0e31-\u0e4e]+"
# "C++" and "C#", or words joined by dots, slashes and hyphens.
TOKEN = re.compile(rf"\b[A-Za-z](?:\+\+|#)(?!\w)|{WORD}(?:[./-]{WORD})*")
# What is between joints; the numbers of a version stay together.
SEGMENT = re.compile(r"[vV]?\d+(?:\.\d+){1,4}(?![^\W_])|[^./-]+")
# HTTPResponse → HTTP, Response; utf8 → utf, 8.
SUBWORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
SUBWORD_OF_ANY_SCRIPT = re.compile(r"[^\W\d_]+|\d+")
VERSION = re.compile(r"[vV]?(\d+(?:\.\d+){1,4})([a-z]+\d*)?")
# Kana, Han, Hangul and Thai: words are not divided by spaces, or (Hangul) carry endings.
UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\U00020000-\U0002fa1f"
UNSPACED_OR_OTHER = re.compile(f"([{UNSPACED}]+)|([^{UNSPACED}]+)")

# "third-party" and "and/or" are prose, "X-Frame-Options" and "utf-8" are names.
PROSE = re.compile(r"[^\W\d_]?[a-z]+(?:[/-][a-z]+)*")

# A part of a name says less than the name: "field" stands in a hundred of them.
PART_SHARE = 0.5
# Nobody types a longer name; base64 and signed addresses would fill the index with terms of one chunk.
LONGEST_TERM = 80
# Tokens remembered with their terms, 300 bytes each; 65 536 are all that 6 000 chunks of documentation have.
REMEMBERED = 65_536

Terms = tuple[tuple[int, float], ...]


def tokens(text: str) -> list[str]:
    """Return the tokens of a text in order: words, and names in code with their joints."""
    return TOKEN.findall(text if text.isascii() else unicodedata.normalize("NFKC", text))


def is_name(token: str) -> bool:
    """Return whether a token looks like code, a version or an acronym, not like a number or words of prose."""
    if token.isdecimal() or PROSE.fullmatch(token):
        return False
    in_capitals = token.isupper() and len(token) > 2
    return in_capitals or not token.isalpha() or (token.isascii() and len(SUBWORD.findall(token)) > 1)


@lru_cache(maxsize=REMEMBERED)
def terms_of(token: str, stemmer: str) -> Terms:
    """Return (hash, share) of each term of a token; ``stemmer`` is the language's Snowball stemmer."""
    shares: dict[str, float] = {}
    for term, share in named_terms(token, partial(stem_of, stemmer=stemmer)):
        if len(term) > 1 or not term.isascii() or term.isdecimal():
            shares[term] = max(share, shares.get(term, 0.0))
    return tuple((hash_of(term), share) for term, share in shares.items())


def named_terms(token: str, stem: Callable[[str], str]) -> Iterator[tuple[str, float]]:
    """Yield (term, share) of a token: itself, then its parts; a term may come twice."""
    segments = [token] if VERSION.fullmatch(token) else SEGMENT.findall(token)
    if segments != [token] and len(token) <= LONGEST_TERM:
        yield token.lower(), 1.0
    for segment in segments:
        if version := VERSION.fullmatch(segment):
            yield from version_terms(version)
            continue
        for unspaced, other in UNSPACED_OR_OTHER.findall(segment):
            yield from ((pair, 1.0) for pair in pairs(unspaced))
            yield from identifier_terms(other, stem)


def version_terms(version: re.Match[str]) -> Iterator[tuple[str, float]]:
    """Yield a version number as it stands, and the shorter ones that it belongs to: 5.2.1 is a 5.2."""
    numbers = version[1].split(".")
    yield version[1] + (version[2] or ""), 1.0
    yield from ((".".join(numbers[:size]), PART_SHARE) for size in range(2, len(numbers) + bool(version[2])))


def identifier_terms(word: str, stem: Callable[[str], str]) -> Iterator[tuple[str, float]]:
    """Yield a word, and its parts where it has several: ``max_length``, ``CharField``, ``E304``."""
    if not word:
        return
    if len(word) <= LONGEST_TERM:
        yield stem(word.lower()) if word.isalpha() else word.lower(), 1.0
    parts = (SUBWORD if word.isascii() else SUBWORD_OF_ANY_SCRIPT).findall(word)
    if parts != [word]:
        yield from ((stem(part.lower()), PART_SHARE) for part in parts if len(part) <= LONGEST_TERM)


def pairs(run: str) -> list[str]:
    """Return the overlapping pairs of characters of a run, or its only character."""
    return [run[at : at + 2] for at in range(len(run) - 1)] or [run] * len(run)


def hash_of(term: str) -> int:
    """Return a number below 2**32 - 1, which is Milvus' bound for an index of a sparse vector."""
    return int.from_bytes(hashlib.blake2b(term.encode(errors="replace"), digest_size=4).digest()) % (2**32 - 1)


@lru_cache(maxsize=REMEMBERED)
def stem_of(word: str, stemmer: str) -> str:
    """Return the stem of a lower-cased word."""
    # A stemmer holds the word that it works on: one for each call, which costs 0.3 µs, is safe in threads.
    stem: str = snowballstemmer.stemmer(stemmer).stemWord(word)
    return stem
