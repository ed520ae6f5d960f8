"""The circuit breaker in front of Milvus: since when it is out of reach, why, and when it is tried again.

All processes share it through Redis; losing it costs one attempt. The first pause is short, each further one twice as
long up to a bound, so that a Milvus that is down costs one attempt a minute and one that restarts is found within
seconds. When Milvus answers again, there is one more pause: it may still carry out requests that its clients have given
up on, and a write that comes after the deletion of its row would stay for ever.

Requests for a person (a question, a page of the admin) run inside ``interactive``: the first one finds out within its
own time-out that Milvus is silent, and for a few seconds the others fail at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from time import time

import msgspec
from django.conf import settings

from ingestion.coordination.redis_client import available
from ingestion.exceptions import BufferUnavailable, CollectionMissing, VectorStoreUnavailable

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
# A Milvus that had been stopped carried out what had waited within the second.
SETTLE_SECONDS = 5.0
# After a request for a person found Milvus silent, further ones fail at once for this long.
QUESTION_PAUSE_SECONDS = 5.0
SETTLES = "Milvus answers again, and first finishes what it was sent before."


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """The record of an open circuit: Milvus is out of reach. Times are seconds since 1970.

    ``answered`` means that this is the last pause; ``failed`` is the time of the last failed attempt.
    """

    since: float
    pause: float
    next_try: float
    reason: str
    answered: bool = False
    failed: float = 0.0

    def failed_lately(self) -> bool:
        """Return whether Milvus failed so lately that a request for a person would most likely wait for nothing."""
        return not self.answered and 0 <= time() - self.failed < QUESTION_PAUSE_SECONDS

    def pauses(self) -> bool:
        """Return whether Milvus is to be left alone now; a pause beyond all bounds, from a wrong clock, is ignored."""
        return 0 < self.next_try - time() <= LONGEST_PAUSE_SECONDS

    def __str__(self) -> str:
        return f"{self.reason} (Since {clock(self.since)}; next try at {clock(self.next_try)}.)"


def current() -> OpenCircuit | None:
    """Return the open circuit to Milvus, or None while it is closed."""
    with available() as client:
        stored = client.get(redis_key())
    return OpenCircuit(*msgspec.msgpack.decode(stored)) if stored else None


def note(reason: str) -> OpenCircuit:
    """Record that Milvus failed just now, and return the pause that follows: twice as long as the one before."""
    now, before = time(), current()
    pause = min(2 * before.pause, LONGEST_PAUSE_SECONDS) if before else FIRST_PAUSE_SECONDS
    return _store(OpenCircuit(before.since if before else now, pause, now + pause, reason, failed=now))


def note_question(reason: str) -> None:
    """Record that Milvus failed a request for a person just now.

    This does not lengthen the pauses of the drain: questions that fail one after the other must not keep it away.
    """
    known = current()
    if known and not known.answered:
        _store(replace(known, failed=time()))
    else:
        note(reason)


@contextmanager
def interactive() -> Iterator[None]:
    """Run a request to Milvus for a person inside, and record its failure for all processes.

    Raise VectorStoreUnavailable at once while Milvus is known to be silent. Without Redis each process finds that out
    by itself.
    """
    known = None
    with suppress(BufferUnavailable):
        known = current()
    if known and known.failed_lately():
        raise VectorStoreUnavailable(str(known))
    try:
        yield
    except CollectionMissing:  # it is not silent
        raise
    except VectorStoreUnavailable as error:
        with suppress(BufferUnavailable):
            note_question(str(error))
        raise


def answered() -> OpenCircuit | None:
    """Record that Milvus answered just now. Return None when all is well again.

    At the first answer after a failure, return the last pause, in which Milvus finishes what it was sent before.
    """
    before = current()
    if before is None or before.answered:
        over()
        return None
    return _store(OpenCircuit(before.since, FIRST_PAUSE_SECONDS, time() + SETTLE_SECONDS, SETTLES, answered=True))


def over() -> None:
    """Close the circuit: delete the record that Milvus was out of reach."""
    with available() as client:
        client.delete(redis_key())


def _store(known: OpenCircuit) -> OpenCircuit:
    """Write the record of an open circuit to Redis, in place of the last one, and return it.

    Raise BufferUnavailable without Redis.
    """
    with available() as client:
        client.set(redis_key(), msgspec.msgpack.encode(astuple(known)))
    return known


def redis_key() -> str:
    """Return the Redis key under which all processes share the state."""
    return f"{settings.EMBEDDINGS_KEY}:outage"


def clock(seconds: float) -> str:
    """Return a time in seconds since 1970 as a person reads it, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
