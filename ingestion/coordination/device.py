"""The name of this worker's device, which its lease, its claims and its heartbeats carry."""

from __future__ import annotations

import socket
from pathlib import Path

from django.conf import settings

# Present where a driver for CUDA is loaded: asking torch would cost the parent process 7 s and 400 MB.
CUDA_DRIVERS = (Path("/proc/driver/nvidia/version"), Path("/dev/dxg"))


def device_id() -> str:
    """Return host and device, such as "gpu-box/cuda:0"."""
    return f"{socket.gethostname()}/{device_name(settings.EMBED_DEVICE)}"


def device_name(device: str) -> str:
    """Return the device that torch will most likely choose for "auto", and certainly for "cuda"."""
    if device == "auto":
        return "cuda:0" if any(path.exists() for path in CUDA_DRIVERS) else "cpu"
    return "cuda:0" if device == "cuda" else device
