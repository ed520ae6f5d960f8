"""What can be found: sources, documents and their chunks, counted and read from the rows."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from ingestion.models import Chunk, Collection, Document, Source

EXAMPLES = 4
# A longer title does not fit on a button.
EXAMPLE_CHARS = 60


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows of the index before a question."""

    sources: list[str]
    documents: int
    examples: list[str]


@dataclass(frozen=True, slots=True)
class IndexedSource:
    """A source, and how many of its documents and chunks can be found."""

    name: str
    documents: int
    chunks: int


def overview() -> Overview:
    """Count what can be found; the examples are titles of the longest documents, of which there is much to say."""
    documents = findable_documents()
    sources = Source.objects.filter(id__in=documents.values("source_id")).order_by("name")
    titles = documents.exclude(title="").order_by("-chunk_count", "id").values_list("title", flat=True)
    short = [title for title in dict.fromkeys(titles[: 5 * EXAMPLES]) if len(title) <= EXAMPLE_CHARS]
    return Overview(list(sources.values_list("name", flat=True)), documents.count(), short[:EXAMPLES])


def indexed_sources() -> list[IndexedSource]:
    """Return every source that is not being deleted, by name."""
    indexed = findable("documents__chunks__")
    rows = (
        Source.objects.filter(deleting=False)
        .annotate(
            findable=Count("documents", filter=indexed, distinct=True),
            chunks=Count("documents__chunks", filter=indexed),
        )
        .order_by("name")
    )
    return [IndexedSource(row.name, row.findable, row.chunks) for row in rows]


def findable(chunks: str = "") -> Q:
    """Return the condition for chunks that answers may come from; ``chunks`` is the path from the model to them.

    While a collection is filled for another model, chunks that wait for it again are still found in the one before.
    """
    found = Q(**{f"{chunks}state": Chunk.State.INDEXED})
    if not Collection.objects.exclude(checked_to=None).exists():
        return found
    again = Q(**{f"{chunks}buffered_at__isnull": False}) & ~Q(**{f"{chunks}state__in": Chunk.LEAVING})
    return found | again


def findable_documents() -> QuerySet[Document]:
    """Return the documents with a chunk that can be found, without those of sources that are being deleted."""
    indexed = Chunk.objects.filter(findable(), document=OuterRef("pk"))
    return Document.objects.filter(Exists(indexed), source__deleting=False)


def stored_document(document_id: int) -> tuple[Document, list[Chunk]] | None:
    """Return a document and its chunks in order, those that can be found; None where there is none."""
    document = findable_documents().select_related("source").defer("markdown").filter(id=document_id).first()
    if document is None:
        return None
    chunks = document.chunks.filter(findable()).order_by("position")
    return document, list(chunks)
