"""Log records -> lines, or JSON objects with the ids of what was worked on; without credentials in both.

In: records, and the ids that ``log_ids`` holds in this task or thread. Out: one line each; a JSON object also names the
trace that the record belongs to. The text of pages and questions is never logged, so it needs no hiding here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from opentelemetry import trace

from ragproject.environment import without_credentials

_ids: ContextVar[dict[str, int | str]] = ContextVar("log_ids", default={})  # noqa: B039  never changed in place


@contextmanager
def log_ids(**ids: int | str) -> Iterator[None]:
    """Add these ids to every log record of the block, and to the current request's or task's span."""
    note_on_span(ids)
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def keep_log_ids(**ids: int | str) -> None:
    """Add these ids to every later log record of this request or task, and to its span.

    Nothing removes them: a response may be streamed after its view has returned.
    """
    note_on_span(ids)
    _ids.set({**_ids.get(), **ids})


def note_on_span(ids: Mapping[str, int | str]) -> None:
    """Add these ids to the span of the current request or task, if one is recorded."""
    trace.get_current_span().set_attributes({f"ragproject.{name}.id": value for name, value in ids.items()})


class Line(logging.Formatter):
    """One line for people; a traceback follows it."""

    def format(self, record: logging.LogRecord) -> str:
        return without_credentials(super().format(record))


class JsonLine(logging.Formatter):
    """One JSON object in a line, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, int | str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_credentials(record.getMessage()),
            "process": record.process or 0,
            **_ids.get(),
        }
        if (span := trace.get_current_span().get_span_context()).is_valid:
            fields |= {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        if record.exc_info:
            fields["traceback"] = without_credentials(self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False)
