"""The errors of answering.

::

    SearchError
    ├── AccessRefused      no key or none that counts (401), or one that may not do this (403)
    ├── LimitReached       too many requests of this caller, or of all; try again after ``retry_after`` seconds
    ├── QuestionRefused    empty, too long, or an option with an unknown value
    ├── NothingIndexed     there is no collection to search yet
    ├── IndexIncomplete    Milvus lost what the rows say it holds
    ├── TooBusy            too many wait for their turn already; try again after ``retry_after`` seconds
    └── LLMFailed          the language model refused, stalled or broke off

``str(error)`` is for whoever runs the site; ``public_message`` is for readers and names no internals.
"""

from __future__ import annotations

from django.db import DatabaseError

from ingestion.exceptions import IngestionError

UNAVAILABLE = "Search is unavailable at the moment. Please try again in a minute."


class SearchError(Exception):
    """Base of the errors that answering raises itself; ``status`` is HTTP's."""

    status = 503


class AccessRefused(SearchError):
    """A caller that is not known, or may not do this."""

    def __init__(self, message: str, status: int = 401) -> None:
        super().__init__(message)
        self.status = status


class LimitReached(SearchError):
    """More requests in a time than the settings allow."""

    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuestionRefused(SearchError):
    """A question that the reader can correct."""

    status = 400


class NothingIndexed(SearchError):
    """No collection that could be searched."""


class IndexIncomplete(SearchError):
    """Nothing found where something is; an audit is about to have it embedded again."""


class TooBusy(SearchError):
    """More waiting or being done than is taken at once: of this caller (429), or in all (503)."""

    def __init__(self, message: str, retry_after: int, status: int = 503) -> None:
        super().__init__(message)
        self.retry_after, self.status = retry_after, status


class LLMFailed(SearchError):
    """No answer of the language model, or not all of it; the passages are still right.

    ``reason`` is a part of a sentence for readers, where they can do something with it.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


# What can go wrong while a question is answered and is no bug of ours.
FAILURES = (SearchError, IngestionError, DatabaseError)


def public_message(error: Exception, *, with_passages: bool = True) -> str:
    """Return the sentence for readers, which names no internals; ``with_passages`` where they see the passages."""
    if isinstance(error, AccessRefused | LimitReached | QuestionRefused | NothingIndexed | IndexIncomplete | TooBusy):
        return str(error)
    if not isinstance(error, LLMFailed):
        return UNAVAILABLE
    why = f"wrote no answer: {error.reason}" if error.reason else "did not finish its answer"
    return f"The language model {why}.{' The passages below are not affected.' if with_passages else ''}"


def status_of(error: Exception) -> int:
    """Return the HTTP status that says who can help: 4xx the caller, 503 time or whoever runs the site."""
    return error.status if isinstance(error, SearchError) else 503


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers that tell a program when to ask again, or how to say who it is."""
    if isinstance(error, AccessRefused) and error.status == 401:
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": str(error.retry_after)} if isinstance(error, TooBusy | LimitReached) else {}
