"""/runs: what became of each pass over a source, and the progress of one that goes on. For scope "admin"."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import asdict
from time import monotonic
from typing import Any

from asgiref.sync import sync_to_async
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, StreamingHttpResponse
from ninja import Field, Query, Router

from ingestion.models import Run
from ingestion.pipeline.state.runs import progress
from ragproject.connections import give_back
from search.access.caller import ADMIN, Caller
from search.api.events import HEARTBEAT, HEARTBEAT_SECONDS, encode
from search.api.v1.door import Door, caller_of
from search.api.v1.paging import MOST_ID, Id, Part, part_of
from search.api.v1.responses import NO_STORE, documented
from search.api.v1.schemas import RunOut, RunsOut

EVENTS = "text/event-stream"
# A display of progress that is a second old is fresh enough, and each look costs five queries.
LOOK_EVERY_SECONDS = 1.0

router = Router(tags=["runs"])


class RunsPart(Part):
    """Which runs, and which part of their list."""

    source_id: int | None = Field(None, ge=1, le=MOST_ID)


@router.get("/runs", auth=Door(ADMIN), **documented(RunsOut, door=ADMIN))
async def runs(request: HttpRequest, part: Query[RunsPart]) -> Any:
    """List the runs, the newest first."""
    return await sync_to_async(listed)(request, part)


@router.get("/runs/{run_id}", auth=Door(ADMIN), **documented(RunOut, 404, door=ADMIN))
async def run(request: HttpRequest, run_id: Id) -> Any:
    """Return one run."""
    return await sync_to_async(one)(caller_of(request), run_id)


@router.get("/runs/{run_id}/events", auth=Door(ADMIN), **documented(None, 404, door=ADMIN, also=EVENTS))
async def run_events(request: HttpRequest, run_id: Id) -> StreamingHttpResponse:
    """Stream a run's progress: an event `progress` for each change, and `done` with the run at its end."""
    caller = caller_of(request)
    await sync_to_async(one)(caller, run_id)
    headers = {**NO_STORE, "X-Accel-Buffering": "no"}
    stream = watched(caller, run_id)
    return StreamingHttpResponse(stream, content_type=f"{EVENTS}; charset=utf-8", headers=headers)


async def watched(caller: Caller, run_id: int) -> AsyncGenerator[str, None]:
    """Yield the stream of a run until it has ended, or its source is gone."""
    shown, spoke = "", monotonic()
    while True:
        try:
            row = await sync_to_async(one)(caller, run_id)
        except Http404:
            return
        if row["state"] not in Run.ACTIVE:
            yield encode("done", json.loads(json.dumps(row, cls=DjangoJSONEncoder)))
            return
        figures = asdict(await sync_to_async(progress)([run_id]))
        event = encode("progress", {"state": row["state"], **figures})
        if event != shown:
            yield event
            shown, spoke = event, monotonic()
        elif monotonic() - spoke > HEARTBEAT_SECONDS:
            yield HEARTBEAT
            spoke = monotonic()
        await give_back()
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def visible_runs(caller: Caller) -> QuerySet[Run]:
    """Return the runs of the sources that the caller sees."""
    return Run.objects.filter(caller.visible("source")).select_related("source")


def listed(request: HttpRequest, part: RunsPart) -> dict[str, Any]:
    """Return a part of the list of runs."""
    rows = visible_runs(caller_of(request))
    if part.source_id is not None:
        rows = rows.filter(source_id=part.source_id)
    return part_of(request, rows, part, "runs", fields_of, newest=True)


def one(caller: Caller, run_id: int) -> dict[str, Any]:
    """Return a run's fields, as ``fields_of`` does. Raises Http404 where the caller sees no such run."""
    row = visible_runs(caller).filter(pk=run_id).first()
    if row is None:
        raise Http404("There is no such run.")
    return fields_of(row)


def fields_of(row: Run) -> dict[str, Any]:
    """Return the fields of a run for callers: its source, state, times, figures, error and note."""
    told = ("id", "source_id", "state", "error", "note", "created_at", "finished_at", "figures")
    return {"source": row.source.name, **{name: getattr(row, name) for name in told}}
