"""Runs that the surroundings hold up: what they need is missing or full, and a person has to see to it.

In: a fault that a document or a listing met. Out: the document waits again as if it had not been tried, and its run
says what is wrong, once for all documents. The dispatcher then tries one document of the run at a time, every
PROBE_SECONDS, and all of them as soon as one gets through.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from ingestion.environment_faults import persistently
from ingestion.exceptions import EnvironmentFault
from ingestion.models import Document, Run
from ingestion.models.times import passed

PROBE_SECONDS = 5.0


def hold_up(document: Document, fault: EnvironmentFault) -> None:
    """Let a document wait as if it had not been tried, and hold its run up, with the fault as the reason."""
    until = next_probe()

    @transaction.atomic
    def write() -> None:
        """Put the document off and write on its run that it is held up, in one transaction.

        Write nothing when the attempt is over, or is another worker's.
        """
        held = Document.objects.held(document)
        if not held.put_off(document.pk, attempt=document.attempts - 1, error="", until=until):
            return  # it is not this worker's any more
        Run.objects.active().filter(documents=document.pk).update(held_up_until=until, note=str(fault))

    persistently(write)


def go_on(run: Run | None) -> None:
    """Let the documents of a run be processed at full speed again, since one got through."""
    if run is not None and run.held_up_until is not None:
        Run.objects.filter(id=run.pk).exclude(held_up_until=None).update(held_up_until=None, note="")


def next_probe() -> datetime:
    """Return when what is held up is tried again."""
    return timezone.now() + timedelta(seconds=PROBE_SECONDS)


def held_up_sources() -> tuple[set[int], set[int]]:
    """Return the ids of sources whose run is held up: those to leave alone now, and those to try one document of."""
    held_up = Run.objects.active().exclude(held_up_until=None)
    probed = held_up.filter(passed("held_up_until", longest=PROBE_SECONDS))
    to_try = set(probed.values_list("source_id", flat=True))
    return set(held_up.values_list("source_id", flat=True)) - to_try, to_try
