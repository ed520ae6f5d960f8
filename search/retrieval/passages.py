"""Hits with their rows → passages, as readers and language models are given them.

In: folded hits. Out: passages. Title, heading and address come from the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from search.questions import Copy, Passage
from search.retrieval.confirmed_hits import StoredChunk
from search.retrieval.folding import Found


def passages_of(found: Iterable[Found], found_by: Mapping[str, str]) -> list[Passage]:
    """Return the passages of folded hits; ``found_by`` names the text that found a key, if it was not the question."""
    return [
        replace(passage_of(each.row, each.score), copies=copies_of(each), found_by=found_by.get(each.row.key, ""))
        for each in found
    ]


def copies_of(found: Found) -> tuple[Copy, ...]:
    """Return the other documents of a folded hit, once each."""
    others = {row.document: row for row in reversed(found.copies) if row.document != found.row.document}
    copies = [passage_of(row, found.score) for row in reversed(others.values())]
    return tuple(Copy(copy.url, copy.link, copy.title, copy.source, copy.version) for copy in copies)


def passage_of(row: StoredChunk, score: float) -> Passage:
    """Return the passage of a row."""
    return Passage(
        score=score,
        title=row.title,
        url=row.url,
        heading=row.heading,
        anchor=row.anchor,
        text=row.text,
        document=row.document,
        source=row.source,
        position=row.position,
        version=row.version,
    )
