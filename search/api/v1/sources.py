"""/sources: what there is to search, for readers; made, refreshed, paused and deleted by keys with scope "admin".

Everything that changes a source goes through the functions and the form of the admin.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from ninja import Query, Router, Status

from ingestion import tasks
from ingestion.admin.source_form import SourceForm
from ingestion.exceptions import IngestionError
from ingestion.models import Source
from ingestion.pipeline.state import steering
from ingestion.pipeline.state.runs import remove_source, start_run
from search.access.caller import ADMIN, SEARCH, Caller
from search.api.errors import problem_response
from search.api.v1.door import Door, caller_of
from search.api.v1.failures import UNREADABLE
from search.api.v1.paging import Id, Part, part_of
from search.api.v1.responses import documented
from search.api.v1.runs import fields_of as fields_of_run
from search.api.v1.schemas import RunOut, SourceAdminOut, SourceIn, SourcesOut
from search.catalogue import counted_sources
from search.exceptions import AccessRefused

logger = logging.getLogger(__name__)

router = Router(tags=["sources"])


@router.get("/sources", auth=Door(SEARCH), **documented(SourcesOut, door=SEARCH))
async def sources(request: HttpRequest, part: Query[Part]) -> Any:
    """List the sources with the documents and chunks that can be found; keys with scope "admin" see more of them."""
    return await sync_to_async(listed)(request, part)


@router.post("/sources", auth=Door(ADMIN), **documented(SourceAdminOut, 400, door=ADMIN, status=201))
async def create_source(request: HttpRequest, source: SourceIn) -> Any:
    """Make a source and start its first run."""
    return await sync_to_async(created)(request, source)


@router.get("/sources/{source_id}", auth=Door(ADMIN), **documented(SourceAdminOut, 404, door=ADMIN))
async def source(request: HttpRequest, source_id: Id) -> Any:
    """Return one source."""
    return await sync_to_async(lambda: told_to_staff(chosen(caller_of(request), source_id)))()


@router.post("/sources/{source_id}/refresh", auth=Door(ADMIN), **documented(RunOut, 404, door=ADMIN, status=202))
async def refresh_source(request: HttpRequest, source_id: Id) -> Any:
    """Start a run of the source, or return the one that is under way."""
    return await sync_to_async(refreshed)(caller_of(request), source_id)


@router.post("/sources/{source_id}/pause", auth=Door(ADMIN), **documented(SourceAdminOut, 404, door=ADMIN))
async def pause_source(request: HttpRequest, source_id: Id) -> Any:
    """List and fetch nothing of the source until it is resumed; what it holds is still found."""
    return await sync_to_async(changed)(caller_of(request), source_id, steering.pause)


@router.post("/sources/{source_id}/resume", auth=Door(ADMIN), **documented(SourceAdminOut, 404, door=ADMIN))
async def resume_source(request: HttpRequest, source_id: Id) -> Any:
    """Let the source go on."""
    return await sync_to_async(changed)(caller_of(request), source_id, steering.resume)


@router.post("/sources/{source_id}/cancel", auth=Door(ADMIN), **documented(SourceAdminOut, 404, door=ADMIN))
async def cancel_run(request: HttpRequest, source_id: Id) -> Any:
    """End the run that is under way, if any; what was fetched is still embedded and indexed."""
    return await sync_to_async(changed)(caller_of(request), source_id, steering.cancel)


@router.delete("/sources/{source_id}", auth=Door(ADMIN), **documented(SourceAdminOut, 404, door=ADMIN, status=202))
async def delete_source(request: HttpRequest, source_id: Id) -> Any:
    """Take the source out of every answer now; its vectors and rows are deleted in the background."""
    return Status(202, await sync_to_async(changed)(caller_of(request), source_id, remove_source))


def listed(request: HttpRequest, part: Part) -> dict[str, Any]:
    """Return a part of the list of sources, as much of each as the caller's scope allows."""
    caller = caller_of(request)
    show = told_to_staff if ADMIN in caller.scopes else told
    return part_of(request, counted_sources(caller), part, "sources", show)


def created(request: HttpRequest, fields: SourceIn) -> HttpResponse:
    """Save a source as the admin's form does, and start its first run."""
    caller = caller_of(request)
    if caller.sources is not None:
        raise AccessRefused("This key is limited to some sources and cannot make others.", 403)
    groups = Group.objects.filter(name__in=fields.readers)
    if unknown := set(fields.readers) - {group.name for group in groups}:
        return invalid(request, {"readers": [f"There is no group named {', '.join(sorted(unknown))}."]})
    lines = {"include": "\n".join(fields.include), "exclude": "\n".join(fields.exclude)}
    rest = {"max_alike": 500, "trusts_dates": True, "groups": [group.pk for group in groups]}
    form = SourceForm({**fields.dict(), **lines, **rest})
    if not form.is_valid():
        return invalid(request, form.errors)
    row = form.save()
    start_run(row)
    wake_workers()
    body = told_to_staff(chosen(caller, row.pk))
    return JsonResponse(body, status=201, headers={"Location": reverse("api-v1:source", args=[row.pk])})


def refreshed(caller: Caller, source_id: int) -> Any:
    """Start a run and return it."""
    run = start_run(chosen(caller, source_id))
    wake_workers()
    return Status(202, fields_of_run(run))


def changed(caller: Caller, source_id: int, change: Callable[[Source], object]) -> dict[str, Any]:
    """Call ``change`` with a source, wake the workers, and return the source's fields afterwards. Raises Http404."""
    row = chosen(caller, source_id)
    change(row)
    wake_workers()
    row.refresh_from_db()
    return told_to_staff(row)


def chosen(caller: Caller, source_id: int) -> Any:
    """Return a source that the caller sees. Raises Http404."""
    row = counted_sources(caller).filter(pk=source_id).first()
    if row is None:
        raise Http404("There is no such source.")
    return row


def wake_workers() -> None:
    """Let the workers start at once; without Redis they start when it is back."""
    try:
        tasks.wake()
    except IngestionError as error:
        logger.warning("the workers start later: %s", error)


def invalid(request: HttpRequest, errors: Any) -> HttpResponse:
    """Return a problem with status 422 that names the fields of a source which the form refuses."""
    named = [{"field": f"body.source.{field}", "detail": str(each)} for field, all_ in errors.items() for each in all_]
    return problem_response(request, 422, UNREADABLE, errors=named)


def told(row: Any) -> dict[str, Any]:
    """Return the fields of a source that every caller may know: id, name and counts."""
    return {"id": row.pk, "name": row.name, "documents": row.findable, "chunks": row.chunks}


def told_to_staff(row: Any) -> dict[str, Any]:
    """Return the fields of a source for keys with the scope "admin": also target, filters and state."""
    more = ("kind", "target", "include", "exclude", "refresh_seconds", "paused", "deleting")
    readers = sorted(row.readers.values_list("name", flat=True))
    return {**told(row), **{name: getattr(row, name) for name in more}, "readers": readers}
