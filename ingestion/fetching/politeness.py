"""How all processes together treat a host: one pace, one back-off, one copy of its robots.txt.

``slot(url, policy)`` is entered around every request. It keeps the requests to a host ``delay_seconds`` apart and no
more than ``connections`` in flight, and leaves the host alone after it answered 429 or 503, or broke off several times.
When the host has no free slot, HostBusy says in how many seconds there is one; a caller that comes back then with the
same token finds the slot reserved. No worker waits here for more than a few hundredths of a second.

A slot inside a slot is for the target of a redirect. It is not sent to the end of the queue, because a fetch that
started over each time would never get beyond the redirect.

``allowed`` and ``sitemaps`` answer from the site's robots.txt by RFC 9309: without one (any 4xx) everything is allowed;
while it is unreachable (5xx, time-out) nothing is, and FetchFailed says that the page is to be tried later.

It sends no request by itself. Without Redis there are no slots: BufferUnavailable.
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
from ingestion.fetching.robots_txt import Rules
from ingestion.types import CrawlPolicy, Page

logger = logging.getLogger(__name__)

# Less than what giving a document back and taking it up again costs (a row, a message, a task).
MAX_WAIT_SECONDS = 0.05
# The target of a redirect waits for up to eight default delays; for a longer one it goes at once, and the next
# slot comes that much later.
MAX_REDIRECT_WAIT_SECONDS = 2.0


@dataclass(slots=True)
class _Slot:
    """The slot of one request of this process; ``reported`` once its outcome is known."""

    host: str
    lease: str
    started: float  # Redis' clock in ms
    reported: bool = False


_current: ContextVar[_Slot | None] = ContextVar("slot", default=None)


@contextmanager
def slot(url: str, policy: CrawlPolicy = CrawlPolicy(), *, token: str = "") -> Iterator[None]:
    """Hold the right to send one request to the host of ``url``, and report the outcome when the block ends.

    ``token`` names the work that a slot is reserved for; by default the URL. Raise HostBusy while no slot is free, and
    BufferUnavailable without Redis.
    """
    host, outer = host_throttle.host_of(url), _current.get()
    if outer is not None:
        _report(outer, Outcome.OK, keep_lease=outer.host == host)
    mine = _acquire(host, policy, token or url, outer)
    reset = _current.set(mine)
    try:
        yield
    except BaseException as error:
        if isinstance(error, Throttled):
            outcome = Outcome.THROTTLED
        elif isinstance(error, FetchFailed):
            outcome = Outcome.FAULT
        else:
            outcome = Outcome.OK if isinstance(error, PermanentError) else Outcome.UNKNOWN
        _report(mine, outcome, error)
        raise
    else:
        _report(mine, Outcome.OK)
    finally:
        _current.reset(reset)


def allowed(url: str, *, fetch: Callable[[str], Page]) -> bool:
    """Return whether robots.txt lets us fetch ``url``. Raise FetchFailed while robots.txt is unreachable."""
    return _rules_of(url, fetch).allow(url)


def sitemaps(url: str, *, fetch: Callable[[str], Page]) -> tuple[str, ...]:
    """Return the sitemaps that the robots.txt of ``url``'s site names. Raise FetchFailed while it is unreachable."""
    return _rules_of(url, fetch).sitemaps


def forget() -> None:
    """Drop the rules of robots.txt that this process keeps, so that the next address asks Redis again."""
    robots_cache.forget()


def _rules_of(url: str, fetch: Callable[[str], Page]) -> Rules:
    """Return the rules of robots.txt for the site of ``url``; ``fetch`` is called when they are not kept.

    Raise FetchFailed while robots.txt is unreachable, and HostBusy while the host has no slot or another process
    fetches the file.
    """

    def fetch_in_slot(robots_url: str) -> Page:
        """Return the robots.txt at this address, fetched inside a slot of its host. Raise HostBusy without one."""
        with slot(robots_url):
            return fetch(robots_url)

    return robots_cache.rules_of(url, fetch=fetch_in_slot)


def _acquire(host: str, policy: CrawlPolicy, token: str, outer: _Slot | None) -> _Slot:
    """Return a slot of ``host``, after a short sleep if it is free that soon. Raise HostBusy if it is not."""
    lease = outer.lease if outer and outer.host == host else uuid.uuid4().hex
    max_wait = MAX_WAIT_SECONDS if outer is None else MAX_REDIRECT_WAIT_SECONDS
    until = time.monotonic() + max_wait
    while True:
        answer = host_throttle.acquire(
            host,
            lease=lease,
            token=token,
            delay=settings.CRAWL_DELAY_SECONDS if policy.delay_seconds is None else policy.delay_seconds,
            connections=settings.CRAWL_CONNECTIONS if policy.connections is None else policy.connections,
            max_wait=max_wait,
            is_redirect=outer is not None,
        )
        if not answer.granted and time.monotonic() + answer.wait > until:
            raise HostBusy(f"{host} is to be asked again in {answer.wait:.1f} s", retry_after=answer.wait)
        time.sleep(answer.wait)
        if answer.granted:
            return _Slot(host, lease, answer.at + 1000 * answer.wait)


def _report(held: _Slot, outcome: Outcome, error: BaseException | None = None, *, keep_lease: bool = False) -> None:
    """Report an outcome once and give the lease back; a lease that cannot be given back ends by itself."""
    outcome = Outcome.UNKNOWN if held.reported else outcome
    held.reported = True
    retry_after = getattr(error, "retry_after", None) or 0.0 if outcome is Outcome.THROTTLED else 0.0
    lease = "" if keep_lease else held.lease
    try:
        pause = host_throttle.release(
            held.host, lease=lease, started=held.started, outcome=outcome, retry_after=retry_after
        )
    except BufferUnavailable as failure:
        logger.warning("the slot at %s is left to end by itself: %s", held.host, failure)
        return
    if pause:
        logger.warning("host %s is left alone for %.0f s: %s", held.host, pause, error)
