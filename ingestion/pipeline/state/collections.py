"""Which Milvus collection is searched and which is filled, and how one takes the other's place.

A collection belongs to one model (weights, pooling, dimension); vectors of two models cannot be compared. A model that
is found at another path, as after a restore on another machine, is known by its files and stays the same. A collection
of an older layout is replaced in the same way, by one with copies of its vectors. Precision
(float16, int8) makes no other model: a text's vectors then differ by less than 0.01 in cosine, as those of questions
and passages embedded on different devices do in any case.

Only the embedder decides which collection is filled: it *adopts* the one of the model that it has loaded, once per
process. Everything else goes by the rows, so that a process left with older settings cannot undo a change of the model.
Records name the collection that they were made for; the drain drops those for another.

What is written goes to one collection, what is deleted is deleted from all of them. A question is answered by the
collection whose row is ``active``, with that row's model.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from ingestion.embedding.loading import configured_model
from ingestion.embedding.model_files import weights_at
from ingestion.models import LAYOUT, Chunk, Collection, Document
from ingestion.types import ModelSpec
from ingestion.vector_store.store import VectorStore, open_store

logger = logging.getLogger(__name__)

# How long a retired collection is kept: a web process answers from it while it loads the new model, and so long going
# back to the old model costs nothing.
GRACE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far the collection is that is being built."""

    collection: str
    model: str
    percent: float
    chunks_left: int
    eta_seconds: int | None  # None before any chunk is done
    found_later: int  # documents whose new text only the new collection has
    note: str  # why it does not take the other one's place, if it does not


@dataclass(frozen=True, slots=True)
class LastAudit:
    """What a collection's row says of its last audit and of one that was asked for; None: it says nothing of that.

    The row's ``audit`` and `manage.py status --json` hold these names as keys.
    """

    missing: int | None = None
    orphan: int | None = None
    duplicate: int | None = None
    stale: int | None = None
    repaired: int | None = None
    at: str | None = None  # ISO 8601
    expected: int | None = None  # chunks by the rows, when an audit was asked for
    held: int | None = None  # chunks in Milvus then
    asked_at: str | None = None  # ISO 8601


_adopted: set[ModelSpec] = set()


def adopt() -> Collection:
    """Return the collection of this process's model; the first call has it filled from now on.

    For the embedder alone, once its model is loaded: of several embedders the one that started last decides. Raises
    ModelError when other files have taken the place of those that made the collection's vectors.
    """
    model = configured_model()
    row = Collection.objects.of(model)
    if row is None or model not in _adopted:
        weights = weights_at(model.path)
        if row is not None:
            row.require_weights(weights)
        with transaction.atomic():
            list(Collection.objects.select_for_update())  # embedders that start together decide one after the other
            if Collection.objects.of(model) is None:
                Collection.objects.moved(model, weights).update(model=model.path)
            row = Collection.objects.of(model) or create(model)
            if weights and not row.weights:
                row.weights = weights
                row.save(update_fields=["weights"])
            if row != Collection.objects.written() or row.note:
                begin(row)
    _adopted.add(model)
    return row


def create(model: ModelSpec) -> Collection:
    """Make the row of a model's collection, or return the one that there is; the very first is searched at once."""
    words = "".join(c if c.isalnum() else "_" for c in model.path.rsplit("/", 1)[-1].lower())
    digest = hashlib.blake2b(f"{model.path}\0{model.pooling}".encode(), digest_size=3).hexdigest()
    fields = {
        "model": model.path,
        "pooling": model.pooling,
        "dimension": model.dimension,
        "active": not Collection.objects.filter(active=True).exists(),
    }
    name = f"{settings.MILVUS_COLLECTION}_{words}_{model.dimension}_{digest}_{LAYOUT}"
    return Collection.objects.get_or_create(name=name, defaults=fields)[0]


def begin(row: Collection) -> None:
    """Begin to fill a collection, and stop filling any other: every chunk is to be compared with what it holds."""
    now = timezone.now()
    others = Collection.objects.exclude(pk=row.pk).filter(building=True)
    others.update(building=False, checked_to=None, note="", retired_at=now)
    row.building, row.retired_at, row.note = not row.active, None, ""
    row.checked_to, row.started_at = 0, now
    row.last_chunk = Chunk.objects.aggregate(n=Max("id"))["n"] or 0
    row.save()
    logger.info("the collection %s is filled from now on (%s)", row.name, row.model)


