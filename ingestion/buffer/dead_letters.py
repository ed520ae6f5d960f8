"""Records that cannot be stored, kept with the reason for a person to look at: `manage.py deadletters`.

Burying one twice keeps one; the oldest give way beyond KEPT. Their chunks are not lost: the drain sends a row whose
record did not arrive to the embedder again.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import msgpack
from django.conf import settings

from ingestion.buffer.codec import decoded
from ingestion.coordination.redis_client import available
from ingestion.exceptions import BadRecord

KEPT = 1000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """``key`` is its chunk's, if that can be read."""

    reason: str
    key: str
    size: int
    buried_at: datetime


def bury(record: bytes, reason: str) -> None:
    with available() as client:
        keep = client.pipeline(transaction=True)
        keep.zadd(redis_key(), {msgpack.packb((reason, record)): time.time()}, nx=True)
        keep.zremrangebyrank(redis_key(), 0, -KEPT - 1)
        keep.execute()


def buried() -> list[DeadLetter]:
    """Oldest first."""
    with available() as client:
        return [letter_of(entry, at) for entry, at in client.zrange(redis_key(), 0, -1, withscores=True)]


def letter_of(entry: bytes, buried_at: float) -> DeadLetter:
    reason, record = msgpack.unpackb(entry)
    return DeadLetter(reason, key_of(record), len(record), datetime.fromtimestamp(buried_at, UTC))


def key_of(record: bytes) -> str:
    try:
        return str(decoded(record)[2])
    except BadRecord:
        return ""


def reasons() -> dict[str, int]:
    """How many records for each reason, most frequent first."""
    return dict(Counter(letter.reason for letter in buried()).most_common())


def count() -> int:
    with available() as client:
        return int(client.zcard(redis_key()))


def requeue() -> int:
    """Put all of them at the end of the list again, for one more try. Returns how many."""
    with available() as client:
        entries = client.zrange(redis_key(), 0, -1)
        for entry in entries:
            back = client.pipeline(transaction=True)
            back.rpush(settings.EMBEDDINGS_KEY, msgpack.unpackb(entry)[1])
            back.zrem(redis_key(), entry)
            back.execute()
        return len(entries)


def drop() -> int:
    """Forget all of them. Returns how many."""
    with available() as client:
        number, _ = client.pipeline(transaction=True).zcard(redis_key()).delete(redis_key()).execute()
        return int(number)


def redis_key() -> str:
    return f"{settings.EMBEDDINGS_KEY}:unusable"
