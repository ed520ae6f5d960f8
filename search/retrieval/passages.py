"""Hits → passages: joined with the rows, which are the truth.

In: ranked hits. Out: those that the database confirms, in their order; a hit is dropped unless there is a row of it
whose source is not being deleted. Title, heading and address come from the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ingestion.models import Chunk
from ingestion.types import Hit
from search.questions import Copy, Passage
from search.retrieval.folding import Found

# Hits looked up beyond the limit, so that stale ones and copies do not cost another query.
SPARE_HITS = 20


def with_rows(hits: Sequence[Hit], limit: int) -> Iterator[tuple[Hit, Chunk]]:
    """Yield the hits that the database confirms, in their order, each with its row, about ``limit`` to a query.

    A key is made of the chunk's text: the row is right also while it moves into another collection.
    """
    for start in range(0, len(hits), limit + SPARE_HITS):
        part = hits[start : start + limit + SPARE_HITS]
        rows = Chunk.objects.live().filter(key__in=[h.key for h in part], document__source__deleting=False)
        by_key = {row.key: row for row in rows.select_related("document__source").defer("document__markdown")}
        yield from ((hit, by_key[hit.key]) for hit in part if hit.key in by_key)


def passages_of(found: Iterable[Found], found_by: Mapping[str, str]) -> list[Passage]:
    """Return the passages of folded hits; ``found_by`` names the text that found a key, if it was not the question."""
    return [
        replace(passage_of(each.row, each.score), copies=copies_of(each), found_by=found_by.get(each.row.key, ""))
        for each in found
    ]


def copies_of(found: Found) -> tuple[Copy, ...]:
    """Return the other documents of a folded hit, once each."""
    others = {row.document_id: row for row in reversed(found.copies) if row.document_id != found.row.document_id}
    copies = [passage_of(row, found.score) for row in reversed(others.values())]
    return tuple(Copy(copy.url, copy.link, copy.title, copy.source, copy.version) for copy in copies)


def passage_of(row: Chunk, score: float) -> Passage:
    """Return the passage of a row."""
    document = row.document
    return Passage(
        score=score,
        title=str(document),
        url=document.url,
        heading=row.heading,
        anchor=row.anchor,
        text=row.text,
        document=document.pk,
        source=document.source.name,
        position=row.position,
        version=document.source.version,
    )
