"""Whose chunks are embedded next: small sources first, large ones in equal numbers.

A source of a few pages would otherwise stand behind all the chunks of a large one, up to MAX_CHUNKS_WAITING. It costs
the large ones no more than its own time, and never more than three quarters of the device.
"""

from __future__ import annotations

import random

from django.db.models import Exists, OuterRef

from ingestion.models import Chunk, ChunkQuerySet, Document, Source, has_chunks

# A source with fewer chunks waiting than this, or than a claim has room for, is small: 10 s of work on two cores.
SMALL_CHUNKS = 256
# Of a claim, for the large sources at least, and for the oldest whatever their source: also for chunks whose document
# is not waiting any more.
LARGE_PART, OLDEST_PART = 4, 16
# Looked at for one claim, by chance: each costs two questions.
SOURCES_AT_A_TIME = 16


def in_turns(waiting: ChunkQuerySet, room: int) -> list[int]:
    """The ids of up to ``room`` of these chunks."""
    sources, most = embedding_sources(), max(room, SMALL_CHUNKS)
    if len(sources) < 2:
        return oldest(waiting, room)
    looked_at = random.sample(sources, min(SOURCES_AT_A_TIME, len(sources)))
    found = [first_of(waiting, each, most) for each in looked_at]
    chosen = shares(found, most, room - room // OLDEST_PART)
    return chosen + oldest(waiting.exclude(id__in=chosen), room - len(chosen))


def shares(found: list[list[int]], most: int, room: int) -> list[int]:
    """Of the small sources all, the smallest first, and of the large ones, which have ``most``, equal numbers."""
    large = [ids for ids in found if len(ids) == most]
    small = sorted((ids for ids in found if len(ids) < most), key=len)
    left = room - room // LARGE_PART if large else room
    chosen = [pk for ids in small for pk in ids][:left]
    part = max(1, (room - len(chosen)) // max(1, len(large)))
    return (chosen + [pk for ids in large for pk in ids[:part]])[:room]


def embedding_sources() -> list[int]:
    """Sources with documents whose chunks wait."""
    documents = Document.objects.filter(source=OuterRef("pk"), state=Document.State.EMBEDDING).order_by()
    return list(Source.objects.filter(Exists(documents)).order_by().values_list("id", flat=True))


def first_of(waiting: ChunkQuerySet, source_id: int, most: int) -> list[int]:
    """Of the source's first documents that have any, found by indexes: 8 ms for 1 000 of 15 000 waiting chunks, where
    one query for both takes 19 for 128."""
    documents = Document.objects.filter(source_id=source_id, state=Document.State.EMBEDDING).order_by("depth", "id")
    ids = list(documents.filter(has_chunks(Chunk.State.WAITING)).values_list("id", flat=True)[:most])
    return list(waiting.filter(document_id__in=ids).order_by().values_list("id", flat=True)[:most])


def oldest(waiting: ChunkQuerySet, room: int) -> list[int]:
    return list(waiting.order_by("id").values_list("id", flat=True)[:room])
