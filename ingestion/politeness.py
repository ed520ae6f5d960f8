"""Whether a site's robots.txt lets us fetch an address.

In: an address and the function that fetches. Out: yes or no. The rules are those of RFC 9309: without a
robots.txt (any 4xx) everything is allowed; while it cannot be had (5xx, time-out) nothing is, and
FetchFailed says that the page is to be tried later. Rules are kept per process and site for an hour.

It does not fetch by itself, and it does not slow anything down.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from protego import Protego

from ingestion.exceptions import FetchFailed, PageGone, PageRefused, UnsupportedContent
from ingestion.types import Page

KEEP_SECONDS = 3600.0  # RFC 9309 allows a day; a site owner who closes a folder waits an hour at most
MAX_SITES = 1000  # some KB each
MAX_ROBOTS_BYTES = 512 * 1024  # RFC 9309 asks for 500 KiB at least


@dataclass(frozen=True, slots=True)
class _Robots:
    """What is known of one site until ``until``: its rules, or why there are none yet."""

    rules: Protego
    failure: str
    until: float


_known: dict[str, _Robots] = {}


def allowed(url: str, *, fetch: Callable[[str], Page]) -> bool:
    """Whether ``url`` may be fetched; raises FetchFailed while robots.txt cannot be had."""
    parts = urlsplit(url)
    robots = _robots_of(f"{parts.scheme}://{parts.netloc}", fetch)
    if robots.failure:
        raise FetchFailed(robots.failure, retry_after=max(0.0, robots.until - time.monotonic()))
    return bool(robots.rules.can_fetch(url, _agent()))


def forget() -> None:
    """Drop every site's rules, so that the next address asks again."""
    _known.clear()


def _agent() -> str:
    """The product token: what stands before the version in our User-Agent."""
    return settings.USER_AGENT.partition("/")[0].partition(" ")[0]


def _robots_of(site: str, fetch: Callable[[str], Page]) -> _Robots:
    known = _known.pop(site, None)
    if known is None or known.until <= time.monotonic():
        known = _ask(site, fetch)
    if len(_known) >= MAX_SITES:
        _known.pop(next(iter(_known)))
    _known[site] = known
    return known


def _ask(site: str, fetch: Callable[[str], Page]) -> _Robots:
    address = f"{site}/robots.txt"
    try:
        text = _text(fetch(address).body)
    except (PageGone, PageRefused, UnsupportedContent):
        text = ""
    except FetchFailed as error:
        # All pages of a site share one failed attempt; without it each would wait out a time-out.
        wait = max(error.retry_after or 0, settings.RETRY_SECONDS)
        failure = f"{site}: its rules for crawlers cannot be read, so it is left alone for now ({error})"
        return _Robots(Protego(), failure, time.monotonic() + wait)
    return _Robots(Protego.parse(text), "", time.monotonic() + KEEP_SECONDS)


def _text(body: bytes) -> str:
    """Whole lines only: half a rule at the cut could forbid or allow too much."""
    if len(body) > MAX_ROBOTS_BYTES:
        body = body[:MAX_ROBOTS_BYTES].rpartition(b"\n")[0]
    return body.decode("utf-8-sig", "replace")
