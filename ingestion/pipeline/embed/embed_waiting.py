"""Waiting chunks -> records in the buffer: what the GPU worker does.

Chunks of many documents are claimed at once, with a lease, so that batches are filled by tokens and not by page.
While one window of them computes, the next is claimed and tokenised, and what is finished is delivered at least once a
second. ``claims`` says which chunks, ``conveyor`` runs the threads, ``delivery`` writes; here they come
together for one time slice, and whatever goes wrong is settled.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from django.conf import settings

from ingestion.buffer import embedding_queue
from ingestion.coordination import heartbeat
from ingestion.coordination.device import device_id
from ingestion.embedding.embedder import Embedder, load_model
from ingestion.exceptions import BufferUnavailable, DeviceFailed, ModelError
from ingestion.models import Chunk, Collection, Run
from ingestion.pipeline.embed import claims, push_vectors, vector_reuse
from ingestion.pipeline.embed.push_vectors import Embedded
from ingestion.pipeline.embed.throughput import ThroughputMeter
from ingestion.pipeline.embed.worker_threads import EmbeddingThreads, Finished, Window
from ingestion.pipeline.state.collections import adopt, change_wanted, embedder_is_current
from ingestion.pipeline.state.transitions import explain_wait

logger = logging.getLogger(__name__)

# Nothing needs a task to end: a stop is noticed between batches, and a drain is asked for when there is something to
# drain. Between two tasks the device waits for about 0.1 s.
TIME_SLICE_SECONDS = 120.0
# After that, for suspects: they are a few, and each group goes alone.
SUSPECT_SECONDS = 10.0
# A small source's chunks wait for what is in hand: AHEAD and a window at most. One window follows another without a
# gap, so that short ones cost no more than their claims, 20 ms of a core each.
WINDOW_SECONDS = 1.0
# The next window is claimed when this much work is left. To claim and tokenise it takes a tenth of that, and far longer
# where others leave few cores; a lower value idles the device there, a higher one makes small sources wait.
AHEAD_SECONDS = 2.0
# A window is no larger than so many times what is in hand, or the device would wait for it at the start.
AT_ONCE = 3
# Before a rate is known and on the slowest of devices: two batches on a CPU, an eighth of one on a card.
LEAST_TOKENS, TYPICAL_CHUNK_TOKENS = 2048, 150
PUSH_EVERY_SECONDS, PUSH_CHUNKS = 1.0, 1000
LOOK_SECONDS = 0.25
# After a claim of less than this the next one waits for more to come: an embedder that is faster than what feeds it
# would claim every page by itself, at 11 ms of a core each, and have no time to deliver.
FEW_TOKENS, LINGER_SECONDS = 4096, 0.1
BEAT_SECONDS = 2.0
# So often within ten minutes, it is not one odd chunk but a device or a driver that needs a person.
UNHEALTHY_FAILURES = 3
FIRST_REST_SECONDS, LONGEST_REST_SECONDS = 30.0, 600.0

PAUSE = "Embedding pauses: "
SUPERSEDED = f"{PAUSE}another worker fills the index with another model. Restart this one with its settings."
FULL = f"{PAUSE}the buffer is full. It goes on when Milvus has taken half of it."

GAUGE = ThroughputMeter()
_stop_asked = threading.Event()


def embed_waiting(delivered: Callable[[], object] = lambda: None) -> bool:
    """Embed for one time slice. True when chunks still wait that could be embedded at once. ``delivered`` is called
    each time that vectors have come into the buffer.

    Raises DeviceFailed when this process cannot use its device any more and has to end.
    """
    try:
        if not (claims.work_left() or change_wanted()) or resting():
            return False
        return embed_slice(delivered)
    except BufferUnavailable as error:
        pause(f"{PAUSE}{error}")
    except ModelError as error:
        report_state("unhealthy", reason=str(error))
        claims.fail_waiting(str(error))
    except DeviceFailed as error:
        heartbeat.note_failure(device_id(), str(error))
        logger.error("%s", error)  # Celery says only that the process ended
        raise
    return False


def embed_slice(delivered: Callable[[], object]) -> bool:
    report_state("loading", model=settings.EMBED_MODEL, reason="")
    embedder = load_model(settings.EMBED_DEVICE)
    collection = adopt()
    claims.reclaim()
    claims.fail_exhausted()
    GAUGE.start()
    try:
        with stoppable():
            begin = partial(Slice, embedder, collection, delivered)  # its time runs from then on
            goes_on = begin(fresh_window, enough, seconds=TIME_SLICE_SECONDS).run()
            goes_on = goes_on and begin(suspect_window, bool, seconds=SUSPECT_SECONDS, alone=True).run()
    finally:
        more = claims.waiting().exists()
        GAUGE.stop(more=more)
    if goes_on:
        report_state("idle", **GAUGE.figures())
    return goes_on and more


def enough(in_hand: int) -> bool:
    """Whether these tokens keep the device busy for AHEAD_SECONDS."""
    return in_hand > max(AHEAD_SECONDS * GAUGE.rate(), LEAST_TOKENS)


def fresh_window(in_hand: int) -> Window | None:
    """Of WINDOW_SECONDS at the present rate."""
    wanted = min(WINDOW_SECONDS * GAUGE.rate(), AT_ONCE * in_hand)
    tokens = min(max(wanted, LEAST_TOKENS), settings.EMBED_CLAIM_TOKENS)
    return window_of(claims.fresh(max(1, round(tokens / (GAUGE.chunk_tokens() or TYPICAL_CHUNK_TOKENS)))))


def suspect_window(_in_hand: int) -> Window | None:
    """One group at a time: who dies of it must have held nothing else, so that anything in hand is enough."""
    return window_of(claims.suspects())


def window_of(chunks: list[Chunk]) -> Window | None:
    return Window(chunks, vector_reuse.look_up(chunks)) if chunks else None


class Slice:
    """One stretch of work: windows in flight, what is finished and not yet delivered, and when what is due.
    The next window is claimed unless ``enough`` tokens are in hand. ``alone``: not before this one is delivered."""

    def __init__(
        self,
        embedder: Embedder,
        collection: Collection,
        delivered: Callable[[], object],
        claim: Callable[[int], Window | None],
        enough: Callable[[int], bool],
        *,
        seconds: float,
        alone: bool = False,
    ) -> None:
        self.alone = alone
        self.conveyor = EmbeddingThreads(embedder, _stop_asked)
        self.collection = collection
        self.delivered = delivered
        self.claim = claim
        self.enough = enough
        self.in_flight: dict[Window, int] = {}
        self.outbox: list[Embedded] = []
        self.seconds = 0.0
        now = time.monotonic()
        self.until, self.pushed, self.looked, self.beat = now + seconds, now, 0.0, 0.0
        self.renewed = self.heard = now
        self.linger = 0.0
        self.is_blocked = False

    def run(self) -> bool:
        """Until the time is up, nothing is left or a stop is asked for. False when something is in the way. What is
        claimed and not delivered at the end goes back as if it had never been claimed."""
        try:
            self.work()
            for finished in self.conveyor.stop():
                self.take(finished)
            self.push()
        finally:
            self.conveyor.stop()
            claims.mine().give_back()
        return not self.is_blocked

    def work(self) -> None:
        while not _stop_asked.is_set():
            if not self.feed() and not self.in_flight:
                return
            if finished := self.conveyor.next(LOOK_SECONDS if self.in_flight else self.linger):
                self.take(finished)
            if finished or not self.in_flight:
                self.heard = time.monotonic()
            self.do_what_is_due()

    def feed(self) -> bool:
        """Claim ahead. While something computes, and when there was little, the rows are asked again only after a
        moment. False when there is nothing more to wait for."""
        now = time.monotonic()
        if now >= self.until:
            return False
        if now < self.looked + (LOOK_SECONDS if self.in_flight else self.linger):
            return True
        found, few = False, False
        while not (few or self.enough(self.in_hand()) or self.blocked()) and (window := self.claim(self.in_hand())):
            self.in_flight[window] = window.tokens
            self.conveyor.start(window)
            found, few = True, window.tokens < FEW_TOKENS
        self.looked, self.linger = now, LINGER_SECONDS if few and not self.alone else 0.0
        return found

    def in_hand(self) -> int:
        """Tokens that are claimed and not computed."""
        return sum(self.in_flight.values())

    def blocked(self) -> bool:
        """Whether the vectors would have no place to go to; the runs say so."""
        if not embedder_is_current(self.collection):
            self.is_blocked = True
            pause(SUPERSEDED)
        elif embedding_queue.is_full():
            self.is_blocked = True
            pause(FULL)
        return self.is_blocked

    def take(self, finished: Finished) -> None:
        window, made = finished.window, [e.chunk for e in finished.embedded if not e.copied]
        self.outbox += finished.embedded
        self.seconds += finished.seconds
        self.in_flight[window] = max(1, self.in_flight.get(window, 0) - finished.tokens())
        if made:
            GAUGE.add(chunks=len(made), tokens=sum(chunk.tokens for chunk in made), computing=finished.seconds)
        if finished.refused:
            push_vectors.refuse(finished.refused, finished.reason)
        if finished.error:
            self.fail(finished.error)
        if finished.last:
            del self.in_flight[window]
        if finished.last and self.alone:
            self.push()

    def fail(self, error: BaseException) -> None:
        """What was computed counts; the rest is suspect, as when the process dies: the next window may have been on the
        device too."""
        self.push()
        claims.release_with_error(f"{type(error).__name__}: {error}")
        raise error

    def do_what_is_due(self) -> None:
        now = time.monotonic()
        if len(self.outbox) >= PUSH_CHUNKS or now - self.pushed >= PUSH_EVERY_SECONDS:
            self.push()
        if now - self.renewed >= settings.LEASE_SECONDS / 4:
            claims.renew()
            self.renewed = now
        if now - self.beat >= BEAT_SECONDS:
            report_state("embedding", pid=os.getpid(), **GAUGE.figures(), **figures_of(self.conveyor.embedder))
            self.beat = now
        if now - self.heard > settings.EMBED_TIME_LIMIT_SECONDS:
            die_hung()

    def push(self) -> None:
        if self.outbox:
            push_vectors.deliver(self.outbox, collection=self.collection.name, seconds=self.seconds)
            Run.objects.active().filter(note__startswith=PAUSE).update(note="")
            self.delivered()
        self.outbox, self.seconds, self.pushed = [], 0.0, time.monotonic()


def figures_of(embedder: Embedder) -> dict[str, Any]:
    """``padding``: the share of what the network computed that no text asked for; ``peak_bytes``: of the device."""
    figures = embedder.figures()
    padding = 1 - figures.tokens / figures.padded_tokens if figures.padded_tokens else 0.0
    return {"device": embedder.device, "padding": round(padding, 3), "peak_bytes": figures.peak_bytes}


# --- What is in the way -------------------------------------------------------------------------------------


def pause(note: str) -> None:
    logger.warning("%s", note)
    explain_wait(note)
    report_state("paused", reason=note)


def resting() -> bool:
    """Whether a device that failed again and again is left alone for now, longer each time."""
    past = heartbeat.failures(device_id())
    if len(past) < UNHEALTHY_FAILURES:
        return False
    at, reason = past[-1]
    rest = min(FIRST_REST_SECONDS * 2 ** (len(past) - UNHEALTHY_FAILURES), LONGEST_REST_SECONDS)
    note = (
        f"{PAUSE}the device {device_id()} failed {len(past)} times within ten minutes, the last time with: {reason} "
        f"It is left alone for {rest:.0f} s. If that goes on, look at the device and restart its machine."
    )
    report_state("unhealthy", reason=note)
    if at + rest < time.time():
        return False
    explain_wait(note)
    return True


def die_hung() -> None:
    """A computation that hangs cannot be ended, nor can a process that waits for its thread; only killed."""
    reason = (
        f"A batch took longer than {settings.EMBED_TIME_LIMIT_SECONDS:.0f} s (EMBED_TIME_LIMIT_SECONDS), so the device "
        "or its driver hangs; the process was replaced."
    )
    logger.critical("%s: %s", device_id(), reason)
    with suppress(BufferUnavailable):
        heartbeat.note_failure(device_id(), reason)
    os.kill(os.getpid(), signal.SIGKILL)


def report_state(state: str, **facts: Any) -> None:
    """Nothing depends on it, so that nothing fails with it."""
    with suppress(BufferUnavailable):
        heartbeat.report_state(device_id(), state=state, at=time.time(), **facts)


@contextmanager
def stoppable() -> Iterator[None]:
    """Until its end SIGTERM asks to stop after the batch in hand, instead of ending the process in the middle."""
    _stop_asked.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: _stop_asked.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
