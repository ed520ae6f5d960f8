"""Records that cannot be stored, kept with the reason for a person to look at: ``manage.py deadletters``.

A record that is buried twice for the same reason is kept once; the oldest are dropped beyond KEPT. Their chunks are not
lost: the drain sends a chunk whose record did not arrive to the embedder again.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from django.conf import settings

from ingestion.buffer import codec
from ingestion.coordination.redis_client import available
from ingestion.exceptions import BadRecord

KEPT = 1000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that cannot be stored; ``key`` is that of its chunk, or "" when it cannot be read."""

    reason: str
    key: str
    size: int
    buried_at: datetime


def bury(record: bytes, reason: str) -> None:
    """Keep a record with the reason why it cannot be stored."""
    with available() as client:
        keep = client.pipeline(transaction=True)
        keep.zadd(redis_key(), {msgspec.msgpack.encode((reason, record)): time.time()}, nx=True)
        keep.zremrangebyrank(redis_key(), 0, -KEPT - 1)
        keep.execute()


def buried() -> list[DeadLetter]:
    """Return all dead letters, oldest first."""
    with available() as client:
        entries = client.zrange(redis_key(), 0, -1, withscores=True)
    letters = []
    for entry, buried_at in entries:
        reason, record = _unpack(entry)
        try:
            key = codec.decode(record).key
        except BadRecord:
            key = ""
        letters.append(DeadLetter(reason, key, len(record), datetime.fromtimestamp(buried_at, UTC)))
    return letters


def reasons() -> dict[str, int]:
    """Return how many records there are for each reason, the most frequent reason first."""
    return dict(Counter(letter.reason for letter in buried()).most_common())


def count() -> int:
    """Return how many records there are."""
    with available() as client:
        return int(client.zcard(redis_key()))


def requeue() -> int:
    """Put all records at the end of the buffer again, for one more try. Return how many there were."""
    with available() as client:
        entries = client.zrange(redis_key(), 0, -1)
        for entry in entries:
            back = client.pipeline(transaction=True)
            back.rpush(settings.EMBEDDINGS_KEY, _unpack(entry)[1])
            back.zrem(redis_key(), entry)
            back.execute()
        return len(entries)


def drop() -> int:
    """Delete all records. Return how many there were."""
    with available() as client:
        number, _ = client.pipeline(transaction=True).zcard(redis_key()).delete(redis_key()).execute()
        return int(number)


def _unpack(entry: bytes) -> tuple[str, bytes]:
    """Return the reason and the record in an entry of the sorted set. Raise msgspec.DecodeError when it is none."""
    return msgspec.msgpack.decode(entry, type=tuple[str, bytes])


def redis_key() -> str:
    """Return the key of the sorted set in Redis that holds the records."""
    return f"{settings.EMBEDDINGS_KEY}:unusable"
