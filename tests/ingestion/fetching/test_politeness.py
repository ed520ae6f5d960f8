"""One process against Redis. Time does not pass here: ``later`` moves everything that is stored into the past."""

from __future__ import annotations

import contextvars
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from pytest_django import Settings

from ingestion.coordination import redis_client
from ingestion.exceptions import (
    AddressRefused,
    BufferUnavailable,
    FetchFailed,
    HostBusy,
    IngestionError,
    MachineExhausted,
    PageGone,
    Throttled,
)
from ingestion.fetching import host_throttle, politeness
from ingestion.types import CrawlPolicy
from tests.support.ports import free_port

T = TypeVar("T")
STATE, RESERVATIONS = (f"{host_throttle.PREFIX}:{{docs.example:80}}:{part}" for part in ("host", "reservations"))
URL = "http://docs.example/a"
SLOW = CrawlPolicy(delay_seconds=5.0, connections=0)
NARROW = CrawlPolicy(delay_seconds=0.0, connections=2)
CROWD = CrawlPolicy(delay_seconds=0.0, connections=0)
ALONE = CrawlPolicy(delay_seconds=0.0, connections=1)


@pytest.fixture(autouse=True)
def defaults(settings: Settings, clean_redis: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.CRAWL_DELAY_SECONDS, settings.CRAWL_CONNECTIONS = 5.0, 2
    settings.FETCH_TIMEOUT_SECONDS = 20.0
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    yield
    while under_way:
        under_way[-1].end()
    redis_client.forget()
    host_throttle._script.cache_clear()


class Elsewhere:
    """A request of another process, which knows nothing of the slots of this one."""

    def __init__(self, url: str = URL, policy: CrawlPolicy = SLOW) -> None:
        self._context = contextvars.Context()
        self._slot = politeness.slot(url, policy)
        self._context.run(self._slot.__enter__)
        under_way.append(self)

    def end(self, error: Exception | None = None) -> None:
        under_way.remove(self)
        with suppress(*([type(error)] if error else [])):
            self._context.run(self._slot.__exit__, type(error) if error else None, error, None)


under_way: list[Elsewhere] = []


def elsewhere(work: Callable[[], T]) -> T:
    return contextvars.Context().run(work)


def go(url: str = URL, policy: CrawlPolicy = SLOW, token: str = "", error: Exception | None = None) -> None:
    with suppress(*([type(error)] if error else [])), politeness.slot(url, policy, token=token):
        if error:
            raise error


def wait(url: str = URL, policy: CrawlPolicy = SLOW, token: str = "") -> float:
    """For how long the caller is sent away."""
    with pytest.raises(HostBusy) as busy, politeness.slot(url, policy, token=token):
        pass
    assert busy.value.retry_after is not None
    return busy.value.retry_after


def later(client: Any, seconds: float) -> None:
    past = -round(seconds * 1000)
    for key in client.keys(f"{host_throttle.PREFIX}:*"):
        if key.endswith(b":host"):
            for field in {b"last", b"pause", b"event"} & set(client.hkeys(key)):
                client.hincrbyfloat(key, field, past)
        elif key.endswith((b":leases", b":reservations")):
            for member in client.zrange(key, 0, -1):
                client.zincrby(key, past, member)


def about(seconds: float) -> object:
    return pytest.approx(seconds, abs=0.6)


# --- Pace ---------------------------------------------------------------------------------------------


def test_it_sends_a_second_request_away_until_its_time() -> None:
    go()
    assert wait() == about(5)


def test_it_lets_it_go_when_the_time_has_come(clean_redis: Any) -> None:
    go()
    seconds = wait()
    later(clean_redis, seconds)
    go()


def test_what_is_left_of_a_wait_is_slept_when_it_is_short(clean_redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With seconds for the hundredths that are short in truth: a busy machine takes those between two lines."""
    monkeypatch.setattr(politeness, "MAX_WAIT_SECONDS", 4.5)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    go()
    later(clean_redis, 1.0)
    go()
    assert 0 < slept[-1] <= 4.0


def test_everyone_who_waits_has_a_time_of_its_own() -> None:
    go()
    assert [wait(token=name) for name in "abc"] == [about(5), about(10), about(15)]


def test_coming_back_early_or_again_does_not_lose_the_place(clean_redis: Any) -> None:
    go()
    wait(token="a"), wait(token="b")
    later(clean_redis, 2)
    assert [wait(token="b"), wait(token="a")] == [about(8), about(3)]
    later(clean_redis, 3)
    go(token="a")
    assert wait(token="b") == about(5)


def test_a_reservation_is_kept_from_others(clean_redis: Any) -> None:
    go()
    wait(token="a")
    later(clean_redis, 4.9)
    assert wait(token="late") == about(5.1)


def test_a_reservation_that_nobody_comes_for_lapses(clean_redis: Any) -> None:
    go()
    for name in "abc":
        wait(token=name)
    later(clean_redis, 15 + host_throttle.GRACE_SECONDS + 1)
    go(token="new")
    assert clean_redis.zcard(RESERVATIONS) == 0


def test_whoever_comes_after_a_late_one_keeps_the_distance(clean_redis: Any) -> None:
    go()
    for name in "abc":
        wait(token=name)  # at 5, 10 and 15
    later(clean_redis, 8)
    go(token="a")
    assert wait(token="b") == about(5)
    assert wait(token="c") == about(7)


def test_nothing_is_reserved_more_than_half_a_minute_ahead(clean_redis: Any) -> None:
    go()
    assert [wait(token=str(n)) for n in range(10)][-1] == about(35)
    assert clean_redis.zcard(RESERVATIONS) == 6


def test_a_gap_between_reservations_is_used(clean_redis: Any) -> None:
    go()
    wait(token="a"), wait(token="b"), wait(token="c")  # at 5, 10 and 15
    later(clean_redis, 5)
    go(token="a")
    clean_redis.zrem(RESERVATIONS, "b")
    assert wait(token="new") == about(5)


def test_hosts_and_ports_have_their_own_pace_and_schemes_do_not() -> None:
    go("http://docs.example/a")
    go("https://docs.example/a")
    go("http://other.example/a")
    assert wait("http://docs.example:80/b") == about(5)
    assert wait("https://docs.example:443/b") == about(5)


def test_the_settings_say_what_a_source_leaves_open(settings: Settings) -> None:
    go(policy=CrawlPolicy())
    assert wait(policy=CrawlPolicy()) == about(5)
    settings.CRAWL_CONNECTIONS = 1
    _busy = Elsewhere("http://b.example/", CrawlPolicy())
    assert wait("http://b.example/", CrawlPolicy(delay_seconds=0.0)) < 1
    go("http://b.example/", CrawlPolicy(delay_seconds=0.0, connections=0))


def test_a_crawl_delay_makes_it_slower_but_never_faster() -> None:
    host_throttle.set_crawl_delay("docs.example:80", 12.0)
    host_throttle.set_crawl_delay("quick.example:80", 1.0)
    go()
    go("http://quick.example/")
    assert wait() == about(12)
    assert wait("http://quick.example/") == about(5)


# --- Requests in flight -------------------------------------------------------------------------------


def test_it_bounds_the_requests_in_flight() -> None:
    first, _second = Elsewhere(policy=NARROW), Elsewhere(policy=NARROW)
    wait(policy=NARROW, token="x")
    first.end()
    go(policy=NARROW, token="x")


def test_no_bound_is_no_bound() -> None:
    assert [Elsewhere(policy=CROWD) for _ in range(50)]


def test_a_failure_gives_the_slot_back() -> None:
    for error in (FetchFailed("reset"), PageGone("404"), AddressRefused("no"), ValueError("a bug")):
        go(policy=ALONE, error=error)
    go(policy=ALONE)


def test_the_slot_of_a_killed_worker_ends_by_itself(clean_redis: Any) -> None:
    _killed = Elsewhere(policy=NARROW), Elsewhere(policy=NARROW)
    later(clean_redis, 20)
    wait(policy=NARROW, token="x")  # it may still be at it, the deadline of a fetch is 20 s
    later(clean_redis, 11)
    go(policy=NARROW, token="x")


def test_nobody_comes_back_sooner_than_a_slow_host_can_answer(clean_redis: Any) -> None:
    clean_redis.hset(STATE, "duration", 3000)
    _busy = Elsewhere(policy=NARROW), Elsewhere(policy=NARROW)
    assert [wait(policy=NARROW, token=name) for name in "ab"] == [about(1.5), about(3)]


# --- Back-off -----------------------------------------------------------------------------------------


def test_a_host_that_wants_fewer_requests_is_left_alone_by_all() -> None:
    go(error=Throttled("429", retry_after=120.0))
    assert wait(token="another") == about(120)


@pytest.mark.parametrize(("wish", "seconds"), [(None, 2), (0.0, 2), (1.0, 2), (7.0, 7), (1e9, 3600)])
def test_the_servers_wish_counts_where_it_is_longer_than_ours_up_to_an_hour(wish: float | None, seconds: float) -> None:
    go(error=Throttled("429", retry_after=wish))
    assert wait() == about(seconds)


def throttle(client: Any, times: int) -> list[float]:
    """Each time as soon as it may."""
    waits = []
    for _ in range(times):
        go(policy=NARROW, error=Throttled("429"))
        waits.append(wait(policy=NARROW))
        later(client, waits[-1] + 1)
    return waits


def test_it_doubles_its_patience_up_to_a_quarter_of_an_hour(clean_redis: Any) -> None:
    waits = throttle(clean_redis, 12)
    assert waits[:4] == [about(2), about(4), about(8), about(16)]
    assert waits[-1] == about(900)


def test_a_success_makes_it_begin_anew(clean_redis: Any) -> None:
    throttle(clean_redis, 4)
    go(policy=NARROW)
    assert throttle(clean_redis, 1) == [about(2)]


def test_its_pauses_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    go(error=Throttled("429"))
    assert wait() == about(3)


def test_requests_in_flight_that_are_refused_together_count_once() -> None:
    for request in [Elsewhere(policy=CROWD) for _ in range(8)]:
        request.end(Throttled("429"))
    assert wait() == about(2)


def test_an_answer_to_an_older_request_does_not_end_the_pause_or_the_streak(clean_redis: Any) -> None:
    old = Elsewhere(policy=NARROW)
    go(policy=NARROW, error=Throttled("429"))
    old.end()
    assert wait(policy=NARROW) == about(2)
    later(clean_redis, 3)
    assert throttle(clean_redis, 1) == [about(4)]


def test_a_pause_drops_what_was_reserved(clean_redis: Any) -> None:
    request = Elsewhere()
    wait(token="a")
    request.end(Throttled("503", retry_after=60.0))
    assert wait(token="a") == about(60)
    assert clean_redis.zcard(RESERVATIONS) == 0


def test_a_host_that_breaks_off_three_times_is_given_a_rest(clean_redis: Any) -> None:
    for _ in range(2):
        go(policy=CROWD, error=FetchFailed("reset"))
        later(clean_redis, 0.1)
    go(policy=CROWD)
    for _ in range(3):
        later(clean_redis, 0.1)
        go(policy=CROWD, error=FetchFailed("reset"))
    assert wait(policy=CROWD) == about(1)


@pytest.mark.parametrize(
    "error", [PageGone("404"), AddressRefused("no"), MachineExhausted("full"), ValueError("a bug of ours")]
)
def test_what_is_not_the_hosts_fault_is_not_held_against_it(error: Exception) -> None:
    for _ in range(10):
        go(policy=CROWD, error=error)
    go(policy=CROWD)


# --- Redirects ----------------------------------------------------------------------------------------


def test_the_target_of_a_redirect_waits_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    two = CrawlPolicy(delay_seconds=1.5, connections=1)
    with politeness.slot(URL, two), politeness.slot("http://docs.example/b", two):
        assert slept[-1] == about(1.5)
        elsewhere(lambda: wait(policy=two))


def test_a_redirect_passes_those_who_wait() -> None:
    two = CrawlPolicy(delay_seconds=0.05, connections=1)
    with politeness.slot(URL, two):
        [elsewhere(lambda name=name: wait(policy=SLOW, token=name)) for name in "abcd"]  # type: ignore[misc]
        with politeness.slot("http://docs.example/b", two):
            pass


def test_one_that_would_wait_long_goes_at_once_and_the_next_slot_comes_the_later() -> None:
    with politeness.slot(URL, SLOW), politeness.slot("http://docs.example/b", SLOW):
        pass
    assert wait() == about(10)


def test_a_redirect_to_another_host_takes_a_slot_there_and_frees_the_one_here() -> None:
    with politeness.slot(URL, ALONE), politeness.slot("http://b.example/", ALONE):
        elsewhere(lambda: go(policy=ALONE))
        elsewhere(lambda: wait("http://b.example/", ALONE))
    go("http://b.example/", ALONE)


def test_only_the_host_that_refuses_is_left_alone() -> None:
    with suppress(Throttled), politeness.slot(URL, NARROW), politeness.slot("http://b.example/", NARROW):
        raise Throttled("429", retry_after=100.0)
    go(policy=NARROW)
    assert wait("http://b.example/", NARROW) == about(100)


def test_a_redirect_into_a_host_that_is_left_alone_keeps_no_slot() -> None:
    go("http://b.example/", error=Throttled("429", retry_after=60.0))
    with pytest.raises(HostBusy), politeness.slot(URL, ALONE), politeness.slot("http://b.example/", ALONE):
        pass
    go(policy=ALONE)


# --- Redis --------------------------------------------------------------------------------------------


def test_without_redis_nothing_is_fetched(settings: Settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    redis_client.forget()
    host_throttle._script.cache_clear()
    with pytest.raises(BufferUnavailable, match="Redis does not answer"), politeness.slot(URL, SLOW):
        pass


@pytest.mark.parametrize("error", [None, Throttled("429")])
def test_a_page_that_is_there_is_not_lost_with_redis(
    settings: Settings, error: IngestionError | None, caplog: pytest.LogCaptureFixture
) -> None:
    with suppress(Throttled), politeness.slot(URL, SLOW):
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
        redis_client.forget()
        if error:
            raise error
    assert "left to end by itself" in caplog.text


def test_what_it_keeps_in_redis_does_not_stay_for_ever(clean_redis: Any) -> None:
    go()
    wait(token="a")
    _held = Elsewhere("http://b.example/", NARROW)
    go("http://c.example/", error=Throttled("429"))
    host_throttle.set_crawl_delay("d.example:80", 3.0)
    kept = clean_redis.keys("*")
    assert len(kept) == 6
    assert all(0 < clean_redis.pttl(key) <= 86_400_000 for key in kept)


def test_it_does_not_mind_that_redis_forgot_everything(clean_redis: Any) -> None:
    with politeness.slot(URL, SLOW):
        clean_redis.flushall()
        clean_redis.script_flush()
    go()
