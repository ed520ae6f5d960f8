"""What there is to be found: sources, documents and their chunks, read from the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from ingestion.models import Chunk, Collection, Document, Source

EXAMPLES = 4
# A title that says something fits on a button.
EXAMPLE_CHARS = 60


@dataclass(frozen=True, slots=True)
class Overview:
    """What the empty page tells of the index."""

    sources: list[str]
    documents: int
    examples: list[str]


def overview() -> Overview:
    documents = findable_documents()
    names = list(
        Source.objects.filter(id__in=documents.values("source_id")).order_by("name").values_list("name", flat=True)
    )
    return Overview(sources=names, documents=documents.count(), examples=example_titles(documents))


def example_titles(documents: QuerySet[Document]) -> list[str]:
    """Titles of the longest documents: topics that the index has much to say about."""
    titles = documents.exclude(title="").order_by("-chunk_count", "id").values_list("title", flat=True)
    return [t for t in dict.fromkeys(titles[: 5 * EXAMPLES]) if len(t) <= EXAMPLE_CHARS][:EXAMPLES]


def indexed_sources() -> list[dict[str, Any]]:
    indexed = findable("documents__chunks__")
    rows = (
        Source.objects.filter(deleting=False)
        .annotate(
            findable=Count("documents", filter=indexed, distinct=True),
            chunks=Count("documents__chunks", filter=indexed),
        )
        .order_by("name")
    )
    return [{"name": r.name, "documents": r.findable, "chunks": r.chunks} for r in rows]


def findable(chunks: str = "") -> Q:
    """Chunks that answers may come from. While a collection is filled for another model, those that wait for it again
    are still found in the one before."""
    found = Q(**{f"{chunks}state": Chunk.State.INDEXED})
    if not Collection.objects.exclude(checked_to=None).exists():
        return found
    again = Q(**{f"{chunks}buffered_at__isnull": False}) & ~Q(**{f"{chunks}state__in": Chunk.LEAVING})
    return found | again


def findable_documents() -> QuerySet[Document]:
    indexed = Chunk.objects.filter(findable(), document=OuterRef("pk"))
    return Document.objects.filter(Exists(indexed), source__deleting=False)


def stored_document(document_id: int) -> tuple[Document, list[Chunk]] | None:
    """A document that can be found, and its chunks in order."""
    document = findable_documents().select_related("source").defer("markdown").filter(id=document_id).first()
    if document is None:
        return None
    chunks = document.chunks.filter(findable()).order_by("position")
    return document, list(chunks)
