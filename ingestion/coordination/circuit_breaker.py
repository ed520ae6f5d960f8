"""What all processes know of Milvus being out of reach: since when, why, and when it is tried again.

The first pause is short, each further one twice as long up to a bound, so that a Milvus that is down costs one
attempt a minute and one that restarts is found within seconds. When Milvus answers again it is left alone once more: it
may still carry out what its clients have given up on, and a write that comes after the deletion of its row would stay
for ever. Kept in Redis; losing it costs one attempt.

Those who ask for a person (a question, a page of the admin) wait in ``interactive``: the first learns within its own
deadline that Milvus is silent, the others for a few seconds from the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from time import time

import msgpack
from django.conf import settings

from ingestion.coordination.redis_client import available
from ingestion.exceptions import BufferUnavailable, CollectionMissing, VectorStoreUnavailable

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
# A Milvus that had been stopped carried out what had waited within the second.
SETTLE_SECONDS = 5.0
# After somebody found Milvus silent, nobody asks it for a person.
QUESTION_PAUSE_SECONDS = 5.0
SETTLES = "Milvus answers again, and first finishes what it was sent before."


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """Times are seconds since 1970. ``answered``: this is its last pause. ``failed``: when an attempt failed last."""

    since: float
    pause: float
    next_try: float
    reason: str
    answered: bool = False
    failed: float = 0.0

    def failed_lately(self) -> bool:
        """Whether a person's question would most likely wait in vain."""
        return not self.answered and 0 <= time() - self.failed < QUESTION_PAUSE_SECONDS

    def pauses(self) -> bool:
        """Whether to leave Milvus alone. A time out of all bounds, from a clock that was wrong, does not count."""
        return 0 < self.next_try - time() <= LONGEST_PAUSE_SECONDS

    def __str__(self) -> str:
        return f"{self.reason} (Since {clock(self.since)}; next try at {clock(self.next_try)}.)"


def current() -> CircuitBreaker | None:
    with available() as client:
        noted = client.get(redis_key())
    return CircuitBreaker(*msgpack.unpackb(noted)) if noted else None


def note(reason: str) -> CircuitBreaker:
    """Milvus failed just now: wait, twice as long as before."""
    now, before = time(), current()
    pause = min(2 * before.pause, LONGEST_PAUSE_SECONDS) if before else FIRST_PAUSE_SECONDS
    return kept(CircuitBreaker(before.since if before else now, pause, now + pause, reason, failed=now))


def note_question(reason: str) -> None:
    """Milvus failed a person just now. The drain looks for itself, soon, and its pauses are its own: questions that
    fail one after the other must not keep it away."""
    known = current()
    if known and not known.answered:
        kept(replace(known, failed=time()))
    else:
        note(reason)


@contextmanager
def interactive() -> Iterator[None]:
    """Ask Milvus for a person inside: at once VectorStoreUnavailable while it is known to be silent, and what is found
    here is told to all processes. Without Redis each finds out by itself."""
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


def answered() -> CircuitBreaker | None:
    """Milvus answered just now. The pause that this begins, or None when there is nothing to wait for any more."""
    before = current()
    if before is None or before.answered:
        over()
        return None
    return kept(CircuitBreaker(before.since, FIRST_PAUSE_SECONDS, time() + SETTLE_SECONDS, SETTLES, answered=True))


def kept(outage: CircuitBreaker) -> CircuitBreaker:
    with available() as client:
        client.set(redis_key(), msgpack.packb(astuple(outage)))
    return outage


def over() -> None:
    """Nothing is known to be wrong."""
    with available() as client:
        client.delete(redis_key())


def redis_key() -> str:
    return f"{settings.EMBEDDINGS_KEY}:outage"


def clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
