"""Failures of this worker's device, its pauses, and what the worker reports of itself.

In: the device's failures, which the heartbeat keeps. Out: reports to the heartbeat, and the reason for a pause on the
runs. Nothing depends on a report, so that a report that Redis does not take fails nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from ingestion.coordination import heartbeat
from ingestion.coordination.device import device_id
from ingestion.exceptions import BufferUnavailable
from ingestion.pipeline.state.transitions import explain_wait

logger = logging.getLogger(__name__)

# So many failures within ten minutes are no longer one odd chunk, but a device or a driver that needs a person.
UNHEALTHY_FAILURES = 3
FIRST_REST_SECONDS, LONGEST_REST_SECONDS = 30.0, 600.0
# How a run's note begins while embedding pauses; the next delivery clears it.
PAUSE = "Embedding pauses: "


def pause(reason: str, *, state: str = "paused") -> None:
    """Log why embedding pauses, and say it on the heartbeat, under this state, and on the active runs."""
    note = f"{PAUSE}{reason}"
    logger.warning("%s", note)
    report_state(state, reason=note)
    with suppress(DatabaseError):  # which may be what is said
        explain_wait(note)


def is_resting() -> bool:
    """Return whether a device that failed again and again is left alone now; each rest is twice as long as the last."""
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


def kill_hung_process() -> None:
    """Note the failure and kill this process.

    A computation that hangs cannot be ended, and a process that waits for its thread does not end either.
    """
    reason = (
        f"A batch took longer than {settings.EMBED_TIME_LIMIT_SECONDS:.0f} s (EMBED_TIME_LIMIT_SECONDS), so the device "
        "or its driver hangs; the process was replaced."
    )
    logger.critical("%s: %s", device_id(), reason)
    with suppress(BufferUnavailable):
        heartbeat.note_failure(device_id(), reason)
    os.kill(os.getpid(), signal.SIGKILL)


def report_state(state: str, **facts: Any) -> None:
    """Report the worker's state and these facts on its heartbeat, if Redis takes them."""
    with suppress(BufferUnavailable):
        heartbeat.report_state(device_id(), state=state, at=time.time(), **facts)
