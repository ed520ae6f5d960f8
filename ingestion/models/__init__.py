"""The database rows: the only truth about what is to be done and what was done.

A state changes by a conditional update in a QuerySet, whose caller looks at the number of changed rows. A row that a
worker has claimed carries the end of its lease (``lease_until``); after that time the dispatcher takes the row back.
"""

from ingestion.models.chunk import Chunk, ChunkQuerySet
from ingestion.models.collection import LAYOUT, Collection
from ingestion.models.context_sentence import ContextSentence
from ingestion.models.document import Document, DocumentQuerySet, has_chunks, has_documents
from ingestion.models.run import Run, RunQuerySet
from ingestion.models.source import WEBSITE_PAGES, Source, SourceReader, due_sources, open_sources
from ingestion.models.subscription import Delivery, Subscription
from ingestion.models.term_frequencies import TermFrequencies

__all__ = [
    "LAYOUT",
    "WEBSITE_PAGES",
    "Chunk",
    "ChunkQuerySet",
    "Collection",
    "ContextSentence",
    "Delivery",
    "Document",
    "DocumentQuerySet",
    "Run",
    "RunQuerySet",
    "Source",
    "SourceReader",
    "Subscription",
    "TermFrequencies",
    "due_sources",
    "has_chunks",
    "has_documents",
    "open_sources",
]
