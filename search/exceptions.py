"""The errors of answering.

::

    SearchError
    ├── QuestionRefused    empty, too long, or an option with an unknown value
    ├── NothingIndexed     there is no collection to search yet
    ├── IndexIncomplete    Milvus lost what the rows say it holds
    ├── TooBusy            others wait already; ``retry_after`` seconds later it may be otherwise
    └── LLMFailed          the language model refused, stalled or broke off

``str(error)`` is for whoever runs the site; ``public_message`` is for readers and names no internals.
"""

from __future__ import annotations

from django.db import DatabaseError

from ingestion.exceptions import IngestionError

UNAVAILABLE = "Search is unavailable at the moment. Please try again in a minute."


class SearchError(Exception):
    """Base of the errors that answering raises on purpose."""

    status = 503


class QuestionRefused(SearchError):
    """The reader can mend this."""

    status = 400


class NothingIndexed(SearchError):
    """There is nothing to search."""


class IndexIncomplete(SearchError):
    """Nothing was found where something is; an audit is about to have it embedded again."""


class TooBusy(SearchError):
    """More questions wait, or are being answered, than are taken at once."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LLMFailed(SearchError):
    """No answer, or not all of it; the passages are still right."""


# What can go wrong while a question is answered and is no bug of ours.
FAILURES = (SearchError, IngestionError, DatabaseError)


def public_message(error: Exception) -> str:
    if isinstance(error, QuestionRefused | NothingIndexed | IndexIncomplete | TooBusy):
        return str(error)
    if isinstance(error, LLMFailed):
        return "The language model did not finish its answer. The passages below are not affected."
    return UNAVAILABLE


def status_of(error: Exception) -> int:
    return error.status if isinstance(error, SearchError) else 503


def headers_of(error: Exception) -> dict[str, str]:
    """Headers that tell a program what to do."""
    return {"Retry-After": str(error.retry_after)} if isinstance(error, TooBusy) else {}
