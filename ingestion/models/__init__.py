"""Rows: the only truth about what is to be done and what was done.

States move by conditional updates in the QuerySets; every caller looks at the count. A state in
flight carries a lease (``lease_until``): when it has passed, the dispatcher takes the work back.
"""

from ingestion.models.chunk import Chunk, ChunkQuerySet
from ingestion.models.collection import Collection
from ingestion.models.document import Document, DocumentQuerySet, has_chunks, has_documents
from ingestion.models.run import Run, RunQuerySet
from ingestion.models.source import WEBSITE_PAGES, Source, due_sources, open_sources

__all__ = [
    "WEBSITE_PAGES",
    "Chunk",
    "ChunkQuerySet",
    "Collection",
    "Document",
    "DocumentQuerySet",
    "Run",
    "RunQuerySet",
    "Source",
    "due_sources",
    "has_chunks",
    "has_documents",
    "open_sources",
]
