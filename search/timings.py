"""How long the stages of one question took.

Stages: parse, embed, search, context, generate; load, when the question had to wait for the model.
A stage entered twice adds up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Timings:
    """One question's clock; it starts when it is made."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time until the block ends to the stage ``name``."""
        started = perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + perf_counter() - started

    def milliseconds(self) -> dict[str, float]:
        """Return the milliseconds of every stage so far and of ``total``, to a tenth."""
        seconds = {**self._seconds, "total": perf_counter() - self._started}
        return {name: round(1000 * value, 1) for name, value in seconds.items()}
