"""How much more work a larger input is, told without a clock on the wall, so that a busy machine changes no verdict."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType

# Four times the input is four times the work, or sixteen times where each piece looks at all others. The processor's
# own count of a process varies twofold on a busy machine.
TIMES, MOST = 4, 10
# Less than this is too little to compare.
LEAST_SECONDS = 0.05
TRIES = 3


def calls(work: Callable[[], object], *, of: str = "") -> int:
    """How many functions it calls, those written in C included; ``of`` counts those of one name only."""
    found = 0

    def note(frame: FrameType, event: str, called: object) -> None:
        nonlocal found
        if event in ("call", "c_call"):
            name = frame.f_code.co_name if event == "call" else getattr(called, "__name__", "")
            found += not of or name == of

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return found


def is_linear(work: Callable[[int], object], size: int) -> bool:
    """Whether the processor's time for ``size`` and for four times as much lie together as they should. For what a
    regular expression does, which makes no calls."""
    for _ in range(TRIES):
        small, large = _seconds(work, size), _seconds(work, TIMES * size)
        if large <= MOST * max(small, LEAST_SECONDS):
            return True
    return False


def _seconds(work: Callable[[int], object], size: int) -> float:
    start = time.process_time()
    work(size)
    return time.process_time() - start
