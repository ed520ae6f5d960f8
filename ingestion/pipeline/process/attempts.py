"""A worker's hold on a document: whether what it read may still be stored.

In: a document as it was read when its attempt began. Out: its row, locked until the transaction ends; or LeaseLost.
Each way in which an attempt can end asks this first.
"""

from __future__ import annotations

from ingestion.exceptions import LeaseLost
from ingestion.models import Document


def hold(document: Document) -> Document:
    """Lock and return the document's row, and put the run that it belongs to by now on ``document``.

    Raise LeaseLost when the attempt is not this worker's any more: its lease ran out, its run was cancelled, or its
    source is being deleted.
    """
    row = Document.objects.held(document).select_for_update(no_key=True).only("run", "duplicate_of").first()
    if row is None:
        raise LeaseLost(f"{document.url} was taken from this worker while it read it; what it read is dropped.")
    if row.run_id != document.run_id:
        document.run = row.run
    return row
