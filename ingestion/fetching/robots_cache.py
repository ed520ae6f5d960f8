"""Which robots.txt a site has: fetched once for all processes, kept in Redis for an hour.

In: an address and the function that fetches. Out: ``Rules``. A site without a robots.txt (any 4xx) allows
everything; one that cannot be had (5xx, time-out) is remembered as a failure for a while, so that its pages share one
attempt. Each process keeps the rules that it parsed and looks into Redis again every minute. Only
``politeness`` imports this.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from ingestion.coordination import redis_client
from ingestion.coordination.locks import hold
from ingestion.exceptions import FetchFailed, HostBusy, PageGone, PageRefused, UnsupportedContent
from ingestion.fetching import host_throttle, robots_txt
from ingestion.fetching.robots_txt import Rules
from ingestion.types import Page

KEEP_SECONDS = 3600.0  # RFC 9309 allows a day; a site owner who closes a folder waits an hour at most
RECHECK_SECONDS = 60.0
MAX_SITES = 1000  # some KB each
# While another process fetches it, which takes one round trip to the site.
WAIT_SECONDS = 0.5
RULES, FAILURE = b"r", b"f"  # the first byte of what is kept


@dataclass(frozen=True, slots=True)
class _Known:
    """What this process knows of a site until ``until``: its rules, or why there are none."""

    digest: bytes
    rules: Rules
    failure: str
    until: float


_known: dict[tuple[str, str], _Known] = {}


def rules_of(url: str, *, fetch: Callable[[str], Page]) -> Rules:
    """Raises FetchFailed while the robots.txt of ``url``'s site cannot be had, HostBusy while somebody fetches it."""
    parts = urlsplit(url)
    site, agent = f"{parts.scheme}://{parts.netloc}", robots_txt.product_token(settings.USER_AGENT)
    known = _known.pop((site, agent), None)
    if known is None or known.until <= time.monotonic():
        known = _current(site, agent, known) or _ask(site, agent, fetch)
    if len(_known) >= MAX_SITES:
        _known.pop(next(iter(_known)))
    _known[site, agent] = known
    if known.failure:
        raise FetchFailed(known.failure, retry_after=max(0.0, known.until - time.monotonic()))
    return known.rules


def forget() -> None:
    _known.clear()


def _current(site: str, agent: str, known: _Known | None = None) -> _Known | None:
    """What Redis has of a site, parsed anew only where it has changed."""
    with redis_client.available() as client:
        kept, left = client.pipeline().get(_key(site)).pttl(_key(site)).execute()
    if not kept:
        return None
    digest = hashlib.sha256(kept).digest()
    rules = known.rules if known and known.digest == digest else _parsed(kept, agent, site)
    failure = kept[1:].decode() if kept.startswith(FAILURE) else ""
    seconds = left / 1000 if failure else min(left / 1000, RECHECK_SECONDS)
    return _Known(digest, rules, failure, time.monotonic() + seconds)


def _parsed(kept: bytes, agent: str, site: str) -> Rules:
    return robots_txt.parse(kept[1:] if kept.startswith(RULES) else b"", agent, site)


def _ask(site: str, agent: str, fetch: Callable[[str], Page]) -> _Known:
    """Fetch it, keep it for all, and tell the host's pace of its crawl-delay."""
    with hold(f"robots.txt of {site}", seconds=2 * settings.FETCH_TIMEOUT_SECONDS) as lease:
        if lease is None:
            raise HostBusy(f"{site}: another process fetches its robots.txt", retry_after=WAIT_SECONDS)
        known = _current(site, agent)
        if known is None:
            kept, seconds = _fetched(site, fetch)
            with redis_client.available() as client:
                client.set(_key(site), kept, px=round(seconds * 1000))
            known = _current(site, agent) or _Known(b"", _parsed(kept, agent, site), "", 0.0)
        host_throttle.ask_for_delay(host_throttle.host_of(site), known.rules.crawl_delay)
    return known


def _fetched(site: str, fetch: Callable[[str], Page]) -> tuple[bytes, float]:
    """What to keep of a site's robots.txt, and for how many seconds."""
    try:
        return RULES + fetch(f"{site}/robots.txt").body[: robots_txt.MAX_BYTES + 1], KEEP_SECONDS
    except (PageGone, PageRefused, UnsupportedContent):
        return RULES, KEEP_SECONDS
    except FetchFailed as error:
        failure = f"{site}: its rules for crawlers cannot be read, so it is left alone for now ({error})"
        return FAILURE + failure.encode(), min(max(error.retry_after or 0.0, settings.RETRY_SECONDS), KEEP_SECONDS)


def _key(site: str) -> str:
    return f"{host_throttle.PREFIX}:robots:{site}"
