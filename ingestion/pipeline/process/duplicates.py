"""Several addresses of one page are one document: the others are its duplicates.

In: a document with the page and the text that were just read. Out: the document that it repeats, if there is one, and
its row marked as a duplicate.

A page is a duplicate when it names another one as canonical inside the source's scope, or when another document of the
source has exactly its text. A redirect gives a crawled page its final address. Two workers that read one text under two
addresses at a time decide one after the other (``one_at_a_time``), so that the second finds the first one's text.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from ingestion.models import Document, Source
from ingestion.pipeline.discover.list_source import register
from ingestion.pipeline.process.attempts import hold
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


def find_original(document: Document, page: Page, extracted: Extracted) -> Document | None:
    """Return the document that this page repeats, or None when it stands for itself."""
    if document.source.kind not in Source.WEB:
        return None
    if found := take_final_address(document, page.url):
        return found
    # The page at the address that it names as canonical comes first; a new one is queued for the run.
    named = extracted.canonical
    url = canonical_in_scope(document.source.spec(), document.url, named) if named else ""
    if url and url != document.url and document.run is not None:
        if not document.run.complete:
            register(document.run, [Listed(url)], depth=document.depth)
        if found := find_at(url, document):
            return found
    return find_same_text(document)


def find_same_text(document: Document) -> Document | None:
    """Return another document of the source that answers with exactly this one's text, if it is a web source."""
    if document.source.kind not in Source.WEB:
        return None
    same_text = Document.objects.filter(source_id=document.source_id, text_hash=document.text_hash)
    return same_text.answering().exclude(id=document.pk).only("id").order_by("depth", "id").first()


def one_at_a_time(document: Document) -> None:
    """Hold the right to store a text of the document's web source until the transaction ends.

    In SQLite a transaction has it from its beginning (IMMEDIATE). Elsewhere the source's row is locked, for about 10 ms
    per page of sources whose pages come at four a second; new documents of the source do not wait for that.
    """
    if document.source.kind in Source.WEB:
        Source.objects.select_for_update(no_key=True).only("id").get(id=document.source_id)


def take_final_address(document: Document, final_url: str) -> Document | None:
    """Give a crawled page the address that it was redirected to. Return the document that has it already, if any."""
    if final_url == document.url or (document.run and document.run.complete):
        return None
    try:
        with transaction.atomic():
            Document.objects.filter(id=document.pk).update(url=final_url)
    except IntegrityError:
        return find_at(final_url, document)
    document.url = final_url
    return None


def find_at(url: str, document: Document) -> Document | None:
    """Return the document of the same source at this address, if ``document`` can be a duplicate of it."""
    rows = Document.objects.filter(source_id=document.source_id, url=url)
    return rows.exclude(state__in=BAD_ORIGINALS).exclude(id=document.pk).first()


@transaction.atomic
def mark_duplicate(document: Document, original: Document) -> bool:
    """Make the document a duplicate without chunks of its own. Return False: nothing waits for the embedder.

    An original that has become a duplicate meanwhile, perhaps of this very document, is none: then the document is
    looked at again.
    """
    one_at_a_time(document)
    hold(document)
    if Document.objects.filter(id=original.pk, state=Document.State.DUPLICATE).exists():
        Document.objects.retry_later(document.pk, error="", delay=timedelta())
        return False
    document.chunks.all().remove()
    document.duplicate_of, document.state = original, Document.State.DUPLICATE
    document.markdown, document.dropped, document.chunk_count = "", {}, 0
    document.new_chunks = document.new_tokens = 0
    document.version, document.unchanged_by = document.listed_version, ""
    document.error, document.misses, document.lease_until = "", 0, None
    document.updated_at = timezone.now()
    document.save()
    release_duplicates([document.pk])
    return False
