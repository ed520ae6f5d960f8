"""What a caller can find: sources, documents and their chunks, counted and read from the rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from ingestion.models import Chunk, Collection, Document, Source
from search.access.caller import Caller

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


def overview(caller: Caller) -> Overview:
    """Count what can be found; the examples are titles of the longest documents, of which there is much to say."""
    documents = findable_documents(caller)
    sources = Source.objects.filter(id__in=documents.values("source_id")).order_by("name")
    titles = documents.exclude(title="").order_by("-chunk_count", "id").values_list("title", flat=True)
    short = [title for title in dict.fromkeys(titles[: 5 * EXAMPLES]) if len(title) <= EXAMPLE_CHARS]
    return Overview(list(sources.values_list("name", flat=True)), documents.count(), short[:EXAMPLES])


def counted_sources(caller: Caller) -> QuerySet[Source]:
    """Return the caller's sources that nobody is deleting, with the numbers ``findable`` (documents) and ``chunks``."""
    indexed = findable("documents__chunks__")
    return Source.objects.filter(caller.visible("id"), deleting=False).annotate(
        findable=Count("documents", filter=indexed, distinct=True),
        chunks=Count("documents__chunks", filter=indexed),
    )


def indexed_sources(caller: Caller) -> list[IndexedSource]:
    """Return every source that the caller sees and nobody is deleting, by name."""
    rows: Iterable[Any] = counted_sources(caller).order_by("name")
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


def findable_documents(caller: Caller) -> QuerySet[Document]:
    """Return the documents of the caller's sources with a chunk that can be found, without those being deleted."""
    indexed = Chunk.objects.filter(findable(), document=OuterRef("pk"))
    return Document.objects.filter(Exists(indexed), caller.visible("source"), source__deleting=False)


def may_see(caller: Caller, documents: Iterable[int]) -> bool:
    """Return whether the caller may see all these documents, of which a stored answer tells.

    Of a document that is gone nobody knows whose it was: only who sees everything sees that, too.
    """
    wanted = set(documents)
    seen = Document.objects.filter(caller.visible("source"), id__in=wanted)
    return caller.sources is None or seen.count() == len(wanted)


def stored_document(document_id: int, caller: Caller) -> tuple[Document, list[Chunk]] | None:
    """Return a document and its chunks in order, those that can be found; None where the caller sees none."""
    document = findable_documents(caller).select_related("source").defer("markdown").filter(id=document_id).first()
    if document is None:
        return None
    chunks = document.chunks.filter(findable()).order_by("position")
    return document, list(chunks)
