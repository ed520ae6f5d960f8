"""The admin's first page: what every source does just now, why it waits, and what can be done about it.

The page asks for this part again every few seconds. Its figures are those of ``manage.py status``; its buttons do what
the actions of the list of sources do.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from ingestion.admin.source_actions import ACTIONS, act
from ingestion.coordination.heartbeat import EmbeddingWorker
from ingestion.models import Document, Run, Source
from ingestion.pipeline.report.status import SourceStatus, Status, status
from ragproject.embedded.preflight import database_trouble

# Errors of one source that are shown apart; the rest is in the list of documents.
ERRORS = 5


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A source as the page shows it."""

    pk: int
    status: SourceStatus
    done: int
    known: int
    failed: int
    active: bool
    paused: bool
    wait: str  # why it waits, or what went wrong


@require_safe
@never_cache
def live(request: HttpRequest) -> HttpResponse:
    """Show the state of everything, as a part of the first page."""
    if not request.user.has_perm("ingestion.view_source"):
        raise PermissionDenied
    try:
        found = status()
    except DatabaseError:
        return HttpResponse(format_html('<p class="alert" role="alert">{}</p>', database_trouble()))
    workers = found.embedders if isinstance(found.embedders, dict) else {}
    shown = {
        "status": found,
        "sources": source_lines(found),
        "errors": grouped_errors(),
        "workers": [(name, sentence(worker)) for name, worker in workers.items()],
        "may_change": request.user.has_perm("ingestion.change_source"),
    }
    return render(request, "ingestion/live.html", shown)


def source_lines(found: Status) -> list[SourceLine]:
    """Return every source with its progress."""
    rows = {name: (pk, paused) for name, pk, paused in Source.objects.values_list("name", "id", "paused")}
    lines = []
    for source in found.sources:
        known = sum(source.documents.values())
        left = sum(source.documents.get(state, 0) for state in Document.ACTIVE)
        failed = sum(source.documents.get(state, 0) for state in Document.UNSUCCESSFUL)
        active = source.state in Run.ACTIVE
        pk, paused = rows.get(source.name, (0, False))
        left_alone = f"Its host is left alone until {source.paused_until:%H:%M:%S}." if source.paused_until else ""
        wait = "Paused by staff." if paused else source.error or source.note or left_alone
        lines.append(SourceLine(pk, source, known - left, known, failed, active, paused, wait))
    return lines


def grouped_errors() -> list[tuple[str, int, str]]:
    """Return the commonest errors of documents, each with their number and the address of one."""
    rows = Document.objects.filter(state__in=Document.UNSUCCESSFUL).order_by("-updated_at")
    groups: dict[str, list[str]] = {}
    for url, error in rows.values_list("url", "error")[:1000]:
        groups.setdefault(error.replace(url, "…"), []).append(url)
    commonest = sorted(groups.items(), key=lambda group: -len(group[1]))
    return [(error, len(urls), urls[0]) for error, urls in commonest[:ERRORS]]


def sentence(worker: EmbeddingWorker) -> str:
    """Return what an embedding worker does, in words."""
    speed = f", {worker.tokens_per_second:.0f} tokens a second" if worker.tokens_per_second else ""
    return f"{worker.state}{speed}{f': {worker.reason}' if worker.reason else ''}"


@require_POST
def act_on_one(request: HttpRequest) -> HttpResponse:
    """Do what a button of the page says to one source, and go back to the page."""
    name = request.POST.get("do", "")
    if name in ACTIONS:
        act(request, name, Source.objects.filter(name=request.POST.get("source", ""), deleting=False))
    return redirect("admin:index")


admin.site.index_template = "ingestion/first_page.html"
