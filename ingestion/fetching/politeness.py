"""How hosts are treated by all processes together: one pace, one back-off, one reading of robots.txt.

``turn(url, manners)`` is entered around every request. It keeps a host's requests ``delay_seconds`` apart and no more
than ``connections`` in flight, and leaves the host alone after it said 429 or 503, or broke off several times. When
it is not the caller's turn, HostBusy says after how many seconds it is; coming back then with the same token, the
caller finds the turn reserved. No worker waits here, but for a few hundredths of a second.

A turn inside a turn belongs to the same errand (the target of a redirect): it does not queue again, because
starting over would never get beyond the redirect.

``allowed`` and ``sitemaps`` answer from the site's robots.txt by RFC 9309: without one (any 4xx) everything is
allowed; while it cannot be had (5xx, time-out) nothing is, and FetchFailed says that the page is to be tried later.

It does not fetch by itself. Without Redis there is no turn: BufferUnavailable.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.conf import settings

from ingestion.exceptions import BufferUnavailable, FetchFailed, HostBusy, PermanentError, Throttled
from ingestion.fetching import host_throttle, robots_cache
from ingestion.fetching.host_throttle import Outcome
from ingestion.types import CrawlPolicy, Page

logger = logging.getLogger(__name__)

# Less than what giving a document back and taking it up again costs (a row, a message, a task).
NAP_SECONDS = 0.05
# The target of a redirect waits for up to eight default delays; for a longer one it goes at once, and the next
# turn comes the later.
FOLLOWING_NAP_SECONDS = 2.0


@dataclass(slots=True)
class _Turn:
    """One request of this process; ``told`` once its outcome is known."""

    host: str
    lease: str
    started: float
    told: bool = False


_current: ContextVar[_Turn | None] = ContextVar("turn", default=None)


@contextmanager
def turn(url: str, manners: CrawlPolicy = CrawlPolicy(), *, token: str = "") -> Iterator[None]:
    """Enter it around one request; ``token`` names the work for which a turn is reserved (the address)."""
    host, outer = host_throttle.host_of(url), _current.get()
    if outer is not None:
        _tell(outer, Outcome.OK, keep_lease=outer.host == host)
    mine = _take(host, manners, token or url, outer)
    reset = _current.set(mine)
    try:
        yield
    except BaseException as error:
        _tell(mine, _outcome_of(error), error)
        raise
    else:
        _tell(mine, Outcome.OK)
    finally:
        _current.reset(reset)


def allowed(url: str, *, fetch: Callable[[str], Page]) -> bool:
    """Whether robots.txt lets us fetch ``url``; raises FetchFailed while it cannot be had."""
    return robots_cache.rules_of(url, fetch=_in_turn(fetch)).allow(url)


def sitemaps(url: str, *, fetch: Callable[[str], Page]) -> tuple[str, ...]:
    """The sitemaps that the robots.txt of ``url``'s site names."""
    return robots_cache.rules_of(url, fetch=_in_turn(fetch)).sitemaps


def forget() -> None:
    """Drop what this process remembers, so that the next address asks Redis again."""
    robots_cache.forget()


def _in_turn(fetch: Callable[[str], Page]) -> Callable[[str], Page]:
    def fetch_in_turn(url: str) -> Page:
        with turn(url):
            return fetch(url)

    return fetch_in_turn


def _take(host: str, manners: CrawlPolicy, token: str, outer: _Turn | None) -> _Turn:
    """A turn, after a nap if it is that near."""
    lease = outer.lease if outer and outer.host == host else uuid.uuid4().hex
    patience = NAP_SECONDS if outer is None else FOLLOWING_NAP_SECONDS
    until = time.monotonic() + patience
    while True:
        reply = host_throttle.take(
            host,
            lease=lease,
            token=token,
            delay=settings.CRAWL_DELAY_SECONDS if manners.delay_seconds is None else manners.delay_seconds,
            connections=settings.CRAWL_CONNECTIONS if manners.connections is None else manners.connections,
            nap=patience,
            following=outer is not None,
        )
        if not reply.granted and time.monotonic() + reply.wait > until:
            raise HostBusy(f"{host} is to be asked again in {reply.wait:.1f} s", retry_after=reply.wait)
        time.sleep(reply.wait)
        if reply.granted:
            return _Turn(host, lease, reply.at + 1000 * reply.wait)


def _outcome_of(error: BaseException) -> Outcome:
    if isinstance(error, Throttled):
        return Outcome.THROTTLED
    if isinstance(error, FetchFailed):
        return Outcome.FAULT
    return Outcome.OK if isinstance(error, PermanentError) else Outcome.NOTHING


def _tell(turn: _Turn, outcome: Outcome, error: BaseException | None = None, *, keep_lease: bool = False) -> None:
    """Report an outcome once; afterwards only the lease is given back. A lease that cannot be ends by itself."""
    outcome = Outcome.NOTHING if turn.told else outcome
    turn.told = True
    wish = getattr(error, "retry_after", None) or 0.0 if outcome is Outcome.THROTTLED else 0.0
    try:
        pause = host_throttle.give(
            turn.host, lease="" if keep_lease else turn.lease, started=turn.started, outcome=outcome, wish=wish
        )
    except BufferUnavailable as trouble:
        logger.warning("the turn at %s is left to end by itself: %s", turn.host, trouble)
        return
    if pause:
        logger.warning("host %s is left alone for %.0f s: %s", turn.host, pause, error)
