"""Finds out whether the searched collection holds as many chunks as the rows say, by two counts.

In: the rows and the searched collection. Out: whether an audit should start now, and on the collection's row what was
counted. Does not find out which chunks are missing: that is the audit's work, which has them embedded again. Until it
has ended ``shortfall`` says that it is under way.

A collection that was dropped or emptied answers each question with nothing, and without an error. Two counts are cheap
enough for every 15 seconds.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from ingestion.coordination import circuit_breaker
from ingestion.coordination.locks import once_in
from ingestion.exceptions import IngestionError, VectorStoreUnavailable
from ingestion.models import Chunk, Collection
from ingestion.pipeline.state.collections import is_building
from ingestion.vector_store.store import import_without_pandas, open_store

logger = logging.getLogger(__name__)

# Counting 100 000 rows takes Milvus Lite and SQLite 10 ms each.
CHECK_SECONDS = 15.0
# An audit that was asked for is asked for again after this: its message may have been lost.
ASK_AGAIN_SECONDS = 600.0


def audit_wanted() -> bool:
    """Count chunks, at most every CHECK_SECONDS over all processes, and return whether an audit should start now.

    While a second collection is filled nothing is counted: the build ends with an audit.
    """
    row = Collection.objects.searched()
    if row is None or is_building() or row.checked_to is not None or circuit_breaker.current():
        return False
    try:
        if not once_in(CHECK_SECONDS, "completeness"):
            return False
        import_without_pandas()
        # Twice: a chunk that was deleted between the two counts is not missing at the second try.
        if not all(count_missing(row) for _ in range(2)):
            return False
        # The note stays on the row until an audit replaces it.
        now, asked = timezone.now(), row.audit.get("asked_at")
        if asked and now - datetime.fromisoformat(asked) < timedelta(seconds=ASK_AGAIN_SECONDS):
            return False
        row.audit["asked_at"] = now.isoformat(timespec="seconds")
        Collection.objects.filter(pk=row.pk).update(audit=row.audit)
        logger.warning("%s", shortfall())
        return True
    except VectorStoreUnavailable as error:
        logger.warning("%s", circuit_breaker.note(str(error)))
    except IngestionError as error:
        logger.warning("the chunks in %s were not counted: %s", row.name, error)
    return False


def count_missing(row: Collection) -> int:
    """Return how many chunks the collection lacks, and put both counts on ``row`` without saving it.

    A chunk is marked indexed after Milvus has it and unmarked before Milvus loses it, so that the rows are counted
    first.
    """
    expected = indexed_chunks()
    store = open_store(row.name, row.dimension)
    held = store.count() if store.exists() else 0
    row.audit |= {"expected": expected, "held": held}
    return max(0, expected - held)


def indexed_chunks() -> int:
    """Return how many rows say indexed: all, less the others, which are few and found by an index."""
    others = set(Chunk.State) - {Chunk.State.INDEXED}
    return Chunk.objects.count() - Chunk.objects.filter(state__in=others).count()


def is_asked_for(row: Collection) -> bool:
    """Return whether an audit was asked for that has not ended yet."""
    return "asked_at" in row.audit


def shortfall() -> str:
    """Return an alert that says what is missing while an audit is to find it; empty when nothing is known to be."""
    row = Collection.objects.searched()
    if row is None or not is_asked_for(row):
        return ""
    return (
        f"The collection {row.name} in Milvus holds {row.audit['held']} of {row.audit['expected']} chunks: it was "
        f"dropped, emptied or restored ({settings.MILVUS_URI}). An audit looks for what is missing and has it embedded "
        "again; questions find less until that is done."
    )
