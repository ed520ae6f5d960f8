from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import partial
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies
from protego import Protego
from pytest_django import Settings

from ingestion.coordination import redis_client
from ingestion.exceptions import AddressRefused, BufferUnavailable, FetchFailed, HostBusy, RedirectRefused
from ingestion.fetching import (
    fetcher,
    host_throttle,
    http_session,
    politeness,
    robots_cache,
    robots_paths,
    robots_txt,
)
from ingestion.robots_directives import product_token
from ingestion.types import CrawlPolicy, Page
from tests.support.local_site import LocalSite
from tests.support.ports import free_port

VERDICTS = json.loads((Path(__file__).resolve().parents[2] / "data" / "robots_verdicts.json").read_text())["verdicts"]
# Google's matcher compares bytes and leaves it to its caller to escape the address; RFC 9309 (2.2.2) asks for both
# sides to be brought into one spelling first. These are the cases in which the address is not.
GOOGLE_COMPARES_BYTES = {63, 65, 66}

RULES = b"""User-agent: *
Disallow: /private/
Allow: /private/open

User-agent: docs-of-ours
Disallow: /not-for-us
Crawl-delay: 3
Sitemap: /maps/all.xml
sitemap: https://example.com/b.xml
"""

fetch = partial(fetcher.fetch, content_types=())


def lets(text: str | bytes, agent: str, path: str) -> bool:
    body = text if isinstance(text, bytes) else text.encode()
    return robots_txt.parse(body, agent).allow(f"https://site.example{path}")


# --- What a robots.txt says ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(VERDICTS)))
def test_it_judges_like_googles_matcher_but_for_the_spelling_of_addresses(number: int) -> None:
    text, agent, url, verdict = VERDICTS[number]
    rules = robots_txt.parse(text.encode("latin-1"), agent)
    agrees = rules.allow(url.encode("latin-1").decode()) is verdict
    assert agrees is (number not in GOOGLE_COMPARES_BYTES)


@pytest.mark.parametrize(
    ("text", "path", "verdict"),
    [
        ("User-agent: *\nDisallow: /a/*/end$", "/a/x/end", False),
        ("User-agent: *\nDisallow: /a/*/end$", "/a/x/ending", True),
        ("User-agent: *\nDisallow: /\nAllow: /*open", "/x_open", True),
        ("User-agent: *\nDisallow: / \nAllow: /page", "/page", True),
        ("User-agent: *\nDisallow:", "/a", True),
        ("User-agent: *\nDisallow: /wiki/Käyttäjä:", "/wiki/K%C3%A4ytt%C3%A4j%C3%A4:x", False),
        ("User-agent: *\nDisallow: /a%3cd.html", "/a%3Cd.html", False),
        ("User-agent: *\nDisallow: /a%2fb", "/a/b", True),
        (b"User-agent: *\nDisallow: /caf\xe9", "/caf%E9", False),
        (b"User-agent: *\nDisallow: /caf\xe9", "/cafeteria", True),
        (b"User-agent: *\n\xffDisallow: /a", "/a", False),
        (b"\xef\xbb\xbfUser-agent: *\nDisallow: /a", "/a", False),
        ("User-agent: *\rDisallow: /a\r\nDisallow: /b", "/b", False),
        ("User-agent: *\nDisallow: /a\x0bb\u2028c", "/a", True),
        ("User-agent: *\nDisallow: /a # but not here", "/a", False),
        ("User-agent: *\nDisallow:/a", "/a", False),
        ("User-agent: *\nDisallow /a", "/a", False),
        ("USER-AGENT: *\nDISALLOW: /a", "/a", False),
        ("User-agent: *\nDisalow: /a", "/a", False),
        ("User-agent: *\nDisallow: /a\n\n\nAllow: /a/b", "/a/b", True),
        ("Disallow: /a", "/a", True),
        ("User-agent: ours\nDisallow: /a\nUser-agent: *\nDisallow: /b", "/b", True),
        ("User-agent: *\nDisallow: /b\nUser-agent: ours\nDisallow: /a", "/a", False),
        ("User-agent: other\nUser-agent: ours\nDisallow: /a", "/a", False),
        ("User-agent: other\nUser-agent:\nUser-agent: ours\nDisallow: /a", "/a", False),
        ("User-agent: ours\nDisallow: /a\nUser-agent: \nDisallow: /b", "/b", True),
        ("User-agent: ours\nNoindex: /x\nSitemap: /s\nUser-agent: other\nDisallow: /a", "/a", False),
        (
            "User-agent: ours\nDisallow: /a\nUser-agent: other\nDisallow: /b\nUser-agent: ours\nDisallow: /c",
            "/c",
            False,
        ),
        ("User-agent: OURS/2.1\nDisallow: /a", "/a", False),
        ("User-agent: our\nDisallow: /a", "/a", True),
        ("User-agent: ours-images\nDisallow: /a", "/a", True),
        ("User-agent: not-ours\nDisallow: /a", "/a", True),
        ("User-agent: *\nUser-agent is a name: see below\nDisallow: /a", "/a", False),
        ("User-agent: *\nDisallow: /\n", "/robots.txt", True),
        ("<html><title>Not found</title></html>", "/a", True),
        (b"GIF89a\xd3\x00\xfe\x00\xa2", "/a", True),
        ("", "/a", True),
    ],
)
def test_it_reads_what_people_write(text: str | bytes, path: str, verdict: bool) -> None:
    assert lets(text, "ours", path) is verdict


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("ragproject/0.1 (+https://example.com)", "ragproject"),
        ("docs-of-ours", "docs-of-ours"),
        ("My_Bot2 (x)", "My_Bot2"),
        ("", ""),
        ("(odd)", ""),
    ],
)
def test_it_goes_by_the_name_before_the_version(header: str, token: str) -> None:
    assert product_token(header) == token


