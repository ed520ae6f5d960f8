"""Several addresses of one page are one document: the others are its duplicates.

A page is left to another when it names that one as canonical inside the source's scope, or when
another document of the source has exactly its text. A redirect gives a crawled page its final address.
"""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils import timezone

from ingestion.models import Document, Source
from ingestion.pipeline.discover.list_source import register
from ingestion.pipeline.state.removals import release_duplicates
from ingestion.sources.web.url_scope import canonical_in_scope
from ingestion.types import Extracted, Listed, Page

BAD_ORIGINALS = (
    Document.State.DUPLICATE,
    Document.State.MISSING,
    Document.State.GONE,
    Document.State.FAILED,
    Document.State.QUARANTINED,
)


def original(document: Document, page: Page, extracted: Extracted) -> Document | None:
    """The document that this page should be left to, if there is one."""
    if document.source.kind not in Source.WEB:
        return None
    return moved(document, page.url) or canonical(document, extracted.canonical) or twin(document)


def moved(document: Document, final_url: str) -> Document | None:
    """A crawled page takes its final address, unless a document has it."""
    if final_url == document.url or (document.run and document.run.complete):
        return None
    try:
        with transaction.atomic():
            Document.objects.filter(id=document.pk).update(url=final_url)
    except IntegrityError:
        return candidate(document, final_url)
    document.url = final_url
    return None


def canonical(document: Document, named: str) -> Document | None:
    """The page that this one names as its original; a new one is queued for the run."""
    url = canonical_in_scope(document.source.spec(), document.url, named) if named else ""
    if not url or url == document.url or document.run is None:
        return None
    if not document.run.complete:
        register(document.run, [Listed(url)], depth=document.depth)
    return candidate(document, url)


def candidate(document: Document, url: str) -> Document | None:
    rows = Document.objects.filter(source_id=document.source_id, url=url)
    return rows.exclude(state__in=BAD_ORIGINALS).exclude(id=document.pk).first()


def twin(document: Document) -> Document | None:
    rows = Document.objects.filter(source_id=document.source_id, text_hash=document.text_hash)
    return rows.answering().exclude(id=document.pk).only("id").order_by("depth", "id").first()


@transaction.atomic
def leave_to(document: Document, other: Document) -> bool:
    """Make the document a duplicate: no chunks of its own. False: nothing waits for the embedder."""
    document.chunks.all().remove()
    document.duplicate_of, document.state = other, Document.State.DUPLICATE
    document.markdown, document.chunk_count = "", 0
    document.new_chunks = document.new_tokens = 0
    document.version, document.unchanged_by = document.listed_version, ""
    document.error, document.misses, document.lease_until = "", 0, None
    document.updated_at = timezone.now()
    document.save()
    release_duplicates([document.pk])
    return False
