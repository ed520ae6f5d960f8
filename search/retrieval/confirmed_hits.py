"""Hits → the rows of those that the database confirms; the rows are the truth.

In: ranked hits. Out: the same in their order, each with what its row, its document and its source hold; a hit is
dropped unless there is a row of it whose source the caller sees and nobody is deleting.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from ingestion.models import Chunk
from ingestion.types import Hits
from search.access.caller import Caller
from search.retrieval.compiled import Statement, compiled, rows_of

# Queries are for numbers of keys that are multiples of this, so that there are few of them.
KEYS_STEP = 50


class StoredChunk(NamedTuple):
    """What a search needs of a chunk, its document and its source; a model's instance took five times as long."""

    key: str
    heading: str
    anchor: str
    text: str
    position: int
    document: int
    url: str
    document_title: str
    source_id: int
    source: str
    target: str
    product: str
    version: str

    @property
    def title(self) -> str:
        """Return the document's title, or its address where it has none."""
        return self.document_title or self.url


COLUMNS = (
    *("key", "heading", "anchor", "text", "position", "document_id", "document__url", "document__title"),
    *(f"document__source__{name}" for name in ("id", "name", "target", "product", "version")),
)


class ConfirmedHits:
    """The rows of one search's hits, each read once; ``at_once`` are read with a query."""

    def __init__(self, caller: Caller, at_once: int) -> None:
        self._caller = caller
        self._at_once = at_once
        self._rows: dict[str, StoredChunk | None] = {}

    def of(self, hits: Hits) -> Iterator[tuple[float, StoredChunk]]:
        """Yield the score and the row of each hit that the database confirms, in their order.

        A key is made of the chunk's text: the row is right also while it moves into another collection.
        """
        for at, (key, score) in enumerate(hits.items()):
            if key not in self._rows:
                unread = self.unread(hits, at)
                self.keep(unread, stored_rows(unread))
            row = self._rows[key]
            if row and self._caller.sees(row.source_id):
                yield score, row

    def unread(self, hits: Hits, start: int = 0) -> list[str]:
        """Return the keys, of ``at_once`` hits from position ``start`` on, whose rows have not been read."""
        return [key for key in islice(hits, start, start + self._at_once) if key not in self._rows]

    def keep(self, keys: Iterable[str], rows: Mapping[str, StoredChunk]) -> None:
        """Take the rows of keys, of which some may have none."""
        self._rows |= {key: rows.get(key) for key in keys}


def stored_rows(keys: Iterable[str]) -> dict[str, StoredChunk]:
    """Return the rows that may be shown, by key, whoever may see them."""
    asked = list(keys)
    if not asked:
        return {}
    asked += asked[-1:] * (-len(asked) % KEYS_STEP)
    sql, states = findable(len(asked))
    return {row[0]: StoredChunk(*row) for row in rows_of((sql, (*states, *asked)))}


@functools.cache
def findable(keys: int) -> Statement:
    """Return the query for the rows that may be shown, of so many keys: its parameters are to be followed by them."""
    rows = Chunk.objects.live().filter(document__source__deleting=False).order_by().values_list(*COLUMNS)
    sql, parameters = compiled(rows.filter(key__in=[str(n) for n in range(keys)]))
    return sql, parameters[:-keys]