def written_store() -> VectorStore:
    """Return the store to write to: the collection that is filled, made for the configured model when there is none.

    What is deleted from it is deleted from every collection.
    """
    row = Collection.objects.written() or create(configured_model())
    others = Collection.objects.exclude(pk=row.pk).order_by("pk").values_list("name", "dimension")
    store = open_mirrored(row.name, row.dimension, tuple(others)) if others else open_store(row.name, row.dimension)
    store.ensure()
    return store


@functools.cache
def open_mirrored(name: str, dimension: int, others: tuple[tuple[str, int], ...]) -> VectorStore:
    """Return the store of a collection whose deletions reach the ``others``, given as (name, dimension)."""
    return Mirrored(name, dimension, others)


class Mirrored(VectorStore):
    """One collection whose deletions reach others too."""

    def __init__(self, name: str, dimension: int, others: Iterable[tuple[str, int]]) -> None:
        super().__init__(name, dimension)
        self.others = [open_store(*other) for other in others]

    def delete(self, keys: Iterable[str]) -> None:
        """Delete these keys from the other collections, then from this one."""
        wanted = list(keys)
        for store in self.others:
            if store.exists():  # it may have been dropped a moment ago
                store.delete(wanted)
        super().delete(wanted)


def embedder_is_current(mine: Collection) -> bool:
    """Return whether ``mine``, the collection that this process embeds for, is still the one to fill."""
    return Collection.objects.written() == mine


def is_building() -> bool:
    """Return whether a collection is filled beside the searched one."""
    return Collection.objects.filter(building=True).exists()


def change_wanted() -> bool:
    """Return whether the collection that is filled has another model than this process's settings, or an old layout.

    Only a hint: the embedder decides by its own settings.
    """
    row = Collection.objects.written()
    return row is not None and (row.spec() != configured_model() or row.layout != LAYOUT)


def swap(row: Collection) -> bool:
    """Have ``row`` searched from now on. Return False when the embedder has adopted another collection meanwhile."""
    with transaction.atomic():
        Collection.objects.filter(active=True).update(active=False, retired_at=timezone.now())
        chosen = Collection.objects.filter(pk=row.pk, building=True)
        if not chosen.update(active=True, building=False, checked_to=None, note=""):
            transaction.set_rollback(True)
            return False
    logger.info("the collection %s is searched from now on", row.name)
    return True


def drop_retired() -> int:
    """Drop the collections that have been out of use for GRACE_SECONDS. Return how many."""
    now = timezone.now()
    before = now - timedelta(seconds=GRACE_SECONDS)
    Collection.objects.filter(retired_at__gt=now).update(retired_at=now)  # the clock was set back since
    dropped = 0
    for row in Collection.objects.filter(active=False, building=False, retired_at__lt=before):
        # First Milvus, then the row: a process that dies in between leaves the row for the next one.
        open_store(row.name, row.dimension).drop()
        dropped += Collection.objects.filter(pk=row.pk, active=False, building=False).delete()[0]
        logger.info("the collection %s was dropped", row.name)
    return dropped


def build_progress() -> BuildProgress | None:
    """Return how far the collection is that is being built; None when there is none."""
    row = Collection.objects.filter(building=True).first()
    if row is None:
        return None
    live = Chunk.objects.live().filter(id__lte=row.last_chunk)
    total = live.count()
    unchecked = live.filter(state=Chunk.State.INDEXED, id__gt=row.checked_to or 0).count()
    left = unchecked + live.filter(state__in=Chunk.PENDING).count()
    share = 1 - left / total if total else 1.0
    eta = None
    if row.started_at and 0 < share < 1:
        eta = round((timezone.now() - row.started_at).total_seconds() * (1 - share) / share)
    found_later = Document.objects.filter(state=Document.State.INDEXED, indexed_at__gte=row.started_at)
    return BuildProgress(
        collection=row.name,
        model=row.model,
        percent=round(100 * share, 1),
        chunks_left=left,
        eta_seconds=eta,
        found_later=found_later.count(),
        note=row.note,
    )


def last_audit(row: Collection) -> LastAudit | None:
    """Return what the row of a collection says of audits; None when it says nothing yet."""
    if not row.audit:
        return None
    return LastAudit(**{field.name: row.audit.get(field.name) for field in fields(LastAudit)})
