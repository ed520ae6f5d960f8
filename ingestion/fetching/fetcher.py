"""URL -> Page or file; the only door through which HTTP goes to the outside.

In: an address. Out: the body as bytes with its media type, or a file, or an error of the tree in ``exceptions``.
Every connection goes through ``netguard``; redirects are followed by hand, each hop judged like the
first; environment proxies, netrc and cookies play no part. One deadline covers the whole fetch, from the
look-up of the name to the last byte; the body is capped after decompression, and a body that ends early is
a failure. Connections are kept per process for the next page of the same host.

``permit`` is called with every address before it is requested, redirects included, and raises to forbid it.
``turn`` is entered around every request; the turn of a redirect's target is entered inside that of the
redirect, so that whoever hands out turns can tell one errand from two. ``headers`` go to the first origin
only, and never again once a redirect has left it.

It does not decode text, read robots.txt, or wait between requests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urljoin

import requests
from django.conf import settings
from urllib3.exceptions import HTTPError

from ingestion.exceptions import AddressRefused, FetchFailed, PageRefused
from ingestion.fetching import responses
from ingestion.fetching.http_session import Deadline, session
from ingestion.fetching.responses import READABLE
from ingestion.fetching.urls import canonical, origin
from ingestion.types import Page, Validators

T = TypeVar("T")
Permit = Callable[[str], object]
Turn = Callable[[str], AbstractContextManager[object]]

MAX_REDIRECTS = 5  # RFC 9309 asks for five in front of a robots.txt; real chains have one or two
# A download may take longer than a page, by the time that its cap takes at this speed.
SLOWEST_BYTES_PER_SECOND = 1024 * 1024


def fetch(
    url: str,
    *,
    permit: Permit | None = None,
    turn: Turn | None = None,
    content_types: Collection[str] = READABLE,
    headers: Mapping[str, str] | None = None,
    max_bytes: int | None = None,
) -> Page:
    """Fetch one page. Empty ``content_types`` accept any text; a type that is no text passes when it is
    named there."""

    def read(address: str, response: requests.Response) -> Page:
        return responses.page(address, response, content_types, max_bytes or settings.FETCH_MAX_BYTES)

    return _run(_FetchRequest(canonical(url), read, permit, turn, headers or {}), settings.FETCH_TIMEOUT_SECONDS)


def fetch_if_changed(
    url: str,
    *,
    known: Validators,
    permit: Permit | None = None,
    turn: Turn | None = None,
    content_types: Collection[str] = READABLE,
    headers: Mapping[str, str] | None = None,
    max_bytes: int | None = None,
) -> Page | None:
    """Fetch one page unless it still is the version that ``known`` was said of; None then.

    A page behind a redirect is fetched whole: what is known of one address says nothing of another.
    """
    address, conditions = canonical(url), _conditions(known)

    def read(hop: str, response: requests.Response) -> Page | None:
        if response.status_code == 304 and conditions and hop == address:
            _ = response.content  # empty; without it the connection would not be kept
            return None
        return responses.page(hop, response, content_types, max_bytes or settings.FETCH_MAX_BYTES)

    errand = _FetchRequest(address, read, permit, turn, headers or {}, conditions)
    return _run(errand, settings.FETCH_TIMEOUT_SECONDS)


def download(
    url: str,
    path: Path,
    *,
    permit: Permit | None = None,
    turn: Turn | None = None,
    headers: Mapping[str, str] | None = None,
    max_bytes: int,
) -> None:
    """Save a body of any type as ``path``: whole, or not at all."""

    def read(address: str, response: requests.Response) -> None:
        responses.save(address, response, path, max_bytes)

    seconds = settings.FETCH_TIMEOUT_SECONDS + max_bytes / SLOWEST_BYTES_PER_SECOND
    _run(_FetchRequest(canonical(url), read, permit, turn, {"Accept": "*/*", **(headers or {})}), seconds)


def _conditions(known: Validators) -> dict[str, str]:
    found = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
    return {name: value for name, value in found.items() if value and _is_sendable(value)}


def _is_sendable(value: str) -> bool:
    """A header that a server sent and that we could not send back: the page is fetched whole instead."""
    return value.isascii() and value.isprintable() and value == value.strip()


# --- Following redirects ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _FetchRequest(Generic[T]):
    """One request and what is to be done with its answer."""

    url: str
    read: Callable[[str, requests.Response], T]
    permit: Permit | None
    turn: Turn | None
    headers: Mapping[str, str]
    conditions: Mapping[str, str] | None = None
    redirects: int = 0

    def onward(self, location: str) -> _FetchRequest[T]:
        target = _target(self.url, location)
        headers = self.headers if origin(target) == origin(self.url) else {}
        return replace(self, url=target, headers=headers, conditions=None, redirects=self.redirects + 1)


def _run(errand: _FetchRequest[T], seconds: float) -> T:
    with Deadline(errand.url, seconds) as deadline:
        return _follow(errand, errand.url, deadline)


def _follow(errand: _FetchRequest[T], start: str, deadline: Deadline) -> T:
    if errand.redirects > MAX_REDIRECTS:
        raise PageRefused(f"{start} redirects more than {MAX_REDIRECTS} times; use the address it should lead to")
    if errand.permit:
        errand.permit(errand.url)
    with errand.turn(errand.url) if errand.turn else nullcontext():
        with _failing_as_ours(errand.url, deadline), _get(errand) as response:
            if not response.is_redirect:
                return errand.read(errand.url, response)
            onward = errand.onward(response.headers["location"])
        return _follow(onward, start, deadline)


@contextmanager
def _failing_as_ours(url: str, deadline: Deadline) -> Iterator[None]:
    """Inside the turn, which is to learn what became of the request."""
    try:
        yield
    except (OSError, HTTPError) as error:
        raise FetchFailed(f"{url}: {responses.reason(error)}; it will be tried again") from error
    finally:
        deadline.judge()


def _get(errand: _FetchRequest[T]) -> requests.Response:
    """The response to one request, its body still unread."""
    headers = {
        "User-Agent": settings.USER_AGENT,
        "Accept": "text/html,application/xhtml+xml,text/markdown,text/plain;q=0.9,*/*;q=0.1",
        **errand.headers,
        **(errand.conditions or {}),
        # The codings whose decoders stop where they are told to; the guards against bombs rely on it.
        "Accept-Encoding": "gzip, deflate",
    }
    try:
        return session().get(
            errand.url,
            headers=headers,
            timeout=settings.FETCH_TIMEOUT_SECONDS,
            allow_redirects=False,
            stream=True,
        )
    except (AddressRefused, FetchFailed) as error:  # raised by netguard, which knows the host only
        error.args = (f"{errand.url} cannot be fetched: {error}",)
        raise


def _target(url: str, location: str) -> str:
    # HTTP headers arrive as Latin-1 whatever they hold; servers that send raw UTF-8 mean UTF-8.
    target = canonical(urljoin(url, location.encode("latin-1", "replace").decode("utf-8", "replace")))
    if url.startswith("https:") and target.startswith("http:"):
        raise AddressRefused(f"{url} redirects from https to http ({target}), which is refused")
    return target
