"""The parent process of an embedding worker: one per device, and a stop that loses nothing.

Celery loads this module in every worker; it acts only in one that takes messages from the queue ``gpu``. The parent
holds the lease on the device before it takes its first message, renews it while it lives, and passes a request to
stop on to its child process, which would otherwise work until the end of its time slice. It never loads torch.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

from celery.signals import worker_init, worker_shutdown, worker_shutting_down
from celery.worker import state

from ingestion.coordination import heartbeat
from ingestion.coordination.locks import DEVICE_RENEW_SECONDS, DeviceLease
from ingestion.exceptions import BufferUnavailable, DeviceTaken

logger = logging.getLogger(__name__)

QUEUE = "gpu"


class LeaseKeeper(threading.Thread):
    """A thread that renews the lease on the device until it is told to end, or until another worker has the device."""

    def __init__(self, worker: Any) -> None:
        super().__init__(name="device-lease", daemon=True)
        self.worker = worker
        self.lease = DeviceLease()
        self.ended = threading.Event()

    def take_device(self) -> None:
        """Acquire the lease, after waiting for Redis and for the end of a dead worker's lease.

        Raises DeviceTaken when another worker renews it.
        """
        while True:
            try:
                self.lease.acquire()
                return
            except BufferUnavailable as error:
                logger.warning("%s", error)
                time.sleep(DEVICE_RENEW_SECONDS)

    def run(self) -> None:
        """Renew the lease until told to end; stop the worker when the lease is lost."""
        while not self.ended.is_set():
            with suppress(BufferUnavailable):  # nothing can be embedded then anyway
                if not self.lease.renew():
                    logger.error("This worker was stopped for longer than its lease. %s", self.lease.refusal())
                    self.stop_child()
                    state.should_stop = os.EX_TEMPFAIL  # type: ignore[assignment]  # None until somebody asks
                    return
                heartbeat.report_state(self.lease.device, parent=os.getpid(), since=self.lease.since)
            self.ended.wait(DEVICE_RENEW_SECONDS)

    def stop_child(self) -> None:
        """Ask a child that embeds to stop after its batch; an idle one ends with its parent."""
        if state.active_requests and self.worker.pool:
            for pid in self.worker.pool.info["processes"]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

    def release(self) -> None:
        """End the thread and give the lease back."""
        self.ended.set()
        with suppress(BufferUnavailable):
            self.lease.release()


_keepers: list[LeaseKeeper] = []


@worker_init.connect
def start(sender: Any, **_: Any) -> None:
    """Take the device before the worker takes its first message, or end with the reason."""
    if QUEUE not in sender.app.amqp.queues.consume_from:
        return
    keeper = LeaseKeeper(sender)
    try:
        keeper.take_device()
    except DeviceTaken as error:
        heartbeat.note_turned_away(keeper.lease.device, str(error))
        raise SystemExit(str(error)) from error
    keeper.start()
    _keepers.append(keeper)


@worker_shutting_down.connect
def stop_children(**_: Any) -> None:
    """Ask children that embed to stop after their batch."""
    for keeper in _keepers:
        keeper.stop_child()


@worker_shutdown.connect
def end(**_: Any) -> None:
    """Give the leases back."""
    while _keepers:
        _keepers.pop().release()