@hypothesis.settings(max_examples=40)
@hypothesis.given(strategies.binary(max_size=400), strategies.text(max_size=20))
def test_no_bytes_make_it_fail(body: bytes, path: str) -> None:
    lets(b"User-agent: *\nDisallow: " + body, "ours", f"/{path}")
    lets(body, "ours", "/a")


def test_lines_put_together_at_random_do_not_make_it_fail() -> None:
    chance = random.Random(1)
    pieces = [b"user-agent", b"disallow", b"allow", b"crawl-delay", b"sitemap", b":", b" ", b"*", b"$", b"%", b"%4"]
    pieces += [b"/", b"a", b"#", b"\r", b"\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"http://[", b"1e999", b"nan", b"-1"]
    for _ in range(2000):
        rules = robots_txt.parse(b"".join(chance.choices(pieces, k=60)), "ours", "http://site.example")
        assert 0 <= rules.crawl_delay <= robots_txt.MAX_CRAWL_DELAY_SECONDS
        assert isinstance(rules.allow("http://site.example/a"), bool)


def test_a_thousand_crawlers_with_a_thousand_rules_are_not_multiplied() -> None:
    text = "User-agent: x\n" * 18_000 + "Disallow: /a\n" * 18_000
    assert lets(text, "ours", "/a")
    several = "".join(f"User-agent: bot{n}\n" for n in range(13_000)) + "Disallow: /a\n" * 18_000
    assert lets(several, "ours", "/a")


def test_of_24_000_rules_a_link_is_compared_with_those_that_may_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    matches = robots_paths.Pattern.matches

    def counted(pattern: robots_paths.Pattern, path: str) -> bool:
        tried.append(path)
        return matches(pattern, path)

    monkeypatch.setattr(robots_paths.Pattern, "matches", counted)
    text = "User-agent: *\n" + "".join(f"Disallow: /*a{n}*b$\nAllow: /*a{n}/x*b$\n" for n in range(10_000))
    rules = robots_txt.parse(text.encode(), "ours")
    verdicts = [rules.allow(f"https://site.example/a{n}/{end}") for n in range(500) for end in ("x/b", "b", "c")]
    assert verdicts == [True, False, True] * 500
    assert len(tried) < 10 * len(verdicts)


def test_an_address_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def noted(url: str) -> str:
        judged.append(url)
        return "/a"

    monkeypatch.setattr(robots_paths, "_quote_path", noted)
    rules = robots_txt.parse(b"User-agent: *\nDisallow: /*a$", "ours")
    assert [rules.allow("https://site.example/a") for _ in range(3)] == [False] * 3
    assert len(judged) == 1


def test_what_more_rules_say_than_can_be_compared_is_taken_as_a_no() -> None:
    words = ["".join(letters) for letters in permutations("abcdefg", 5)]
    text = "User-agent: *\n" + "".join(f"Allow: /*{'*'.join(word)}*z\n" for word in words)
    rules = robots_txt.parse(text.encode(), "ours")
    assert rules.allow("https://site.example/123")
    assert not rules.allow("https://site.example/abcdefgabcdefgabcdefgabcdefgabcdefg/y")


def test_its_verdicts_are_those_of_protego() -> None:
    chance = random.Random(1)
    pieces = ["/", "a", "b", "*", "*", "$", "/index.html", "%2F", "%e9", "é", "?", "=", "."]
    for _ in range(1500):
        lines = [f"{chance.choice(['Allow', 'Disallow'])}: /{''.join(chance.choices(pieces, k=4))}" for _ in range(9)]
        text = "\n".join(["User-agent: *", *lines])
        rules, protego = robots_txt.parse(text.encode(), "ours"), Protego.parse(text)
        for _ in range(9):
            url = f"https://site.example/{''.join(chance.choices(pieces, k=5))}"
            assert rules.allow(url) is protego.can_fetch(url, "ours"), (text, url)


def test_it_reads_half_a_megabyte_in_whole_lines() -> None:
    start = b"User-agent: *\nDisallow: /early\n"
    filler = b"# " + b"x" * (robots_txt.MAX_BYTES - len(start) - 2 - len(b"\nDisallow: /pub")) + b"\n"
    body = start + filler + b"Disallow: /public-only-this\nDisallow: /late\n"
    assert body[: robots_txt.MAX_BYTES].endswith(b"Disallow: /pub")
    assert [lets(body, "ours", path) for path in ("/early", "/public", "/late")] == [False, True, True]


@pytest.mark.parametrize(("said", "seconds"), [("3", 3), ("0.5", 0.5), ("900", 60), ("-1", 0), ("soon", 0), ("inf", 0)])
def test_it_knows_how_slowly_a_site_wants_to_be_read(said: str, seconds: float) -> None:
    assert robots_txt.parse(f"User-agent: *\nCrawl-delay: {said}".encode(), "ours").crawl_delay == seconds


# --- Where it comes from ------------------------------------------------------------------------------


@pytest.fixture
def clean(settings: Settings, clean_redis: Any) -> Iterator[Any]:
    settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.1/32"]
    settings.USER_AGENT = "ragproject/0.1 (+https://example.com)"
    settings.RETRY_SECONDS = 60.0
    politeness.forget()
    yield clean_redis
    politeness.forget()
    redis_client.forget()
    host_throttle._script.cache_clear()
    http_session.session().close()


@pytest.fixture
def site(clean: Any) -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(robots_cache, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def given_rules(body: bytes) -> Page:
    return Page(url="http://example.com/robots.txt", body=body, content_type="text/plain")


def test_it_obeys_the_rules_for_everybody(site: LocalSite) -> None:
    site.page("/robots.txt", RULES, Content_Type="text/plain")
    assert politeness.allowed(site.url("/open"), fetch=fetch)
    assert politeness.allowed(site.url("/private/open"), fetch=fetch)
    assert not politeness.allowed(site.url("/private/a"), fetch=fetch)


def test_it_obeys_the_rules_for_its_own_name(clean: Any, settings: Settings) -> None:
    settings.USER_AGENT = "docs-of-ours/2.0 (+mailto:docs@example.com)"
    assert not politeness.allowed("http://example.com/not-for-us", fetch=lambda url: given_rules(RULES))
    assert politeness.allowed("http://example.com/private/a", fetch=lambda url: given_rules(RULES))


def test_it_names_the_sitemaps(clean: Any) -> None:
    named = politeness.sitemaps("http://example.com/docs/", fetch=lambda url: given_rules(RULES))
    assert named == ("http://example.com/maps/all.xml", "https://example.com/b.xml")


def test_its_crawl_delay_counts_for_all(clean: Any, settings: Settings) -> None:
    settings.USER_AGENT = "docs-of-ours/2.0"
    politeness.allowed("http://example.com/a", fetch=lambda url: given_rules(RULES))
    with pytest.raises(HostBusy) as busy, politeness.slot("http://example.com/a", CrawlPolicy(0.0, 0)):
        pass
    assert busy.value.retry_after == pytest.approx(3, abs=0.5)  # robots.txt was the first request


def test_all_processes_ask_a_site_once_an_hour(site: LocalSite, clean: Any) -> None:
    site.page("/robots.txt", RULES)
    for path in ("/a", "/b", "/private/c"):
        politeness.allowed(site.url(path), fetch=fetch)
    politeness.forget()  # as if this were another process
    assert not politeness.allowed(site.url("/private/a"), fetch=fetch)
    assert site.paths == ["/robots.txt"]
    (key,) = clean.keys(f"{host_throttle.PREFIX}:robots:*")
    assert 3590 < clean.ttl(key) <= 3600
    clean.delete(key)
    politeness.forget()
    site.page("/robots.txt", b"User-agent: *\nDisallow: /")
    assert not politeness.allowed(site.url("/a"), fetch=fetch)


def test_a_process_looks_again_every_minute_and_parses_only_what_is_new(
    clean: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    parse = robots_txt.parse

    def remember(body: bytes, agent: str, site: str) -> robots_txt.Rules:
        parsed.append(body)
        return parse(body, agent, site)

    monkeypatch.setattr(robots_txt, "parse", remember)
    ask = partial(politeness.allowed, "http://example.com/a", fetch=lambda url: given_rules(RULES))
    for _ in range(3):
        assert ask()
        clock[0] += 61
    assert parsed == [RULES]
    clean.set(f"{host_throttle.PREFIX}:robots:http://example.com", b"rUser-agent: *\nDisallow: /", px=1_000_000)
    clock[0] -= 30
    assert ask()
    clock[0] += 61
    assert not ask()


def test_it_asks_every_host_port_and_scheme_by_itself(clean: Any) -> None:
    asked: list[str] = []

    def remember(url: str) -> Page:
        asked.append(url)
        return given_rules(b"")

    for url in ("http://a.example/x", "https://a.example/x", "http://a.example:81/x", "http://b.example/x"):
        politeness.allowed(url, fetch=remember)
    assert asked == [
        "http://a.example/robots.txt",
        "https://a.example/robots.txt",
        "http://a.example:81/robots.txt",
        "http://b.example/robots.txt",
    ]


def test_while_one_process_asks_the_others_are_sent_away(clean: Any) -> None:
    def slow(url: str) -> Page:
        with pytest.raises(HostBusy) as busy:
            politeness.allowed("http://example.com/b", fetch=lambda url: pytest.fail("asked twice"))
        assert 0 < (busy.value.retry_after or 0) <= 1
        return given_rules(RULES)

    assert politeness.allowed("http://example.com/a", fetch=slow)
    assert politeness.allowed("http://example.com/b", fetch=slow)


def test_a_slot_that_does_not_come_leaves_the_question_to_the_next(clean: Any) -> None:
    def busy(url: str) -> Page:
        raise HostBusy("later", retry_after=3.0)

    with pytest.raises(HostBusy, match="later"):
        politeness.allowed("http://example.com/a", fetch=busy)
    assert politeness.allowed("http://example.com/a", fetch=lambda url: given_rules(RULES))


def test_robots_txt_takes_a_slot_like_any_page(site: LocalSite, settings: Settings) -> None:
    settings.CRAWL_DELAY_SECONDS = 5.0
    with politeness.slot(site.url("/a")):
        pass
    with pytest.raises(HostBusy):
        politeness.allowed(site.url("/a"), fetch=fetch)
    assert site.paths == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_without_a_robots_txt_everything_is_allowed(site: LocalSite, status: int) -> None:
    site.page("/robots.txt", b"User-agent: *\nDisallow: /", status=status)
    assert politeness.allowed(site.url("/a"), fetch=fetch)
    politeness.forget()
    assert politeness.allowed(site.url("/b"), fetch=fetch)
    assert site.paths == ["/robots.txt"]


@pytest.mark.parametrize("body", [b"<html><title>Not found</title>", b"\x89PNG\r\n", b"", b"\xff\xfe\xfd"])
def test_nonsense_forbids_nothing(site: LocalSite, body: bytes) -> None:
    site.page("/robots.txt", body)
    assert politeness.allowed(site.url("/a"), fetch=fetch)


def test_it_follows_five_redirects_to_it(site: LocalSite) -> None:
    for hop in range(4):
        site.page(f"/{hop}", status=301, Location=f"/{hop + 1}")
    site.page("/robots.txt", status=301, Location="/0")
    site.page("/4", b"User-agent: *\nDisallow: /")
    assert not politeness.allowed(site.url("/a"), fetch=fetch)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_site_that_cannot_say_is_left_alone_for_now(site: LocalSite, status: int) -> None:
    site.page("/robots.txt", status=status, Retry_After="300")
    for _ in range(2):
        with pytest.raises(FetchFailed, match="left alone for now") as failure:
            politeness.allowed(site.url("/a"), fetch=fetch)
        assert failure.value.retry_after == pytest.approx(300, abs=30)
        politeness.forget()


def test_an_unreachable_site_is_left_alone_for_now(clean: Any) -> None:
    def unreachable(url: str) -> Page:
        raise FetchFailed("no connection")

    with pytest.raises(FetchFailed, match="no connection"):
        politeness.allowed("http://example.com/a", fetch=unreachable)


def test_a_robots_txt_that_leads_from_https_to_http_is_none(clean: Any) -> None:
    def misled(url: str) -> Page:
        raise RedirectRefused(f"{url} redirects from https to http")

    assert politeness.allowed("https://example.com/a", fetch=misled)


def test_a_failure_that_redis_loses_at_once_is_a_failure(clean: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(url: str) -> Page:
        raise FetchFailed("no connection")

    monkeypatch.setattr(robots_cache, "_kept", lambda *args: None)
    with pytest.raises(FetchFailed, match="no connection"):
        politeness.allowed("http://example.com/a", fetch=unreachable)


def test_a_failure_is_shared_for_a_while_and_then_asked_again(clock: list[float], site: LocalSite, clean: Any) -> None:
    site.page("/robots.txt", status=500)
    for _ in range(3):
        with pytest.raises(FetchFailed):
            politeness.allowed(site.url("/a"), fetch=fetch)
    assert site.paths == ["/robots.txt"]
    (key,) = clean.keys(f"{host_throttle.PREFIX}:robots:*")
    assert 50 < clean.ttl(key) <= 60
    clean.delete(key)
    clock[0] += 61
    site.page("/robots.txt", RULES)
    assert politeness.allowed(site.url("/a"), fetch=fetch)


def test_a_refused_address_stays_refused(settings: Settings, site: LocalSite) -> None:
    settings.FETCH_PRIVATE_NETWORKS = []
    with pytest.raises(AddressRefused):
        politeness.allowed(site.url("/a"), fetch=fetch)


def test_it_remembers_a_bounded_number_of_sites(clean: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robots_cache, "MAX_SITES", 3)
    for number in range(10):
        politeness.allowed(f"http://{number}.example/", fetch=lambda url: given_rules(b""))
    assert len(robots_cache._known) == 3


def test_without_redis_nobody_is_asked(clean: Any, settings: Settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    redis_client.forget()
    with pytest.raises(BufferUnavailable):
        politeness.allowed("http://example.com/a", fetch=lambda url: pytest.fail("asked"))
