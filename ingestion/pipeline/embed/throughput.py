"""How fast this process embeds: tokens a second, and the share of the time with work in which the device computed.

Fed with every finished batch; speaks of the last minute. Knows neither rows nor devices.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW_SECONDS = 60.0


class Entry(NamedTuple):
    at: float
    chunks: int
    tokens: int
    computing: float
    elapsed: float


@dataclass
class ThroughputMeter:
    """``start`` and ``stop`` frame the time in which work waits."""

    entries: deque[Entry] = field(default_factory=deque)
    mark: float | None = None

    def start(self) -> None:
        """A pause since the last ``stop`` counts only when that said that more waits."""
        self.mark = self.mark or time.monotonic()

    def add(self, *, chunks: int, tokens: int, computing: float) -> None:
        now = time.monotonic()
        self.entries.append(Entry(now, chunks, tokens, computing, now - (self.mark or now)))
        self.mark = now
        while now - self.entries[0].at > WINDOW_SECONDS:
            self.entries.popleft()

    def stop(self, *, more: bool) -> None:
        self.add(chunks=0, tokens=0, computing=0.0)
        self.mark = self.mark if more else None

    def rate(self) -> float:
        """Tokens a second of computing; 0 before the first batch."""
        computing = sum(e.computing for e in self.entries)
        return sum(e.tokens for e in self.entries) / computing if computing else 0.0

    def chunk_tokens(self) -> float:
        """Of the mean chunk; 0 before the first batch."""
        chunks = sum(e.chunks for e in self.entries)
        return sum(e.tokens for e in self.entries) / chunks if chunks else 0.0

    def figures(self) -> dict[str, float]:
        elapsed = sum(e.elapsed for e in self.entries)
        tokens, computing = sum(e.tokens for e in self.entries), sum(e.computing for e in self.entries)
        return {
            "tokens_per_second": round(tokens / elapsed, 1) if elapsed else 0.0,
            "busy": round(min(1.0, computing / elapsed), 3) if elapsed else 0.0,
        }
