"""Whose chunks are embedded next: those of every source that has any, in equal numbers.

A source of a few pages would otherwise stand behind all the chunks of a large one, up to MAX_CHUNKS_WAITING. While
there is such a small source, a claim is no larger than its chunks and as many of each other source, so that its last
chunk does not wait for a whole claim of the large one's; but never so small that batches would be padded much.
"""

from __future__ import annotations

import random

from django.db.models import Exists, OuterRef

from ingestion.models import Chunk, ChunkQuerySet, Document, Source

# Of a full claim: 64 of 256 chunks. Padding is then 1.2 times the tokens, in a full one 1.07.
LEAST_PART = 4
# Of a full claim, for the oldest whatever their source: also for chunks whose document is not waiting any more.
OLDEST_PART = 16


def in_turns(waiting: ChunkQuerySet, room: int) -> list[int]:
    """The ids of up to ``room`` of these chunks: all that may be taken of one source, equal numbers of several."""
    sources = embedding_sources()
    share = max(1, room // max(1, len(sources)) - room // OLDEST_PART)
    found = [first_of(waiting, each, share) for each in random.sample(sources, min(room, len(sources)))]
    if sum(map(bool, found)) < 2:
        return oldest(waiting, room)
    fewest = min(len(ids) for ids in found if ids)
    chosen = [pk for ids in found for pk in ids[:fewest]]
    more = max(room // LEAST_PART - len(chosen), room // OLDEST_PART)
    return chosen + oldest(waiting.exclude(id__in=chosen), more)


def embedding_sources() -> list[int]:
    """Sources with documents whose chunks wait."""
    documents = Document.objects.filter(source=OuterRef("pk"), state=Document.State.EMBEDDING).order_by()
    return list(Source.objects.filter(Exists(documents)).order_by().values_list("id", flat=True))


def first_of(waiting: ChunkQuerySet, source_id: int, share: int) -> list[int]:
    """Of the source's first documents that have any, found by indexes: 8 ms for a share of 1 000 among 15 000 waiting
    chunks, where one query for both takes 19 for a share of 128."""
    documents = Document.objects.filter(source_id=source_id, state=Document.State.EMBEDDING).order_by("depth", "id")
    ids = list(documents.with_pending_chunks(Chunk.State.WAITING).values_list("id", flat=True)[:share])
    return list(waiting.filter(document_id__in=ids).order_by().values_list("id", flat=True)[:share])


def oldest(waiting: ChunkQuerySet, room: int) -> list[int]:
    return list(waiting.order_by("id").values_list("id", flat=True)[:room])
