"""Which Milvus collection is searched and which is filled, and how one takes the other's place.

A collection belongs to one model (weights, pooling, dimension); vectors of two models cannot be compared. Precision
(float16, int8) makes no other model: a text's vectors then differ by less than 0.01 in cosine, as questions and
passages embedded on different devices do in any case.

Only the embedder decides what is filled: it *adopts* the collection of the model that it has loaded, once per process.
Everything else goes by the rows, so that a process left with older settings cannot turn the index back. Records name
the collection that they were made for; the drain drops those for another.

What is written goes to one collection, what is deleted leaves all of them. A question is answered by the collection
whose row is ``active``, with that row's model.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from ingestion.embedding.embedder import configured_model
from ingestion.models import Chunk, Collection, Document
from ingestion.types import Json, ModelSpec
from ingestion.vector_store.store import VectorStore, open_store

logger = logging.getLogger(__name__)

# A web process goes on with the old collection while it loads the new model, and going back is cheap so long.
GRACE_SECONDS = 3600.0


_adopted: set[ModelSpec] = set()


def adopt() -> Collection:
    """The collection of this process's model. The first call has it filled from now on: whoever started last decides.
    For the embedder alone, once its model is loaded."""
    model = configured_model()
    row = Collection.objects.of(model)
    if row is None or model not in _adopted:
        row = have_filled(model)
    _adopted.add(model)
    return row


@transaction.atomic
def have_filled(model: ModelSpec) -> Collection:
    list(Collection.objects.select_for_update())  # two embedders that start together decide in turn
    row = Collection.objects.of(model) or create(model)
    if row != Collection.objects.written() or row.note:
        begin(row)
    return row


def create(model: ModelSpec) -> Collection:
    """The first collection is searched at once."""
    fields = {"model": model.path, "pooling": model.pooling, "dimension": model.dimension}
    first = not Collection.objects.filter(active=True).exists()
    return Collection.objects.get_or_create(name=name_of(model), defaults={**fields, "active": first})[0]


def name_of(model: ModelSpec) -> str:
    words = "".join(c if c.isalnum() else "_" for c in model.path.rsplit("/", 1)[-1].lower())
    digest = hashlib.blake2b(f"{model.path}\0{model.pooling}".encode(), digest_size=3).hexdigest()
    return f"{settings.MILVUS_COLLECTION}_{words}_{model.dimension}_{digest}"


def begin(row: Collection) -> None:
    """Fill this one: compare every chunk that there is with what it holds. The one filled before is left."""
    now = timezone.now()
    others = Collection.objects.exclude(pk=row.pk).filter(building=True)
    others.update(building=False, checked_to=None, note="", retired_at=now)
    row.building, row.retired_at, row.note = not row.active, None, ""
    row.checked_to, row.started_at = 0, now
    row.last_chunk = Chunk.objects.aggregate(n=Max("id"))["n"] or 0
    row.save()
    logger.info("the collection %s is filled from now on (%s)", row.name, row.model)


def written_row() -> Collection:
    """The collection that is filled; the first one, of the configured model, when there is none yet."""
    return Collection.objects.written() or create(configured_model())


def written_store() -> VectorStore:
    """What is written goes to the collection being filled, what is deleted leaves every collection."""
    row = written_row()
    others = Collection.objects.exclude(pk=row.pk).order_by("pk").values_list("name", "dimension")
    store = open_mirrored(row.name, row.dimension, tuple(others)) if others else open_store(row.name, row.dimension)
    store.ensure()
    return store


@functools.cache
def open_mirrored(name: str, dimension: int, others: tuple[tuple[str, int], ...]) -> VectorStore:
    return Mirrored(name, dimension, others)


class Mirrored(VectorStore):
    """One collection whose deletions reach others too."""

    def __init__(self, name: str, dimension: int, others: Iterable[tuple[str, int]]) -> None:
        super().__init__(name, dimension)
        self.others = [open_store(*other) for other in others]

    def delete(self, keys: Iterable[str]) -> None:
        wanted = list(keys)
        for store in self.others:
            if store.exists():  # it may have been dropped a moment ago
                store.delete(wanted)
        super().delete(wanted)


def embedder_is_current(mine: Collection) -> bool:
    """Whether what this process embeds is still wanted."""
    return Collection.objects.written() == mine


def is_building() -> bool:
    """Whether a collection is filled beside the searched one."""
    return Collection.objects.filter(building=True).exists()


def change_wanted() -> bool:
    """Whether these settings name another model than the one being filled; the embedder decides by its own."""
    row = Collection.objects.written()
    return row is not None and row.spec() != configured_model()


def swap(row: Collection) -> bool:
    """From now on ``row`` is searched. False when the embedder has turned to another one meanwhile."""
    with transaction.atomic():
        Collection.objects.filter(active=True).update(active=False, retired_at=timezone.now())
        chosen = Collection.objects.filter(pk=row.pk, building=True)
        if not chosen.update(active=True, building=False, checked_to=None, note=""):
            transaction.set_rollback(True)
            return False
    logger.info("the collection %s is searched from now on", row.name)
    return True


def drop_retired() -> int:
    """Remove collections that have been out of use for the time of grace. Returns how many."""
    now = timezone.now()
    before = now - timedelta(seconds=GRACE_SECONDS)
    Collection.objects.filter(retired_at__gt=now).update(retired_at=now)  # the clock was set back since
    unused = Collection.objects.filter(active=False, building=False, retired_at__lt=before)
    return sum(map(drop, unused))


def drop(row: Collection) -> int:
    """First Milvus, then the row: whoever dies in between does it again."""
    open_store(row.name, row.dimension).drop()
    done, _ = Collection.objects.filter(pk=row.pk, active=False, building=False).delete()
    logger.info("the collection %s was dropped", row.name)
    return done


def build_progress() -> Json | None:
    """How far the new collection is; None while there is none."""
    row = Collection.objects.filter(building=True).first()
    if row is None:
        return None
    live = Chunk.objects.live().filter(id__lte=row.last_chunk)
    total = live.count()
    unchecked = live.filter(state=Chunk.State.INDEXED, id__gt=row.checked_to or 0).count()
    left = unchecked + live.filter(state__in=Chunk.PENDING).count()
    share = 1 - left / total if total else 1.0
    return {
        "collection": row.name,
        "model": row.model,
        "percent": round(100 * share, 1),
        "chunks_left": left,
        "eta_seconds": eta(row, share),
        "found_later": found_later(row),
        "note": row.note,
    }


def found_later(row: Collection) -> int:
    """Documents whose new text only the new collection has: indexed, but not found before it is searched."""
    return Document.objects.filter(state=Document.State.INDEXED, indexed_at__gte=row.started_at).count()


def progress_sentence(progress: Json) -> str:
    if not progress:
        return "searched from now on"
    parts = [f"{progress['collection']}: {progress['percent']} %, {progress['chunks_left']} chunks left"]
    parts += [f"about {progress['eta_seconds']} s"] if progress["eta_seconds"] else []
    parts += [f"{progress['found_later']} documents are found when it is done"] if progress["found_later"] else []
    return ", ".join(parts) + (f". {progress['note']}" if progress["note"] else "")


def last_audit() -> Json | None:
    row = Collection.objects.written()
    return row.audit or None if row else None


def eta(row: Collection, share: float) -> int | None:
    """As long again as the part done took, in proportion."""
    if row.started_at is None or not 0 < share < 1:
        return None
    spent = (timezone.now() - row.started_at).total_seconds()
    return round(spent * (1 - share) / share)
