"""Measures how fast this process embeds: tokens a second, and the share of the time with work that was computing.

In: every finished batch. Out: rates of the last minute. Knows neither rows nor devices.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW_SECONDS = 60.0


class Entry(NamedTuple):
    """A finished batch. ``computing`` and ``elapsed``: seconds on the device, and since the batch before."""

    at: float
    chunks: int
    tokens: int
    computing: float
    elapsed: float


@dataclass
class ThroughputMeter:
    """Rates of the last minute. ``start`` and ``stop`` enclose the time in which work waits."""

    entries: deque[Entry] = field(default_factory=deque)
    mark: float | None = None

    def start(self) -> None:
        """Begin to measure. The time since the last ``stop`` counts only if more was waiting then."""
        self.mark = self.mark or time.monotonic()

    def add(self, *, chunks: int, tokens: int, computing: float) -> None:
        """Count a finished batch that took so many seconds of computing."""
        now = time.monotonic()
        self.entries.append(Entry(now, chunks, tokens, computing, now - (self.mark or now)))
        self.mark = now
        while now - self.entries[0].at > WINDOW_SECONDS:
            self.entries.popleft()

    def stop(self, *, more: bool) -> None:
        """Stop measuring; ``more`` says that chunks still wait."""
        self.add(chunks=0, tokens=0, computing=0.0)
        self.mark = self.mark if more else None

    def rate(self) -> float:
        """Return the tokens per second of computing; 0 before the first batch."""
        computing = sum(e.computing for e in self.entries)
        return sum(e.tokens for e in self.entries) / computing if computing else 0.0

    def chunk_tokens(self) -> float:
        """Return the tokens of the mean chunk; 0 before the first batch."""
        chunks = sum(e.chunks for e in self.entries)
        return sum(e.tokens for e in self.entries) / chunks if chunks else 0.0

    def figures(self) -> dict[str, float]:
        """Return what the heartbeat reports: tokens per second of time with work, and its share that was computing."""
        elapsed = sum(e.elapsed for e in self.entries)
        tokens, computing = sum(e.tokens for e in self.entries), sum(e.computing for e in self.entries)
        return {
            "tokens_per_second": round(tokens / elapsed, 1) if elapsed else 0.0,
            "busy": round(min(1.0, computing / elapsed), 3) if elapsed else 0.0,
        }
