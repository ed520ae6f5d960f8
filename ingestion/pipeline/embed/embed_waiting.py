"""Waiting chunks -> records in the buffer: what the Celery task of the GPU worker calls.

In: waiting Chunk rows. Out: records in the buffer, rows that say so, and the worker's state on its heartbeat. Does not
drain, and sends no message. Raises DeviceFailed when this process cannot use its device any more and has to end.

``claims`` and ``fair_share`` choose chunks, ``time_slice`` runs the loop, ``worker_threads`` computes, ``vector_reuse``
finds vectors that exist already, ``push_vectors`` writes, ``throughput`` measures, ``device_health`` pauses.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError

from ingestion.coordination import heartbeat
from ingestion.coordination.device import device_id
from ingestion.embedding.loading import load_model
from ingestion.environment_faults import fault_behind
from ingestion.exceptions import DeviceFailed, EnvironmentFault, ModelError
from ingestion.pipeline.embed import answer_questions, claims, time_slice
from ingestion.pipeline.embed.device_health import is_resting, pause, report_state
from ingestion.pipeline.embed.time_slice import TimeSlice
from ingestion.pipeline.state.collections import adopt, change_wanted

logger = logging.getLogger(__name__)

# Nothing needs a task to end: a stop is noticed between batches, and a drain is asked for when there is something to
# drain. Between two tasks the device waits for about 0.1 s.
TIME_SLICE_SECONDS = 120.0
# After that, for suspects: they are a few, and each group goes alone.
SUSPECT_SECONDS = 10.0
# How long a model that could not be loaded is left alone: it may be gigabytes to read.
FAULT_PAUSE_SECONDS = 5.0


class Fault(NamedTuple):
    """Why this process could not load its model last, and when by ``monotonic``; no reason: it could."""

    reason: str = ""
    at: float = 0.0

    def is_recent(self) -> bool:
        """Return whether it is too early for another try."""
        return bool(self.reason) and time.monotonic() - self.at < FAULT_PAUSE_SECONDS


_fault = Fault()


def embed_waiting(delivered: Callable[[], object] = lambda: None) -> bool:
    """Embed for one time slice. Return whether chunks still wait that could be embedded at once.

    ``delivered`` is called each time that vectors have come into the buffer. Raise DeviceFailed when this process
    cannot use its device any more and has to end. A fault of the surroundings, such as a missing model, is said on the
    runs and on the heartbeat, and tried again after a moment; no chunk has an attempt counted for it.
    """
    global _fault
    try:
        wanted = claims.work_left() or change_wanted() or answer_questions.wanted()
        if not wanted or is_resting() or _fault.is_recent():
            return False
        return load_and_embed(delivered)
    except (EnvironmentFault, OSError, DatabaseError) as error:
        fault = fault_behind(error)
        if fault is None:
            raise
        if isinstance(fault, ModelError):
            _fault = Fault(str(fault), time.monotonic())
        pause(str(fault), state="unhealthy")
    except DeviceFailed as error:
        heartbeat.note_failure(device_id(), str(error))
        logger.error("%s", error)  # Celery says only that the process ended
        raise
    return False


def load_and_embed(delivered: Callable[[], object]) -> bool:
    """Load the model, adopt its collection, embed fresh chunks and then suspects. Return whether more can follow."""
    global _fault
    if not _fault.reason:  # which is said as long as it lasts
        report_state("loading", model=settings.EMBED_MODEL, reason="")
    embedder = load_model(settings.EMBED_DEVICE)
    collection = adopt()
    _fault = Fault()
    report_state("idle", model=settings.EMBED_MODEL, reason="")
    answer_questions.start(embedder)
    claims.abandoned().back_to_waiting()  # the attempt counts: the process that held them may have died of them
    claims.fail_exhausted()
    time_slice.METER.start()
    try:
        with time_slice.stop_on_sigterm():
            goes_on = TimeSlice(embedder, collection, delivered, seconds=TIME_SLICE_SECONDS).run()
            if goes_on:
                goes_on = TimeSlice(embedder, collection, delivered, seconds=SUSPECT_SECONDS, suspects=True).run()
    finally:
        more = claims.waiting().exists()
        time_slice.METER.stop(more=more)
    if goes_on:
        report_state("idle", **time_slice.METER.figures())
    return goes_on and more
