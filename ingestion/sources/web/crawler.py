"""Requests to a site on behalf of a source: inside its scope, by robots.txt, at the pace its host allows.

In: a source and an address. Out: a page, a file on disk, or an error of the tree in ``exceptions``. Every
redirect is judged like the address that led to it. HostBusy passes through, but for the few requests of a
listing, which wait for their turn: a listing that began anew each time would never get to its second file.
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
from ingestion.sources.web.url_scope import as_in_source, scope_of
from ingestion.types import Page, SourceSpec, Validators

T = TypeVar("T")
# A crawl-delay of 10 s is the longest that is common; a host that wants more is one that answers 429.
PATIENCE_SECONDS = 20.0

robots_file = partial(fetcher.fetch, content_types=())


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page | None:
    """One page under its final address as the source spells it; None while it is the known version."""
    page = fetcher.fetch_if_changed(
        url,
        known=known,
        check_url=partial(permit, spec),
        slot=lambda hop: politeness.slot(hop, spec.crawl_policy, token=url),
    )
    return page and replace(page, url=as_in_source(spec, page.url))


def download(spec: SourceSpec, url: str, path: Path, *, max_bytes: int) -> str:
    """Save what any address of the source's host answers. Returns the final address."""
    hops = [url]

    def permit_hop(hop: str) -> None:
        _permit_host(spec, hop)
        hops.append(hop)

    fetcher.download(
        url,
        path,
        check_url=permit_hop,
        slot=lambda hop: politeness.slot(hop, spec.crawl_policy, token=url),
        max_bytes=max_bytes,
    )
    return hops[-1]


def sitemaps(url: str) -> tuple[str, ...]:
    """What the site's robots.txt names."""
    return patiently(partial(politeness.sitemaps, url, fetch=robots_file))


def patiently(request: Callable[[], T]) -> T:
    """Make a request of a listing, waiting in the worker while the host is busy."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return request()
        except HostBusy as busy:
            wait = max(busy.retry_after or 0.0, 0.01)
            if time.monotonic() + wait > until:
                raise
            time.sleep(wait)


def permit(spec: SourceSpec, url: str) -> None:
    """Refuse an address that the source does not cover or whose site wants to be left alone there."""
    if not scope_of(spec).holds(url):
        raise AddressRefused(
            f"{url} lies outside {spec.target}; if the documentation has moved there, make it the target"
        )
    _permit_robots(url)


def is_forbidden(url: str) -> bool:
    """Whether robots.txt is known to forbid an address; while it cannot be had, the visit itself will tell."""
    try:
        return not politeness.allowed(url, fetch=robots_file)
    except TransientError:
        return False


def _permit_host(spec: SourceSpec, url: str) -> None:
    if not scope_of(spec).has_host_of(url):
        raise AddressRefused(f"{url} lies on another host than {spec.target}; add it as a source of its own")
    _permit_robots(url)


def _permit_robots(url: str) -> None:
    if not politeness.allowed(url, fetch=robots_file):
        raise AddressRefused(f"robots.txt forbids {url}; ask the site's owner or exclude it")
