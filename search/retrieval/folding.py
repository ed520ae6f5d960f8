"""Ranked hits with their rows → the passages to show: copies folded into one, and few of each page first.

In: hits with rows, best first. Out: at most so many ``Found``, in the order of their best hits. A passage is a copy of
a better one when their words are nearly the same, or when both are one section of one page in two versions of a
product; then the newest version is shown and the others are named. Of one page come SEARCH_PASSAGES_PER_PAGE passages;
its others only where there is nothing else.

Texts are compared by their runs of SHINGLE words, exactly: there are few of them, and a hash would save nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.conf import settings

from ingestion.models import Chunk
from ingestion.types import Hit
from search.retrieval.versions import age, page_of_all_versions

SHINGLE = 4
# Of two texts' runs of words together, so many are in both. Versions of one paragraph share .6 to 1, paragraphs of one
# form that speak of different things less than .5.
NEARLY_EQUAL = 0.8
WORD = re.compile(r"\w+")


@dataclass
class Found:
    """A passage to be: the best score, the row that is shown, and the rows that were folded into it."""

    score: float
    row: Chunk
    copies: list[Chunk] = field(default_factory=list)
    shingles: frozenset[tuple[str, ...]] = frozenset()


def folded(found: Iterable[tuple[Hit, Chunk]], limit: int) -> list[Found]:
    """Return at most ``limit`` passages, best first."""
    kept: list[Found] = []
    surplus: list[Found] = []
    of_page: Counter[int] = Counter()
    for hit, row in found:
        new = Found(hit.score, row, shingles=shingles_of(row))
        if same := next((each for each in (*kept, *surplus) if is_copy(each, new)), None):
            fold(same, row)
        elif len(kept) == limit:
            break
        elif of_page[row.document_id] < settings.SEARCH_PASSAGES_PER_PAGE:
            of_page[row.document_id] += 1
            kept.append(new)
        elif len(surplus) < limit:
            surplus.append(new)
    return kept + surplus[: limit - len(kept)]


def is_copy(one: Found, other: Found) -> bool:
    """Return whether two passages say the same, or are of two versions of one section."""
    if version_of_section(one.row) == version_of_section(other.row) is not None:
        return True
    if not one.shingles or not other.shingles:
        return False
    few, many = sorted((len(one.shingles), len(other.shingles)))
    if few < NEARLY_EQUAL * many:
        return False
    shared = len(one.shingles & other.shingles)
    return shared >= NEARLY_EQUAL * (few + many - shared)


def fold(found: Found, row: Chunk) -> None:
    """Add a copy; it is shown instead of the present one where its version is newer."""
    source, shown = row.document.source, found.row.document.source
    if source.product and source.product == shown.product and age(source.version) > age(shown.version):
        found.row, row = row, found.row
    found.copies.append(row)


def version_of_section(row: Chunk) -> tuple[str, str, str] | None:
    """Return what the sections of a page have in common in all versions; None where the source names no version."""
    source = row.document.source
    if not (source.product and source.version):
        return None
    return source.product, page_of_all_versions(row.document.url, source.target, source.version), row.heading


def shingles_of(row: Chunk) -> frozenset[tuple[str, ...]]:
    """Return the runs of words of a heading and its text."""
    words = WORD.findall(f"{row.heading} {row.text}".casefold())
    return frozenset(tuple(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1)))
