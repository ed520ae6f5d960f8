"""What staff do to sources, the same from the list of sources and from the admin's first page.

In: a request, the name of an action and sources. Out: the action done, a line in the audit trail and a message that
says what happened, for each source; the workers are told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from ingestion.admin.wake import tell_workers
from ingestion.models import Source
from ingestion.pipeline.state import steering
from ingestion.pipeline.state.removals import accept_missing
from ingestion.pipeline.state.runs import start_run


@dataclass(frozen=True, slots=True)
class SourceAction:
    """One action: what its button says, what it does to a source, and the right that it takes."""

    title: str
    do: Callable[[Source], str]  # returns what happened
    right: str = "change"


def act(request: HttpRequest, name: str, sources: Iterable[Source]) -> None:
    """Do what the action of this name does to each source. Raise PermissionDenied without the right to it."""
    action = ACTIONS[name]
    if not request.user.has_perm(f"ingestion.{action.right}_source"):
        raise PermissionDenied
    for source in sources:
        happened = action.do(source)
        said = f"{action.title}: {happened}"
        LogEntry.objects.log_actions(str(request.user.pk), [source], CHANGE, change_message=said)
        messages.info(request, f"{source}: {happened}")
    tell_workers(request)


def ingest(source: Source) -> str:
    """Start a run of the source, unless one is under way. Return what happened, in words for staff."""
    start_run(source)
    return "a run is under way."


def pause(source: Source) -> str:
    """Pause the source. Return what happened, in words for staff."""
    steering.pause(source)
    return "paused; what was fetched is still embedded, and nothing more is fetched until it is resumed."


def resume(source: Source) -> str:
    """Resume the source. Return what happened, in words for staff."""
    steering.resume(source)
    return "goes on."


def cancel(source: Source) -> str:
    """Cancel the source's run. Return what happened, in words for staff."""
    left = steering.cancel(source)
    if left is None:
        return "no run is under way."
    return f"the run is cancelled; {left} documents were not fetched, and what was fetched is still embedded."


def retry(source: Source) -> str:
    """Queue the source's failed documents again. Return what happened, in words for staff."""
    return f"{steering.retry_failed(source)} failed documents are tried again."


def embed_again(source: Source) -> str:
    """Have the source's vectors made again. Return what happened, in words for staff."""
    return f"{steering.embed_again(source)} chunks are embedded again; the vectors that they have answer until then."


def remove_missing(source: Source) -> str:
    """Remove the source's missing pages from the index. Return what happened, in words for staff."""
    return f"{accept_missing(source)} missing pages leave the index."


ACTIONS = {
    "ingest_now": SourceAction("Ingest now", ingest),
    "pause": SourceAction("Pause", pause),
    "resume": SourceAction("Resume", resume),
    "cancel_run": SourceAction("Cancel the run", cancel),
    "retry_failed": SourceAction("Retry failed documents", retry),
    "embed_again": SourceAction("Embed again", embed_again),
    "remove_missing_pages": SourceAction("Remove missing pages", remove_missing, right="delete"),
}
