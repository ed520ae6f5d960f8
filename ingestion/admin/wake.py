"""Tell the workers that there is work, and the person at the admin whether they were told."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest

from ingestion import tasks
from ingestion.exceptions import IngestionError


def tell_workers(request: HttpRequest) -> None:
    """Wake the dispatcher once the rows are committed; if the broker is down the rows still stand."""
    transaction.on_commit(lambda: announce(request))


def announce(request: HttpRequest) -> None:
    try:
        tasks.wake()
    except IngestionError as error:
        messages.warning(request, f"Saved. {error}")
    else:
        messages.success(request, "Work is under way; reload this page to see its progress.")
