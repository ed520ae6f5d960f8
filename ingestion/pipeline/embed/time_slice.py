"""One stretch of embedding: windows of chunks are claimed, computed and delivered until its time is up.

In: a loaded embedder and the collection that its vectors are for. Out: records in the buffer, and rows that say so.
What is claimed and not delivered at the end goes back as if it had never been claimed. Raises what the embedder raised;
then an attempt is counted for all chunks in hand.

Chunks of many documents are claimed at once, with a lease, so that batches are filled by tokens and not by page. While
one window of them computes, the next is claimed and tokenised, and what is finished is delivered at least once a
second.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings

from ingestion.buffer import embedding_queue
from ingestion.coordination.measurements import EMBED, EMBEDDED_CHUNKS, EMBEDDED_TOKENS
from ingestion.embedding.embedder import Embedder
from ingestion.environment_faults import fault_behind
from ingestion.models import Collection, Run
from ingestion.pipeline.embed import claims, push_vectors, vector_reuse
from ingestion.pipeline.embed.device_health import PAUSE, kill_hung_process, pause, report_state
from ingestion.pipeline.embed.push_vectors import Embedded
from ingestion.pipeline.embed.throughput import ThroughputMeter
from ingestion.pipeline.embed.worker_threads import EmbeddingThreads, Finished, Window
from ingestion.pipeline.state.collections import embedder_is_current
from ragproject import span_attributes, tracing

# A small source's chunks wait for what is in hand: AHEAD and a window at most. One window follows another without a
# gap, so that short ones cost no more than their claims, 20 ms of a core each.
WINDOW_SECONDS = 1.0
# The next window is claimed when this much work is left. To claim and tokenise it takes a tenth of that, and far longer
# where others leave few cores; a lower value idles the device there, a higher one makes small sources wait.
AHEAD_SECONDS = 2.0
# A window is no larger than so many times what is in hand, or the device would wait for it at the start.
WINDOW_GROWTH = 3
# Before a rate is known and on the slowest of devices: two batches on a CPU, an eighth of one on a card.
LEAST_TOKENS, TYPICAL_CHUNK_TOKENS = 2048, 150
PUSH_EVERY_SECONDS, PUSH_CHUNKS = 1.0, 1000
# How long the loop waits for a batch, and how often it looks for chunks to claim while something computes.
LOOK_SECONDS = 0.25
# After a claim of less than this the next one waits for more to come: an embedder that is faster than what feeds it
# would claim every page by itself, at 11 ms of a core each, and have no time to deliver.
FEW_TOKENS, LINGER_SECONDS = 4096, 0.1
REPORT_SECONDS = 2.0

SUPERSEDED = "another worker fills the index with another model. Restart this one with its settings."
FULL = "the buffer is full. It goes on when Milvus has taken half of it."

# Of this process, over all its time slices.
METER = ThroughputMeter()
stop_asked = threading.Event()


class TimeSlice:
    """Windows that compute, vectors that are not delivered yet, and when what is due.

    ``delivered`` is called after each delivery. ``suspects``: only chunks that were in the hands of a worker when it
    died; each group is delivered before the next one is claimed, so that whoever dies of it holds nothing else.
    """

    def __init__(
        self,
        embedder: Embedder,
        collection: Collection,
        delivered: Callable[[], object],
        *,
        seconds: float,
        suspects: bool = False,
    ) -> None:
        self.collection = collection
        self.delivered = delivered
        self.suspects = suspects
        self.threads = EmbeddingThreads(embedder, stop_asked)
        self.in_flight: dict[Window, int] = {}  # the tokens of each that are not computed yet
        self.outbox: list[Embedded] = []
        self.outbox_seconds = 0.0  # of computing
        self.blocked = False
        self.linger = 0.0
        now = time.monotonic()
        self.ends_at, self.looked_at, self.reported_at = now + seconds, 0.0, 0.0
        self.pushed_at = self.renewed_at = self.progress_at = now

    def run(self) -> bool:
        """Work until time is up, nothing is left or a stop is asked for. Return False when vectors had no place to go.

        What is claimed and not delivered at the end goes back as if it had never been claimed.
        """
        try:
            self.work()
            for finished in self.threads.stop():
                self.collect(finished)
            self.push()
        finally:
            self.threads.stop()
            claims.mine().give_back()
        return not self.blocked

    def work(self) -> None:
        """Claim chunks and collect their vectors until there is nothing to wait for, or a stop is asked for.

        Vectors are delivered, leases renewed and figures reported when due. A process in which a batch hangs is killed.
        """
        while not stop_asked.is_set():
            if not self.claim_ahead() and not self.in_flight:
                return
            if finished := self.threads.next(LOOK_SECONDS if self.in_flight else self.linger):
                self.collect(finished)
            if finished or not self.in_flight:
                self.progress_at = time.monotonic()
            now = time.monotonic()
            if len(self.outbox) >= PUSH_CHUNKS or now - self.pushed_at >= PUSH_EVERY_SECONDS:
                self.push()
            if now - self.renewed_at >= settings.LEASE_SECONDS / 4:
                claims.renew()
                self.renewed_at = now
            if now - self.reported_at >= REPORT_SECONDS:
                self.report()
                self.reported_at = now
            if now - self.progress_at > settings.EMBED_TIME_LIMIT_SECONDS:
                kill_hung_process()

    def claim_ahead(self) -> bool:
        """Claim and start windows until enough is in hand. Return False when there is nothing more to wait for.

        While something computes, and after a small claim, the rows are asked again only after a moment.
        """
        now = time.monotonic()
        if now >= self.ends_at:
            return False
        if now < self.looked_at + (LOOK_SECONDS if self.in_flight else self.linger):
            return True
        # Of suspects any group is enough; fresh chunks are to keep the device busy for AHEAD_SECONDS.
        enough = 0 if self.suspects else max(AHEAD_SECONDS * METER.rate(), LEAST_TOKENS)
        found, few = False, False
        while not (few or self.in_hand() > enough or self.check_blocked()) and (window := self.claim_window()):
            self.in_flight[window] = window.tokens
            self.threads.start(window)
            found, few = True, window.tokens < FEW_TOKENS
        self.looked_at, self.linger = now, LINGER_SECONDS if few and not self.suspects else 0.0
        return found

    def in_hand(self) -> int:
        """Return how many tokens are claimed and not computed."""
        return sum(self.in_flight.values())

    def check_blocked(self) -> bool:
        """Return whether the vectors would have no place to go to, and say so on the runs."""
        if not embedder_is_current(self.collection):
            self.blocked = True
            pause(SUPERSEDED)
        elif embedding_queue.is_full():
            self.blocked = True
            pause(FULL)
        return self.blocked

    def claim_window(self) -> Window | None:
        """Claim a group of suspects, or fresh chunks for WINDOW_SECONDS at the present rate. None when none wait."""
        if self.suspects:
            chunks = claims.claim_suspects()
        else:
            wanted = min(WINDOW_SECONDS * METER.rate(), WINDOW_GROWTH * self.in_hand())
            tokens = min(max(wanted, LEAST_TOKENS), settings.EMBED_CLAIM_TOKENS)
            chunks = claims.claim_fresh(max(1, round(tokens / (METER.chunk_tokens() or TYPICAL_CHUNK_TOKENS))))
        return Window(chunks, vector_reuse.look_up(chunks)) if chunks else None

    def collect(self, finished: Finished) -> None:
        """Account for finished chunks, keep their vectors for the next delivery, and raise the window's error."""
        window, made = finished.window, [e.chunk for e in finished.embedded if not e.copied]
        self.outbox += finished.embedded
        self.outbox_seconds += finished.seconds
        self.in_flight[window] = max(1, self.in_flight.get(window, 0) - finished.tokens())
        if made:
            tokens = sum(chunk.tokens for chunk in made)
            METER.add(chunks=len(made), tokens=tokens, computing=finished.seconds)
            EMBED.observe(finished.seconds, self.threads.embedder.device)
            EMBEDDED_CHUNKS.add(len(made))
            EMBEDDED_TOKENS.add(tokens)
            if tracing.recording():
                documents = (chunk.document_id for chunk in made)
                did = span_attributes.embedding(self.collection.model, tokens, self.collection.dimension, documents)
                tracing.past_step(did.name, finished.seconds, did.attributes)
        if finished.refused:
            push_vectors.refuse(finished.refused, finished.reason)
        if finished.error:
            # What was computed counts. The rest is suspect, as when the process dies: the next window may have been on
            # the device too.
            self.push()
            if fault_behind(finished.error) is None:
                claims.mine().back_to_waiting(error=f"{type(finished.error).__name__}: {finished.error}")
            raise finished.error
        if finished.last:
            del self.in_flight[window]
        if finished.last and self.suspects:
            self.push()

    def report(self) -> None:
        """Report rates, padding (the share of what the network computed for no text) and the device's peak memory."""
        embedder, figures = self.threads.embedder, self.threads.embedder.figures()
        padding = 1 - figures.tokens / figures.padded_tokens if figures.padded_tokens else 0.0
        report_state(
            "embedding",
            pid=os.getpid(),
            **METER.figures(),
            device=embedder.device,
            padding=round(padding, 3),
            peak_bytes=figures.peak_bytes,
        )

    def push(self) -> None:
        """Deliver finished vectors; a run that said why embedding pauses stops saying so."""
        if self.outbox:
            push_vectors.deliver(self.outbox, collection=self.collection.name, seconds=self.outbox_seconds)
            Run.objects.active().filter(note__startswith=PAUSE).update(note="")
            self.delivered()
        self.outbox, self.outbox_seconds, self.pushed_at = [], 0.0, time.monotonic()


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Let SIGTERM ask to stop after the batch in hand, instead of ending the process in the middle of it."""
    stop_asked.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop_asked.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
