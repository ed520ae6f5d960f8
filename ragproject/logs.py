"""Log records -> lines, or JSON objects with the ids of what was worked on; without credentials in both.

In: records, and the ids that ``log_ids`` holds in this task or thread. Out: one line each. The text of pages and
questions is never logged, so it needs no hiding here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from ragproject.environment import without_credentials

_ids: ContextVar[dict[str, int | str]] = ContextVar("log_ids", default={})  # noqa: B039  never changed in place


@contextmanager
def log_ids(**ids: int | str) -> Iterator[None]:
    """Name these ids in every record of the block."""
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def keep_log_ids(**ids: int | str) -> None:
    """Name these ids in every record of this task from here on: a response may be streamed after its view."""
    _ids.set({**_ids.get(), **ids})


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
        if record.exc_info:
            fields["traceback"] = without_credentials(self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False)
