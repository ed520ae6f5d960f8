"""The device of an embedding worker: its name, and the lease that keeps a second worker off it.

Two workers on one card load two models and share its memory until both run out of it. The lease is a key in Redis
that names its holder; it is renewed while the holder lives and ends by itself when it does not. Nothing here
loads torch.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone
from redis.exceptions import LockError

from ingestion.coordination.redis_client import acquire, available
from ingestion.exceptions import DeviceTaken

logger = logging.getLogger(__name__)

# A worker that was killed leaves its device locked this long; one that is merely slow to renew has three more tries.
LEASE_SECONDS = 20.0
RENEW_SECONDS = 5.0
LOOK_SECONDS = 0.5
# Present where a driver for CUDA is loaded: asking torch would cost the parent process 7 s and 400 MB.
CUDA_DRIVERS = (Path("/proc/driver/nvidia/version"), Path("/dev/dxg"))


def place() -> str:
    """Host and device, the name under which a worker is known: "gpu-box/cuda:0"."""
    return f"{socket.gethostname()}/{device_name(settings.EMBED_DEVICE)}"


def device_name(device: str) -> str:
    """What "auto" will most likely become, and "cuda" certainly."""
    if device == "auto":
        return "cuda:0" if any(path.exists() for path in CUDA_DRIVERS) else "cpu"
    return "cuda:0" if device == "cuda" else device


class DeviceLease:
    """Held by one process at a time; the token in Redis says which, since when."""

    def __init__(self) -> None:
        self.place = place()
        self.key = f"embedder:lease:{self.place}"
        self.since = timezone.now().isoformat(timespec="seconds")
        self._token = json.dumps({"pid": os.getpid(), "since": self.since, "nonce": uuid.uuid4().hex})
        self._lock: Any = None

    def acquire(self) -> None:
        """Wait as long as a dead holder's lease can last; a living one outlasts that. Raises DeviceTaken."""
        deadline = time.monotonic() + LEASE_SECONDS + RENEW_SECONDS
        warned = False
        while not self.try_acquire():
            if time.monotonic() > deadline:
                raise DeviceTaken(self.refusal())
            if not warned:
                logger.warning("%s is held by %s; waiting for its lease to end", self.place, self.holder())
                warned = True
            time.sleep(LOOK_SECONDS)

    def try_acquire(self) -> bool:
        with available() as client:
            self._lock = client.lock(self.key, timeout=LEASE_SECONDS, thread_local=False)
        return acquire(self._lock, self._token)

    def renew(self) -> bool:
        """Whether the device is still ours; a lease that vanished with Redis' memory is taken again."""
        with available():
            try:
                return bool(self._lock.reacquire())
            except LockError:
                return self.try_acquire()

    def release(self) -> None:
        with available():
            try:
                self._lock.release()
            except LockError:
                logger.warning("the lease on %s had ended already", self.place)

    def holder(self) -> str:
        with available() as client:
            token = json.loads(client.get(self.key) or "{}")
        return f"process {token.get('pid', '?')}, since {token.get('since', 'just now')}"

    def refusal(self) -> str:
        return (
            f"{self.place} is in use by another embedding worker ({self.holder()}). One model fits one device: "
            "end that worker, or give this one a device of its own (EMBED_DEVICE=cuda:1)."
        )
