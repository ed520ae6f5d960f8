"""The buffer, a Redis list between the embedder and Milvus: push, claim, confirm. ``codec`` defines its records.

``claim`` moves records, in order and atomically, from the list to a list of their own, whose name is kept; ``confirm``
deletes exactly that list. A claim is never changed, so that a drain can process a claim again that another one left
when it died. Redis may lose everything at any time: the rows in the database say what has to be embedded again.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Container, Sequence
from typing import Any

from django.conf import settings

from ingestion.buffer.codec import pack
from ingestion.coordination.redis_client import available
from ingestion.types import EmbeddedChunk

# 256 values per RPUSH reach 85 000 values/s on loopback, one by one 8 600.
PUSH_VALUES = 256
# The size of one claim, which a drain holds in memory as records, as chunks and as Milvus' message.
CLAIM_BYTES = 8 * 1024 * 1024

# The first record is popped, because Redis lets a script that has begun to write go on when its memory is full: a drain
# must be able to free it. The others are moved, so that Redis' log on disk names them instead of repeating them, which
# takes a third of the processor time. The same call again (its answer was lost) returns what it had moved.
CLAIM = """
if redis.call('EXISTS', KEYS[3]) == 1 then
  return redis.call('LRANGE', KEYS[3], 0, -1)
end
local record = redis.call('LPOP', KEYS[1])
if not record then
  return {}
end
redis.call('RPUSH', KEYS[3], record)
local moved, size = {record}, #record
while #moved < tonumber(ARGV[1]) and size < tonumber(ARGV[2]) do
  record = redis.call('LMOVE', KEYS[1], KEYS[3], 'LEFT', 'RIGHT')
  if not record then
    break
  end
  moved[#moved + 1] = record
  size = size + #record
end
redis.call('RPUSH', KEYS[2], KEYS[3])
return moved
"""


def push(chunks: Sequence[EmbeddedChunk]) -> None:
    """Append the records of chunks to the buffer, in order. Raise BadRecord when one cannot be packed."""
    records = [pack(c) for c in chunks]
    with available() as client:
        for start in range(0, len(records), PUSH_VALUES):
            client.rpush(settings.EMBEDDINGS_KEY, *records[start : start + PUSH_VALUES])


def claim(rows: int, *, besides: Container[str] = ()) -> tuple[str, list[bytes]] | None:
    """Claim up to ``rows`` records, of about CLAIM_BYTES together, oldest first.

    Return the claim's name and its records, or None when nothing waits. The claims that a dead drain left come before
    new records; ``besides`` names the claims that the caller holds already.
    """
    with available() as client:
        for name in claims(client):
            if name in besides:
                continue
            if left := client.lrange(name, 0, -1):
                return name, left
            client.lrem(claims_key(), 0, name)
        return claim_new(client, rows)


def claim_new(client: Any, rows: int) -> tuple[str, list[bytes]] | None:
    """Move up to ``rows`` records from the list into a new claim. Return its name and records, or None."""
    name = f"{settings.EMBEDDINGS_KEY}:claim:{uuid.uuid4().hex}"
    records = client.eval(CLAIM, 3, settings.EMBEDDINGS_KEY, claims_key(), name, rows, CLAIM_BYTES)
    return (name, records) if records else None


def claims(client: Any) -> list[str]:
    """Return the names of the claims that are not confirmed, oldest first."""
    return [name.decode() for name in client.lrange(claims_key(), 0, -1)]


def claimed() -> list[bytes]:
    """Return all records in claims: while no drain works, those that a dead one may have sent to Milvus."""
    with available() as client:
        return [record for name in claims(client) for record in client.lrange(name, 0, -1)]


def confirm(name: str) -> None:
    """Delete a claim whose records are in Milvus and whose rows are marked as indexed."""
    # No transaction: Redis refuses those, whatever is in them, when its memory is full. If only the first command
    # succeeds, a name without records is left, which does no harm.
    with available() as client:
        client.pipeline(transaction=False).delete(name).lrem(claims_key(), 0, name).execute()


def length() -> int:
    """Return how many records the list and the claims hold."""
    with available() as client:
        asked = client.pipeline(transaction=False)
        for name in (settings.EMBEDDINGS_KEY, *claims(client)):
            asked.llen(name)
        return sum(asked.execute())


def size_bytes() -> int:
    """Return how many bytes the list and the claims take in Redis, which counts every record: 4 ms for 256 MiB."""
    with available() as client:
        asked = client.pipeline(transaction=False)
        for name in (settings.EMBEDDINGS_KEY, *claims(client)):
            asked.memory_usage(name, samples=0)
        return sum(size or 0 for size in asked.execute())


def is_full() -> bool:
    """Return whether the embedder has to wait.

    That is from EMBEDDINGS_MAX_BYTES on until half of it is free again, so that the embedder works in long stretches.
    """
    size, full = size_bytes(), f"{settings.EMBEDDINGS_KEY}:full"
    with available() as client:
        if size >= settings.EMBEDDINGS_MAX_BYTES:
            client.set(full, 1)
        elif size <= settings.EMBEDDINGS_MAX_BYTES // 2:
            client.delete(full)
        return bool(client.exists(full))


def mark_unconfirmed(keys: Collection[str]) -> None:
    """Keep keys that a drain may have written or deleted in Milvus after it lost its lock, to be checked later."""
    if keys:
        with available() as client:
            client.sadd(unconfirmed_key(), *keys)


def unconfirmed(most: int) -> list[str]:
    """Return up to ``most`` unconfirmed keys."""
    with available() as client:
        return [key.decode() for key in client.srandmember(unconfirmed_key(), most)]


def clear_unconfirmed(keys: Sequence[str]) -> None:
    """Forget unconfirmed keys that have been checked."""
    with available() as client:
        client.srem(unconfirmed_key(), *keys)


def claims_key() -> str:
    """Return the Redis key of the list of claims' names."""
    return f"{settings.EMBEDDINGS_KEY}:claimed"


def unconfirmed_key() -> str:
    """Return the Redis key of the set of unconfirmed keys."""
    return f"{settings.EMBEDDINGS_KEY}:doubtful"  # as the first release wrote it: an upgrade finds what it left
