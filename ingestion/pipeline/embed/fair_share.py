"""Chooses whose chunks are embedded next: small sources first, large ones in equal numbers.

In: chunks that may be claimed. Out: ids of those to claim now. Does not claim them.

A source of a few pages would otherwise wait behind all the chunks of a large one, up to MAX_CHUNKS_WAITING. It costs
the large ones no more than its own time, and never more than three quarters of the device.
"""

from __future__ import annotations

import random

from django.db.models import Exists, OuterRef

from ingestion.models import Chunk, ChunkQuerySet, Document, Source, has_chunks

# A source with fewer chunks waiting than this, or than a claim has room for, is small: 10 s of work on two cores.
SMALL_CHUNKS = 256
# At least a quarter of a claim goes to the large sources, and a sixteenth to the oldest chunks of any source: also to
# chunks whose document is not waiting any more.
LARGE_PART, OLDEST_PART = 4, 16
# Sources that are looked at for one claim, chosen by chance: each costs two queries.
SOURCES_AT_A_TIME = 16


def choose_fairly(waiting: ChunkQuerySet, room: int) -> list[int]:
    """Return the ids of up to ``room`` of these chunks: of small sources all, of large ones equal numbers."""
    documents = Document.objects.filter(source=OuterRef("pk"), state=Document.State.EMBEDDING).order_by()
    sources = list(Source.objects.filter(Exists(documents)).order_by().values_list("id", flat=True))
    if len(sources) < 2:
        return oldest(waiting, room)
    most = max(room, SMALL_CHUNKS)
    small: list[list[int]] = []
    large: list[list[int]] = []
    for source_id in random.sample(sources, min(SOURCES_AT_A_TIME, len(sources))):
        # Two queries that use indexes: 8 ms for 1 000 of 15 000 waiting chunks, where one for both takes 19 for 128.
        first = Document.objects.filter(source_id=source_id, state=Document.State.EMBEDDING).order_by("depth", "id")
        document_ids = list(first.filter(has_chunks(Chunk.State.WAITING)).values_list("id", flat=True)[:most])
        ids = list(waiting.filter(document_id__in=document_ids).order_by().values_list("id", flat=True)[:most])
        (small if len(ids) < most else large).append(ids)
    shared = room - room // OLDEST_PART
    left = shared - shared // LARGE_PART if large else shared
    chosen = [pk for ids in sorted(small, key=len) for pk in ids][:left]  # the smallest source first
    # What is left is divided equally among the large ones.
    part = max(1, (shared - len(chosen)) // max(1, len(large)))
    chosen = (chosen + [pk for ids in large for pk in ids[:part]])[:shared]
    return chosen + oldest(waiting.exclude(id__in=chosen), room - len(chosen))


def oldest(waiting: ChunkQuerySet, room: int) -> list[int]:
    """Return the ids of the ``room`` oldest of these chunks."""
    return list(waiting.order_by("id").values_list("id", flat=True)[:room])
