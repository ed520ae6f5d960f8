"""Hits → passages: joined with the rows, which are the truth.

In: ranked hits. Out: those that the database confirms, in their order; a hit is dropped unless there is a row of it
whose source the caller sees and nobody is deleting. Title, heading and address come from the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q

from ingestion.models import Chunk, Document
from ingestion.types import Hit
from search.access.caller import Caller
from search.code_marks import open_fence
from search.questions import Passage

# Hits looked up beyond the limit, so that a few stale ones do not shrink the answer.
SPARE_HITS = 20


def with_rows(hits: Sequence[Hit], limit: int, caller: Caller) -> list[tuple[Hit, Chunk]]:
    """Return the first ``limit`` of the hits that the database confirms, in their order, each with its row.

    A key is made of the chunk's text: the row is right also while it moves into another collection.
    """
    found: list[tuple[Hit, Chunk]] = []
    shown = caller.visible("document__source")
    for start in range(0, len(hits), limit + SPARE_HITS):
        part = hits[start : start + limit + SPARE_HITS]
        rows = Chunk.objects.live().filter(shown, key__in=[h.key for h in part], document__source__deleting=False)
        by_key = {row.key: row for row in rows.select_related("document__source").defer("document__markdown")}
        found += [(hit, by_key[hit.key]) for hit in part if hit.key in by_key]
        if len(found) >= limit:
            break
    return found[:limit]


def passages_of(found: list[tuple[Hit, Chunk]]) -> list[Passage]:
    """Return the passages of the hits' rows. Only documents with fences are read whole."""
    documents = Document.objects.filter(id__in={row.document_id for _, row in found})
    fenced = documents.filter(Q(markdown__contains="```") | Q(markdown__contains="~~~"))
    texts = dict(fenced.values_list("id", "markdown"))
    passages = []
    for hit, row in found:
        document, markdown = row.document, texts.get(row.document_id, "")
        is_current = markdown.startswith(row.text, row.start)  # the document may be newer than the chunk
        passages.append(
            Passage(
                score=hit.score,
                title=str(document),
                url=document.url,
                heading=row.heading,
                anchor=row.anchor,
                text=row.text,
                document=document.pk,
                source=document.source.name,
                position=row.position,
                fence=open_fence(markdown[: row.start]) if is_current else "",
            )
        )
    return passages
