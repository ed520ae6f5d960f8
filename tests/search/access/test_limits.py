"""How many requests a caller may send, and that Redis' absence lets everybody in."""

from __future__ import annotations

import logging

import pytest
import redis
from pytest_django import Settings

from search.access import limits
from search.access.admission import admit
from search.access.caller import ADMIN, ASK, OPERATOR, SEARCH, Caller
from search.access.identify import of_key
from search.exceptions import AccessRefused, LimitReached, headers_of, status_of
from search.models import ApiKey


def caller(name: str, scopes: frozenset[str] = frozenset({SEARCH, ASK})) -> Caller:
    return Caller(name, "192.0.2.1", scopes, None)


def admitted(who: Caller, scope: str, times: int) -> int:
    """How many of ``times`` requests are let in."""
    count = 0
    for _ in range(times):
        try:
            admit(who, scope)
        except LimitReached:
            continue
        count += 1
    return count


@pytest.fixture
def few(clean_redis: redis.Redis, settings: Settings) -> None:
    settings.REQUEST_LIMITS = {"search": ("5/hour", "12/hour"), "ask": ("2/hour;3/day", "100/hour")}


def test_each_caller_has_its_own_limit_for_each_scope(few: None) -> None:
    assert admitted(caller("one"), SEARCH, 8) == 5
    assert admitted(caller("one"), ASK, 8) == 2
    assert admitted(caller("two"), SEARCH, 8) == 5


@pytest.mark.django_db
def test_a_key_with_a_limit_of_its_own_is_counted_by_it(few: None) -> None:
    row = ApiKey(pk=7, search_limit="8/hour;9/day", can_ask=True)
    team = of_key(row, "192.0.2.1")
    assert admitted(team, SEARCH, 20) == 8
    assert admitted(team, ASK, 20) == 2
    assert admitted(caller("key 8"), SEARCH, 20) == 4, "the site's limit is the same for all"


def test_a_crowd_of_addresses_keeps_no_known_caller_out(few: None) -> None:
    crowd = [Caller(address, address, frozenset({SEARCH}), None) for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3")]
    assert sum(admitted(each, SEARCH, 6) for each in crowd) == 12
    assert admitted(caller("one"), SEARCH, 6) == 5


def test_the_site_has_a_limit(few: None) -> None:
    assert sum(admitted(caller(str(n)), SEARCH, 3) for n in range(6)) == 12
    with pytest.raises(LimitReached, match="This site gets more requests"):
        admit(caller("another"), SEARCH)


def test_who_is_refused_is_told_when_to_come_back(few: None) -> None:
    admitted(caller("one"), ASK, 2)
    with pytest.raises(LimitReached) as refused:
        admit(caller("one"), ASK)
    seconds = refused.value.retry_after
    assert 0 < seconds <= 3600
    assert (status_of(refused.value), headers_of(refused.value)) == (429, {"Retry-After": str(seconds)})
    assert f"Try again in {seconds} s." in str(refused.value)


def test_an_empty_limit_is_none(few: None, settings: Settings) -> None:
    settings.REQUEST_LIMITS = {"search": ("", "")}
    assert admitted(caller("one"), SEARCH, 50) == 50


def test_a_redis_that_lost_its_memory_counts_on(few: None, clean_redis: redis.Redis) -> None:
    assert admitted(caller("one"), ASK, 5) == 2
    clean_redis.flushall()
    clean_redis.script_flush()
    assert admitted(caller("one"), ASK, 5) == 2


def test_without_redis_everybody_is_let_in_and_the_log_says_so(
    settings: Settings, clean_redis: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    from ingestion.coordination import redis_client

    settings.REDIS_URL, settings.REQUEST_LIMITS = "redis://127.0.0.1:9/0", {"search": ("1/hour", "1/hour")}
    redis_client.forget()
    with caplog.at_level(logging.WARNING):
        assert admitted(caller("one"), SEARCH, 3) == 3
    redis_client.forget()
    assert "let in without being counted" in caplog.text


def test_a_scope_that_the_caller_lacks_is_403_and_not_counted(few: None, clean_redis: redis.Redis) -> None:
    for who, scope in ((caller("one"), ADMIN), (caller("reader", frozenset({SEARCH})), ASK)):
        with pytest.raises(AccessRefused) as refused:
            admit(who, scope)
        assert refused.value.status == 403
    with pytest.raises(AccessRefused) as nobody:
        admit(caller("192.0.2.1"), ADMIN)
    assert nobody.value.status == 401
    assert not clean_redis.keys("limits*")


def test_staff_work_is_not_counted(few: None) -> None:
    assert admitted(OPERATOR, ADMIN, 50) == 50


def test_what_redis_keeps_of_a_caller_expires(few: None, clean_redis: redis.Redis) -> None:
    admitted(caller("one"), SEARCH, 1)
    keys = clean_redis.keys("limits*")
    assert keys
    assert all(clean_redis.ttl(key) > 0 for key in keys)
    assert limits.parsed("") == []
