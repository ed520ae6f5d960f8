"""The name of this worker's device, which its lease, its claims and its heartbeats carry."""

from __future__ import annotations

import socket
from pathlib import Path

from django.conf import settings

DEVICES = Path("/dev")
# Files of drivers: NVIDIA's, Windows' below WSL, AMD's, and NVIDIA's on boards.
DRIVERS = ("nvidia[0-9]*", "dxg", "kfd", "nvhost-gpu", "nvgpu")


def device_id() -> str:
    """Return host and device, such as "gpu-box/cuda:0"."""
    return f"{socket.gethostname()}/{device_name(settings.EMBED_DEVICE)}"


def device_name(device: str) -> str:
    """Return the device that torch will most likely choose for "auto", and certainly for "cuda"."""
    if device == "auto":
        return "cuda:0" if may_have_gpu() else "cpu"
    return "cuda:0" if device == "cuda" else device


def may_have_gpu() -> bool:
    """Return whether a driver is here that PyTorch can compute with; asking PyTorch takes 7 s and 400 MB."""
    return any(any(DEVICES.glob(name)) for name in DRIVERS)
