"""/documents: what a caller may read, as JSON or as Markdown, with ETags."""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.core.serializers.json import DjangoJSONEncoder
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response, patch_vary_headers
from ninja import Field, Query, Router

from ingestion.models import Document
from search.access.caller import SEARCH
from search.api.v1.door import Door, caller_of
from search.api.v1.paging import Id, Part, part_of
from search.api.v1.responses import documented
from search.api.v1.schemas import NO_NULL, DocumentsOut, DocumentTextOut
from search.catalogue import findable_documents
from search.questions import is_web_address

MARKDOWN = "text/markdown"
MISSING = "There is no such document in the index."

router = Router(tags=["documents"])


class DocumentsPart(Part):
    """Which documents, and which part of their list."""

    source: str = Field("", max_length=200, pattern=NO_NULL, description="The name of the one source; empty: all.")


@router.get("/documents", auth=Door(SEARCH), **documented(DocumentsOut, door=SEARCH))
async def documents(request: HttpRequest, part: Query[DocumentsPart]) -> Any:
    """List the documents that answers may come from, of one source or of all."""
    return await sync_to_async(listed)(request, part)


@router.get(
    "/documents/{document_id}",
    auth=Door(SEARCH),
    **documented(DocumentTextOut, 404, 412, door=SEARCH, also=MARKDOWN, unchanged=True),
)
async def document(request: HttpRequest, document_id: Id) -> HttpResponse:
    """Return a document: JSON, or its Markdown alone with `Accept: text/markdown`."""
    return await sync_to_async(one)(request, document_id)


def listed(request: HttpRequest, part: DocumentsPart) -> dict[str, Any]:
    """Return a part of the list of documents."""
    rows = findable_documents(caller_of(request)).select_related("source").defer("markdown")
    if part.source:
        rows = rows.filter(source__name=part.source)
    return part_of(request, rows, part, "documents", fields_of)


def one(request: HttpRequest, document_id: int) -> HttpResponse:
    """Return a document as JSON or Markdown, whichever the request accepts, or 304 where the caller has it already.

    Raises Http404.
    """
    row = findable_documents(caller_of(request)).select_related("source").filter(pk=document_id).first()
    if row is None:
        raise Http404(MISSING)
    if request.headers.get("Accept", "").startswith(MARKDOWN):
        body, kind = row.markdown, f"{MARKDOWN}; charset=utf-8"
    else:
        body = json.dumps({**fields_of(row), "markdown": row.markdown}, cls=DjangoJSONEncoder)
        kind = "application/json"
    response = HttpResponse(body, content_type=kind, headers={"Cache-Control": "private, no-cache"})
    response["ETag"] = f'"{hashlib.sha256(response.content).hexdigest()[:32]}"'
    patch_vary_headers(response, ["Accept", "Authorization", "X-API-Key", "Cookie"])
    return cast(HttpResponse, get_conditional_response(request, etag=response["ETag"], response=response))


def fields_of(row: Document) -> dict[str, Any]:
    """Return the fields of a document for callers; the address is empty where it is a path on the server."""
    url = row.url if is_web_address(row.url) else ""
    return {"id": row.pk, "source": row.source.name, "title": str(row), "url": url, "updated_at": row.updated_at}
