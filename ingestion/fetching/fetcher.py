"""URL -> Page or file; the only module through which HTTP goes to the outside.

In: an address. Out: the body as bytes with its media type, or a file, or an error of the tree in ``exceptions``.
Every connection goes through ``ssrf_guard``. Redirects are followed here, those of pages that only send their readers
on (``meta_refresh``) too, and each target is checked like the first address; environment proxies, netrc and cookies
play no part. One deadline covers the whole fetch, from the look-up of the name to the last byte; the size of the body
is bounded after decompression, and a body that ends early is a failure. Connections are kept per process for the next
page of the same host.

``check_url`` is called with every address before it is requested, redirects included, and raises to forbid it.
``slot`` is entered around every request (see ``politeness.slot``); the slot of a redirect's target is entered inside
that of the redirect, so that the two can be told from two independent requests. ``headers`` go to the first origin
only, and never again once a redirect has left it.

It does not decode text, read robots.txt, or wait between requests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import requests
from django.conf import settings
from opentelemetry.trace import Span, SpanKind
from urllib3.exceptions import HTTPError

from ingestion import robots_directives
from ingestion.coordination.measurements import FETCH
from ingestion.environment_faults import fault_behind
from ingestion.exceptions import AddressRefused, FetchFailed, IndexingRefused, PageRefused, RedirectRefused
from ingestion.fetching import meta_refresh, responses
from ingestion.fetching.http_session import Deadline, session
from ingestion.fetching.responses import READABLE
from ingestion.fetching.urls import canonical, origin
from ingestion.references import resolved
from ingestion.types import Page, Validators
from ragproject import tracing

T = TypeVar("T")
CheckUrl = Callable[[str], object]
Slot = Callable[[str], AbstractContextManager[object]]

MAX_REDIRECTS = 5  # RFC 9309 asks for five in front of a robots.txt; real chains have one or two
# A download may take longer than a page, by the time that its cap takes at this speed.
SLOWEST_BYTES_PER_SECOND = 1024 * 1024
GITHUB_HOSTS = ("github.com", "githubusercontent.com")


def fetch(
    url: str,
    *,
    check_url: CheckUrl | None = None,
    slot: Slot | None = None,
    content_types: Collection[str] = READABLE,
    headers: Mapping[str, str] | None = None,
    max_bytes: int | None = None,
) -> Page:
    """Fetch one page, following redirects.

    Accept only the media types in ``content_types``; when it is empty, accept any text. Raise PageGone, PageRefused,
    AddressRefused, UnsupportedContent or FetchFailed, and whatever ``check_url`` and ``slot`` raise.
    """

    def read(address: str, response: requests.Response) -> Page:
        """Return the page in the response from ``address``. Raise the error of its status, type or size."""
        return responses.page(address, response, content_types, max_bytes or settings.FETCH_MAX_BYTES)

    request = _Request(canonical(url), read, check_url, slot, headers or {}, onward=meta_refresh.target)
    return _send(request, settings.FETCH_TIMEOUT_SECONDS)


def fetch_if_changed(
    url: str,
    *,
    known: Validators,
    check_url: CheckUrl | None = None,
    slot: Slot | None = None,
    content_types: Collection[str] = READABLE,
    headers: Mapping[str, str] | None = None,
    max_bytes: int | None = None,
) -> Page | None:
    """Fetch one page, or return None when the server says that it still is the version that ``known`` describes.

    A page behind a redirect is always fetched: the validators of one address do not apply to another. Raise
    IndexingRefused when the server says beside it that it is to be left out of indexes.
    """
    address = canonical(url)
    validators = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
    # Without those that a server sent although no client may send them back; the page is fetched whole then.
    conditions = {
        name: value
        for name, value in validators.items()
        if value and value.isascii() and value.isprintable() and value == value.strip()
    }

    def read(hop: str, response: requests.Response) -> Page | None:
        """Return the page in the response from ``hop``, or None when it is 304 (not modified) from the first address.

        Raise IndexingRefused when a header beside the 304 forbids indexing, else the error of the status, type or size.
        """
        if response.status_code == 304 and conditions and hop == address:
            _ = response.content  # empty; without reading it the connection would not be kept
            if responses.robots(response) & robots_directives.NO_INDEX:
                raise IndexingRefused(f"{hop} asks not to be indexed (X-Robots-Tag)")
            return None
        return responses.page(hop, response, content_types, max_bytes or settings.FETCH_MAX_BYTES)

    def onward(found: Page | None) -> str:
        """Return the address that a page sends its readers to, or ""; that also for None, an unchanged page."""
        return meta_refresh.target(found) if found else ""

    request = _Request(address, read, check_url, slot, headers or {}, conditions, onward)
    found = _send(request, settings.FETCH_TIMEOUT_SECONDS)
    return found if found is None or found.url == address else replace(found, etag="", last_modified="")


def download(
    url: str,
    path: Path,
    *,
    check_url: CheckUrl | None = None,
    slot: Slot | None = None,
    headers: Mapping[str, str] | None = None,
    max_bytes: int,
) -> None:
    """Save the body at ``url``, of any type, as ``path``: whole, or not at all. Raise the errors of ``fetch``."""

    def read(address: str, response: requests.Response) -> None:
        """Write the body of the response from ``address`` to ``path``. Raise the error of its status or size."""
        responses.save(address, response, path, max_bytes)

    seconds = settings.FETCH_TIMEOUT_SECONDS + max_bytes / SLOWEST_BYTES_PER_SECOND
    _send(_Request(canonical(url), read, check_url, slot, {"Accept": "*/*", **(headers or {})}), seconds)


@dataclass(frozen=True, slots=True)
class Answered:
    """The status of an answer, and for how many seconds the server wants to be left alone, if it says so."""

    status: int
    retry_after: float | None


def post(url: str, body: bytes, *, headers: Mapping[str, str], seconds: float) -> Answered:
    """Send a body to an address that a person entered, follow no redirect, and read nothing of the answer's body.

    Errors do not name the address: the path of some is as good as a password.
    """
    whole = {"User-Agent": settings.USER_AGENT, **headers}
    place = "/".join(url.split("/")[:3])
    try:
        target = canonical(url)
    except AddressRefused:
        raise AddressRefused(f"The address at {place} is no web address; enter it again") from None
    with Deadline(place, seconds) as deadline, _failures_named(place, deadline):
        response = session().post(target, data=body, headers=whole, timeout=seconds, allow_redirects=False, stream=True)
        with response:
            return Answered(response.status_code, responses.retry_after(response.headers.get("Retry-After", "")))


# --- Following redirects ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Request(Generic[T]):
    """One request, with the function that reads its response.

    ``onward`` returns the address that what was read sends its readers to, or "".
    """

    url: str
    read: Callable[[str, requests.Response], T]
    check_url: CheckUrl | None
    slot: Slot | None
    headers: Mapping[str, str]
    conditions: Mapping[str, str] | None = None
    onward: Callable[[T], str] | None = None


def _send(request: _Request[T], seconds: float) -> T:
    """Send a request, follow redirects, and return what was read from the last response, all within ``seconds``."""
    start = request.url
    with Deadline(start, seconds) as deadline, ExitStack() as slots:
        for _ in range(1 + MAX_REDIRECTS):
            if request.check_url:
                request.check_url(request.url)
            if request.slot:
                slots.enter_context(request.slot(request.url))
            measured, named = FETCH.timed(_host_class(request.url)), _failures_named(request.url, deadline)
            with _step(request.url) as span, measured, named, _open(request) as response:
                span.set_attribute("http.response.status_code", response.status_code)
                if response.is_redirect:
                    # Headers arrive as Latin-1 whatever they hold; servers that send raw UTF-8 mean UTF-8.
                    reference = response.headers["location"].encode("latin-1", "replace").decode("utf-8", "replace")
                else:
                    found = request.read(request.url, response)
                    reference = request.onward(found) if request.onward else ""
                    if not reference or _target(request.url, reference) == request.url:
                        return found
                target = _target(request.url, reference)
                headers = request.headers if origin(target) == origin(request.url) else {}
                request = replace(request, url=target, headers=headers, conditions=None)
        raise PageRefused(f"{start} redirects more than {MAX_REDIRECTS} times; use the address it should lead to")


def _host_class(url: str) -> str:
    """Return "github" for the servers of GitHub, which set a rate of their own, and "web" for all others."""
    host = urlsplit(url).hostname or ""
    return "github" if host.endswith(GITHUB_HOSTS) or url.startswith(settings.GITHUB_API_URL) else "web"


@contextmanager
def _failures_named(url: str, deadline: Deadline) -> Iterator[None]:
    """Turn the failures of a request into FetchFailed, inside its slot, which reports the outcome.

    A full disk or another fault of this machine is no failure of the host: then raise the EnvironmentFault.
    """
    try:
        yield
    except (OSError, HTTPError, FetchFailed) as error:
        if fault := fault_behind(error):
            raise fault from error
        if isinstance(error, FetchFailed):
            raise
        raise FetchFailed(f"{url}: {responses.reason(error)}; it will be tried again") from error
    finally:
        deadline.raise_if_over()


def _open(request: _Request[T]) -> requests.Response:
    """Send one request and return its response, whose body is still unread."""
    headers = {
        "User-Agent": settings.USER_AGENT,
        "Accept": "text/html,application/xhtml+xml,text/markdown,text/plain;q=0.9,*/*;q=0.1",
        **request.headers,
        **(request.conditions or {}),
        # The codings whose decoders stop where they are told to; the guards against bombs rely on it.
        "Accept-Encoding": "gzip, deflate",
    }
    try:
        return session().get(
            request.url,
            headers=headers,
            timeout=settings.FETCH_TIMEOUT_SECONDS,
            allow_redirects=False,
            stream=True,
        )
    except (AddressRefused, FetchFailed) as error:  # raised by ssrf_guard, which knows the host only
        error.args = (f"{request.url} cannot be fetched: {error}",)
        raise


def _step(url: str) -> AbstractContextManager[Span]:
    """Return the span of a trace for one request; it names only the host, since the address may hold secrets."""
    attributes = {"http.request.method": "GET", "server.address": urlsplit(url).hostname or ""}
    return tracing.step("GET", SpanKind.CLIENT, attributes)


def _target(url: str, reference: str) -> str:
    """Return the canonical target of a redirect from ``url``. Raise RedirectRefused where https would become http."""
    target = canonical(resolved(url, reference))
    if url.startswith("https:") and target.startswith("http:"):
        raise RedirectRefused(f"{url} redirects from https to http ({target}), which is refused")
    return target
