"""The robots.txt of each site, fetched once for all processes and kept in Redis for an hour.

In: an address and the function that fetches. Out: ``Rules``. A site without a robots.txt (any 4xx) allows everything;
an unreachable one (5xx, time-out) is remembered as a failure for a while, so that its pages share one attempt. Each
process keeps the rules that it parsed and looks into Redis again every minute. Only ``politeness`` imports this.
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
from ingestion.exceptions import FetchFailed, HostBusy, PageGone, PageRefused, RedirectRefused, UnsupportedContent
from ingestion.fetching import host_throttle, robots_txt
from ingestion.fetching.robots_txt import Rules
from ingestion.robots_directives import product_token
from ingestion.types import Page

KEEP_SECONDS = 3600.0  # RFC 9309 allows a day; a site owner who closes a folder waits an hour at most
RECHECK_SECONDS = 60.0
MAX_SITES = 1000  # some KB each
# Until it is asked for again while another process fetches it, which takes one round trip to the site.
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
    """Return the rules of ``url``'s site.

    Raise FetchFailed while its robots.txt is unreachable, and HostBusy while another process fetches it.
    """
    parts = urlsplit(url)
    site, agent = f"{parts.scheme}://{parts.netloc}", product_token(settings.USER_AGENT)
    known = _known.pop((site, agent), None)
    if known is None or known.until <= time.monotonic():
        known = _kept(site, agent, known) or _fetch_once(site, agent, fetch)
    if len(_known) >= MAX_SITES:
        _known.pop(next(iter(_known)))
    _known[site, agent] = known
    if known.failure:
        raise FetchFailed(known.failure, retry_after=max(0.0, known.until - time.monotonic()))
    return known.rules


def forget() -> None:
    """Drop the rules of robots.txt that this process keeps."""
    _known.clear()


def _kept(site: str, agent: str, known: _Known | None = None) -> _Known | None:
    """Return what Redis keeps for a site, parsed again only if it differs from ``known``."""
    with redis_client.available() as client:
        kept, left = client.pipeline().get(_key(site)).pttl(_key(site)).execute()
    if not kept:
        return None
    digest = hashlib.sha256(kept).digest()
    rules = known.rules if known and known.digest == digest else _parse(kept, agent, site)
    failure = _failure(kept)
    seconds = left / 1000 if failure else min(left / 1000, RECHECK_SECONDS)
    return _Known(digest, rules, failure, time.monotonic() + seconds)


def _parse(kept: bytes, agent: str, site: str) -> Rules:
    """Return the rules for ``agent`` in what Redis keeps of a site, whose first byte says what it is.

    In place of a failure, return the rules of an empty robots.txt, which allow everything.
    """
    return robots_txt.parse(kept[1:] if kept.startswith(RULES) else b"", agent, site)


def _failure(kept: bytes) -> str:
    """Return why a site's robots.txt cannot be read, from what Redis keeps of the site; "" where it can."""
    return kept[1:].decode() if kept.startswith(FAILURE) else ""


def _fetch_once(site: str, agent: str, fetch: Callable[[str], Page]) -> _Known:
    """Fetch a site's robots.txt, unless another process just did, keep it for all, and set the host's crawl-delay."""
    with hold(f"robots.txt of {site}", seconds=2 * settings.FETCH_TIMEOUT_SECONDS) as lease:
        if lease is None:
            raise HostBusy(f"{site}: another process fetches its robots.txt", retry_after=WAIT_SECONDS)
        known = _kept(site, agent)
        if known is None:
            kept, seconds = _fetch(site, fetch)
            with redis_client.available() as client:
                client.set(_key(site), kept, px=round(seconds * 1000))
            known = _kept(site, agent) or _Known(b"", _parse(kept, agent, site), _failure(kept), 0.0)
        host_throttle.set_crawl_delay(host_throttle.host_of(site), known.rules.crawl_delay)
    return known


def _fetch(site: str, fetch: Callable[[str], Page]) -> tuple[bytes, float]:
    """Fetch the robots.txt of a site. Return its rules or the failure as bytes to keep, and for how many seconds."""
    try:
        return RULES + fetch(f"{site}/robots.txt").body[: robots_txt.MAX_BYTES + 1], KEEP_SECONDS
    except (PageGone, PageRefused, RedirectRefused, UnsupportedContent):
        return RULES, KEEP_SECONDS
    except FetchFailed as error:
        failure = f"{site}: its rules for crawlers cannot be read, so it is left alone for now ({error})"
        return FAILURE + failure.encode(), min(max(error.retry_after or 0.0, settings.RETRY_SECONDS), KEEP_SECONDS)


def _key(site: str) -> str:
    """Return the name of the Redis key under which the robots.txt of a site (``scheme://host``) is kept."""
    return f"{host_throttle.PREFIX}:robots:{site}"
