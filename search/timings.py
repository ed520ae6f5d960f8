"""How long the stages of one question took.

Stages: parse, rewrite, embed, search (Milvus), fuse, rows (the database), rerank, context, generate; wait, when others
came first; load, when the question had to wait for the model; first_token, the part of generate until a language
model's first word. A stage entered twice adds up. Every stage is counted for `/metrics`, and is a step of the
request's trace, too.
"""

from __future__ import annotations

from time import perf_counter
from types import TracebackType

from opentelemetry.trace import INVALID_SPAN, Span

from ingestion.coordination.measurements import QUESTION_STAGE
from ragproject import tracing
from ragproject.span_attributes import Described


class Stage:
    """A stage that is timed: it begins and ends with its block, or ends before with ``stop``."""

    def __init__(self, name: str, spent: dict[str, float]) -> None:
        self._name, self._spent = name, spent
        self._started = 0.0
        self._seconds: float | None = None
        self.span: Span = INVALID_SPAN

    def __enter__(self) -> Stage:
        self._started = perf_counter()
        self.span = tracing.begin_step(self._name)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error:
            tracing.note_error(self.span, error)
        self.stop()
        seconds = self.seconds()
        self._spent[self._name] = self._spent.get(self._name, 0.0) + seconds
        QUESTION_STAGE.observe(seconds, self._name)

    def describe(self, described: Described) -> None:
        """Give the stage's span in the trace a name and attributes, by OpenTelemetry's conventions."""
        self.span.update_name(described.name)
        self.span.set_attributes(described.attributes)

    def stop(self) -> None:
        """End the stage now, unless it ended before."""
        if self._seconds is None:
            self._seconds = perf_counter() - self._started
            self.span.end()

    def seconds(self) -> float:
        """Return the seconds that it took, or has taken until now."""
        return perf_counter() - self._started if self._seconds is None else self._seconds


class Timings:
    """One question's clock; it starts when it is made."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self._seconds: dict[str, float] = {}

    def stage(self, name: str) -> Stage:
        """Return a context that adds the time until its block ends, or it is stopped, to the stage ``name``."""
        return Stage(name, self._seconds)

    def milliseconds(self) -> dict[str, float]:
        """Return the milliseconds of every stage so far and of ``total``, to a tenth."""
        seconds = {**self._seconds, "total": perf_counter() - self._started}
        return {name: round(1000 * value, 1) for name, value in seconds.items()}
