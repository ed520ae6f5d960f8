"""Ports for the servers that tests start, each kept from others until the tests end."""

from __future__ import annotations

import atexit
from contextlib import ExitStack

from ragproject.embedded.ports import hold_port

_held = ExitStack()
atexit.register(_held.close)


def free_port() -> int:
    """Return a port on which nobody listens, and which nobody else is given while this process lives."""
    return int(_held.enter_context(hold_port()).getsockname()[1])


def free_ports(count: int) -> list[int]:
    """Return several free ports."""
    return [free_port() for _ in range(count)]
