"""Requests to a site on behalf of a source: inside its scope, by robots.txt, at the pace its host allows.

In: a source and an address. Out: a page, a file on disk, or an error of the tree in ``exceptions``. Every redirect is
checked like the address that led to it. HostBusy is passed on, except from the few requests of a listing, which wait
for their slot: a listing that began anew each time would never get to its second file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from ingestion.exceptions import AddressRefused, HostBusy, TransientError
from ingestion.fetching import fetcher, politeness
from ingestion.sources.web.url_scope import content_types, normalise_in_source, scope_of
from ingestion.types import Page, SourceSpec, Validators

T = TypeVar("T")
# A crawl-delay of 10 s is the longest that is common; a host that wants more is one that answers 429.
PATIENCE_SECONDS = 20.0

robots_file = partial(fetcher.fetch, content_types=())


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page | None:
    """Fetch one page under its final address in the source's form. Return None while it is the known version."""
    page = fetcher.fetch_if_changed(
        url,
        known=known,
        check_url=partial(require_allowed, spec),
        slot=lambda hop: politeness.slot(hop, spec.crawl_policy, token=url),
        content_types=content_types(spec, url),
    )
    return page and replace(page, url=normalise_in_source(spec, page.url))


def download(spec: SourceSpec, url: str, path: Path, *, max_bytes: int) -> str:
    """Save the file at any address of the source's host. Return its final address."""
    hops = [url]

    def check_hop(hop: str) -> None:
        """Raise AddressRefused for an address on another host or one that robots.txt forbids; else add it to ``hops``.

        Raise FetchFailed or HostBusy while robots.txt cannot be read.
        """
        if not scope_of(spec).has_host_of(hop):
            raise AddressRefused(f"{hop} lies on another host than {spec.target}; add it as a source of its own")
        _require_robots(hop)
        hops.append(hop)

    fetcher.download(
        url,
        path,
        check_url=check_hop,
        slot=lambda hop: politeness.slot(hop, spec.crawl_policy, token=url),
        max_bytes=max_bytes,
    )
    return hops[-1]


def sitemaps(url: str) -> tuple[str, ...]:
    """Return the sitemaps that the site's robots.txt names."""
    return patiently(partial(politeness.sitemaps, url, fetch=robots_file))


def patiently(request: Callable[[], T]) -> T:
    """Make a request of a listing, and wait in the worker while the host is busy, up to PATIENCE_SECONDS."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return request()
        except HostBusy as busy:
            wait = max(busy.retry_after or 0.0, 0.01)
            if time.monotonic() + wait > until:
                raise
            time.sleep(wait)


def require_allowed(spec: SourceSpec, url: str) -> None:
    """Raise AddressRefused for an address that the source does not cover or that robots.txt forbids."""
    if not scope_of(spec).holds(url):
        raise AddressRefused(
            f"{url} lies outside {spec.target}; if the documentation has moved there, make it the target"
        )
    _require_robots(url)


def is_forbidden(url: str) -> bool:
    """Return whether robots.txt forbids an address; while it is unreachable, the request itself will find out."""
    try:
        return not politeness.allowed(url, fetch=robots_file)
    except TransientError:
        return False


def _require_robots(url: str) -> None:
    """Raise AddressRefused when robots.txt forbids ``url``, FetchFailed or HostBusy while it cannot be read."""
    if not politeness.allowed(url, fetch=robots_file):
        raise AddressRefused(f"robots.txt forbids {url}; ask the site's owner or exclude it")
