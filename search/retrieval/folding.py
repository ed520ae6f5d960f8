"""Ranked hits with their rows → the passages to show: copies folded into one, and few of each page first.

In: hits with rows, best first. Out: at most so many ``Found``, in the order of their best hits. A passage is a copy of
a better one when their words are nearly the same, or when both are one section of one page in two versions of a
product; then the newest version is shown and the others are named. Of one page come SEARCH_PASSAGES_PER_PAGE passages;
its others only where there is nothing else.

Texts are compared by their runs of SHINGLE words, exactly: there are few of them, and a hash would save nothing. Runs
are made only of texts that have enough words in common, which takes half the time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from django.conf import settings

from search.retrieval.confirmed_hits import StoredChunk
from search.retrieval.versions import age, page_of_all_versions

SHINGLE = 4
# Of two texts' runs of words together, so many are in both. Versions of one paragraph share .6 to 1, paragraphs of one
# form that speak of different things less than .5.
NEARLY_EQUAL = 0.8
# Not what stands between spaces: a text in Chinese would be one word.
WORD = re.compile(r"\w+")


@dataclass
class Found:
    """A passage to be: the best score, the row that is shown, and the rows that were folded into it.

    Copies are told by the words of the heading and the text, and by ``section``, which the versions of a section have
    in common.
    """

    score: float
    row: StoredChunk
    copies: list[StoredChunk] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.section = section_of_all_versions(self.row)
        self.words = WORD.findall(f"{self.row.heading} {self.row.text}".casefold())
        self.vocabulary = frozenset(self.words)

    @cached_property
    def shingles(self) -> frozenset[tuple[str, ...]]:
        """The runs of words."""
        if len(self.words) < SHINGLE:
            return frozenset((tuple(self.words),))
        return frozenset(zip(*(self.words[at:] for at in range(SHINGLE)), strict=False))


def folded(found: Iterable[tuple[float, StoredChunk]], limit: int) -> list[Found]:
    """Return at most ``limit`` passages, best first; hits that say the same become copies of one passage.

    More than SEARCH_PASSAGES_PER_PAGE of one page only fill up what is missing.
    """
    kept: list[Found] = []
    surplus: list[Found] = []
    of_page: Counter[int] = Counter()
    for score, row in found:
        new = Found(score, row)
        if same := next((each for each in (*kept, *surplus) if is_copy(each, new)), None):
            fold(same, row)
        elif len(kept) == limit:
            break
        elif of_page[row.document] < settings.SEARCH_PASSAGES_PER_PAGE:
            of_page[row.document] += 1
            kept.append(new)
        elif len(surplus) < limit:
            surplus.append(new)
    return kept + surplus[: limit - len(kept)]


def is_copy(one: Found, other: Found) -> bool:
    """Return whether two passages say the same, or are of two versions of one section, which may be long."""
    if one.section and one.section == other.section and one.row.version != other.row.version:
        return True
    # Where texts share a run, each word that one of them lacks begins or ends another run that it lacks.
    common = len(one.vocabulary & other.vocabulary)
    lacking = len(one.vocabulary) + len(other.vocabulary) - 2 * common
    if lacking > (1 - NEARLY_EQUAL) * (len(one.words) + len(other.words)):
        return False
    shared = len(one.shingles & other.shingles)
    return shared >= NEARLY_EQUAL * (len(one.shingles) + len(other.shingles) - shared)


def fold(found: Found, row: StoredChunk) -> None:
    """Add a copy; it is shown instead of the present one where its version is newer."""
    if row.product and row.product == found.row.product and age(row.version) > age(found.row.version):
        found.row, row = row, found.row
    found.copies.append(row)


def section_of_all_versions(row: StoredChunk) -> tuple[str, ...]:
    """Return what identifies a section in all versions: product, page and heading.

    It is empty where the source names no product or no version.
    """
    if not (row.product and row.version):
        return ()
    return row.product, page_of_all_versions(row.url, row.target, row.version), row.heading
