from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from pytest_django import Settings

from ingestion import connections, fetcher, politeness
from ingestion.exceptions import AddressRefused, FetchFailed
from ingestion.types import Page
from tests.local_site import LocalSite

RULES = b"""User-agent: *
Disallow: /private/
Allow: /private/open

User-agent: docs-of-ours
Disallow: /not-for-us
"""

fetch = partial(fetcher.fetch, content_types=())


@pytest.fixture(autouse=True)
def clean(settings: Settings) -> Iterator[None]:
    settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.1/32"]
    settings.USER_AGENT = "ragproject/0.1 (+https://example.com)"
    politeness.forget()
    yield
    politeness.forget()
    connections.session().close()


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(politeness.time, "monotonic", lambda: now[0])
    return now


def given(body: bytes) -> Page:
    return Page(url="http://example.com/robots.txt", body=body, content_type="text/plain")


def test_it_obeys_the_rules_for_everybody(site: LocalSite) -> None:
    site.page("/robots.txt", RULES, Content_Type="text/plain")
    assert politeness.allowed(site.url("/open"), fetch=fetch)
    assert politeness.allowed(site.url("/private/open"), fetch=fetch)
    assert not politeness.allowed(site.url("/private/a"), fetch=fetch)


def test_it_obeys_the_rules_for_its_own_name(settings: Settings) -> None:
    settings.USER_AGENT = "docs-of-ours/2.0 (+mailto:docs@example.com)"
    assert not politeness.allowed("http://example.com/not-for-us", fetch=lambda url: given(RULES))
    assert politeness.allowed("http://example.com/private/a", fetch=lambda url: given(RULES))


def test_it_asks_a_site_once_an_hour(clock: list[float], site: LocalSite) -> None:
    site.page("/robots.txt", RULES)
    for path in ("/a", "/b", "/private/c"):
        politeness.allowed(site.url(path), fetch=fetch)
    assert site.paths == ["/robots.txt"]
    clock[0] += 3601
    site.page("/robots.txt", b"User-agent: *\nDisallow: /")
    assert not politeness.allowed(site.url("/a"), fetch=fetch)


def test_it_asks_every_host_port_and_scheme_by_itself() -> None:
    asked: list[str] = []

    def remember(url: str) -> Page:
        asked.append(url)
        return given(b"")

    for url in ("http://a.example/x", "https://a.example/x", "http://a.example:81/x", "http://b.example/x"):
        politeness.allowed(url, fetch=remember)
    assert asked == [
        "http://a.example/robots.txt",
        "https://a.example/robots.txt",
        "http://a.example:81/robots.txt",
        "http://b.example/robots.txt",
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_without_a_robots_txt_everything_is_allowed(site: LocalSite, status: int) -> None:
    site.page("/robots.txt", b"User-agent: *\nDisallow: /", status=status)
    assert politeness.allowed(site.url("/a"), fetch=fetch)


@pytest.mark.parametrize("body", [b"<html><title>Not found</title>", b"\x89PNG\r\n", b"", b"\xff\xfe\xfd"])
def test_nonsense_forbids_nothing(site: LocalSite, body: bytes) -> None:
    site.page("/robots.txt", body)
    assert politeness.allowed(site.url("/a"), fetch=fetch)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_site_that_cannot_say_is_left_alone_for_now(site: LocalSite, status: int) -> None:
    site.page("/robots.txt", status=status, Retry_After="300")
    with pytest.raises(FetchFailed, match="left alone for now") as failure:
        politeness.allowed(site.url("/a"), fetch=fetch)
    assert failure.value.retry_after == pytest.approx(300, abs=30)


def test_an_unreachable_site_is_left_alone_for_now(site: LocalSite) -> None:
    def unreachable(url: str) -> Page:
        raise FetchFailed("no connection")

    with pytest.raises(FetchFailed, match="no connection"):
        politeness.allowed("http://example.com/a", fetch=unreachable)


def test_a_failure_is_shared_for_a_minute_and_then_asked_again(clock: list[float], site: LocalSite) -> None:
    site.page("/robots.txt", status=503)
    for _ in range(3):
        with pytest.raises(FetchFailed):
            politeness.allowed(site.url("/a"), fetch=fetch)
    assert site.paths == ["/robots.txt"]
    site.page("/robots.txt", RULES)
    clock[0] += 61
    assert politeness.allowed(site.url("/a"), fetch=fetch)


def test_a_refused_address_stays_refused(settings: Settings, site: LocalSite) -> None:
    settings.FETCH_PRIVATE_NETWORKS = []
    with pytest.raises(AddressRefused):
        politeness.allowed(site.url("/a"), fetch=fetch)


def test_it_reads_half_a_megabyte_of_rules_in_whole_lines() -> None:
    start = b"\xef\xbb\xbfUser-agent: *\nDisallow: /early\n"
    filler = b"# " + b"x" * (politeness.MAX_ROBOTS_BYTES - len(start) - 2 - len(b"\nDisallow: /pub")) + b"\n"
    rules = start + filler + b"Disallow: /public-only-this\nDisallow: /late\n"
    assert rules[: politeness.MAX_ROBOTS_BYTES].endswith(b"Disallow: /pub")
    for path, verdict in (("/early", False), ("/public", True), ("/late", True)):
        assert politeness.allowed(f"http://a.example{path}", fetch=lambda url: given(rules)) is verdict


def test_it_remembers_a_bounded_number_of_sites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(politeness, "MAX_SITES", 3)
    for number in range(10):
        politeness.allowed(f"http://{number}.example/", fetch=lambda url: given(b""))
    assert len(politeness._known) == 3
