"""Tell the workers that there is work, and the person in the admin whether that worked."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest

from ingestion import tasks
from ingestion.exceptions import IngestionError


def tell_workers(request: HttpRequest) -> None:
    """Call ``announce`` once the rows are committed. Without Redis the workers start later, and nothing is lost."""
    transaction.on_commit(lambda: announce(request))


def announce(request: HttpRequest) -> None:
    """Wake the dispatcher, and say on the next page whether that worked."""
    try:
        tasks.wake()
    except IngestionError as error:
        messages.warning(request, f"Saved. {error}")
    else:
        messages.success(request, "Work is under way; reload this page to see its progress.")
