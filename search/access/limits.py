"""How many searches and answers a caller, and all callers together, may have in a time.

Counted in Redis for all web processes, in sliding windows of ``limits``: two numbers for each caller and limit.
Callers of whom nothing is known but an address have the site's limit together, those with a key or a login have
another one together: a crowd of addresses cannot keep them out. Without Redis nothing is counted and everybody is let
in, because passages can be found without it; what is open or generated at once is bounded in each process all the same
(``ragproject.clients.Slots``, ``fair_queue``).
"""

from __future__ import annotations

import logging
import math
import time
from functools import lru_cache
from typing import Any

from django.conf import settings
from limits import RateLimitItem, parse_many
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from ingestion.coordination import redis_client
from ingestion.exceptions import BufferUnavailable
from search.access.caller import ASK, SEARCH, Caller
from search.exceptions import LimitReached

logger = logging.getLogger(__name__)

OWN = "You sent too many requests in a short time. Try again in {seconds} s."
SITE = "This site gets more requests than it takes at the moment. Try again in {seconds} s."


def count(caller: Caller, scope: str) -> None:
    """Count a request of the caller's. Raises LimitReached, with the seconds until there is room again."""
    usual, site = settings.REQUEST_LIMITS[scope]
    own = {SEARCH: caller.search_limit, ASK: caller.ask_limit}[scope] or usual
    try:
        with redis_client.available() as client:
            hit(client, own, scope, caller.name, OWN)
            hit(client, site, scope, "addresses" if caller.anonymous else "known callers", SITE)
    except BufferUnavailable as error:
        logger.warning("a request of %s was let in without being counted: %s", caller.name, error)


def hit(client: Any, limits: str, scope: str, name: str, sentence: str) -> None:
    """Count one request of ``name`` for ``scope`` under each of the limits, such as "60/minute;1000/day".

    Raises LimitReached at the first limit that is reached, with ``sentence``, in which {seconds} stands for how long to
    wait.
    """
    strategy = limiter(client)
    for limit in parsed(limits):
        if not strategy.hit(limit, scope, name):
            seconds = math.ceil(strategy.get_window_stats(limit, scope, name).reset_time - time.time())
            seconds = min(max(1, seconds), limit.get_expiry())
            raise LimitReached(sentence.format(seconds=seconds), seconds)


@lru_cache(1)
def limiter(client: Any) -> SlidingWindowCounterRateLimiter:
    """Return the sliding-window rate limiter, which counts in Redis over the connections of ``client``."""
    return SlidingWindowCounterRateLimiter(RedisStorage(settings.REDIS_URL, client.connection_pool, "limits"))


@lru_cache(256)
def parsed(limits: str) -> list[RateLimitItem]:
    """Return the limits that a setting such as "60/minute;1000/day" names; none when it is empty."""
    return parse_many(limits) if limits else []
