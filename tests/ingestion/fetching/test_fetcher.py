from __future__ import annotations

import socket
from typing import Any

import pytest
from pytest_django import Settings

from ingestion.exceptions import (
    AddressRefused,
    FetchFailed,
    IngestionError,
    PageGone,
    PageRefused,
    Throttled,
    UnsupportedContent,
)
from ingestion.fetching import fetcher
from ingestion.fetching.urls import canonical
from tests.support.local_site import Handler, LocalSite

PAGE = b"<html><body><p>Models map to tables.</p></body></html>"


pytestmark = pytest.mark.usefixtures("loopback_allowed")


# --- Addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("http://Example.COM", "http://example.com/"),
        ("HTTP://example.com:80/a", "http://example.com/a"),
        ("https://example.com:443/", "https://example.com/"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("https://example.com./a#part", "https://example.com/a"),
        ("https://example.com?q=1", "https://example.com/?q=1"),
        ("https://example.com/a?", "https://example.com/a"),
        ("https://bücher.example/straße", "https://xn--bcher-kva.example/stra%C3%9Fe"),
        ("https://example.com/a/../b/./c", "https://example.com/b/c"),
        ("https://example.com/a/%2e%2e/b", "https://example.com/b"),
        ("https://example.com/%7euser/%e2%82%ac", "https://example.com/~user/%E2%82%AC"),
        ("https://example.com/100%", "https://example.com/100%25"),
        ("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080/"),
        ("http://my_host-1.lan/", "http://my_host-1.lan/"),
    ],
)
def test_it_writes_an_address_in_one_way(written: str, expected: str) -> None:
    assert canonical(written) == expected
    assert canonical(expected) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/a",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "mailto:a@example.com",
        "http://",
        "http:///path",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://127.0.0.1\\@example.com/",
        "http://example.com/a b",
        "http://example.com/a\tb",
        "http://example.com/a\r\nHost: x",
        "http://exa\x00mple.com/",
        "http://example.com/\u2028",
        "http://example.com:99999/",
        "http://example.com:abc/",
        "http://exa%6dple..com/",
        "http://a..b/",
        "http://ex%00ample.com/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.x]/",
        "http://" + "a" * 64 + ".com/",
        "http://exa$mple.com/",
        "http://example.com/" + "a" * 2048,
        "http://\udc80.example/",
    ],
)
def test_it_refuses_what_is_no_plain_web_address(url: str) -> None:
    with pytest.raises(AddressRefused):
        canonical(url)


def test_a_refused_address_does_not_repeat_the_password() -> None:
    with pytest.raises(AddressRefused) as refusal:
        canonical("https://user:secret@example.com/")
    assert "secret" not in str(refusal.value)


# --- Pages --------------------------------------------------------------------------------------------


def test_it_returns_the_page_with_what_its_headers_say(site: LocalSite) -> None:
    url = site.page(
        "/a",
        PAGE,
        Content_Type='Text/HTML; Charset="ISO-8859-1"',
        ETag='"v1"',
        Last_Modified="Tue, 01 Jul 2025 10:00:00 GMT",
    )
    page = fetcher.fetch(url)
    assert (page.url, page.body) == (url, PAGE)
    assert (page.content_type, page.charset) == ("text/html", "iso-8859-1")
    assert (page.etag, page.last_modified) == ('"v1"', "Tue, 01 Jul 2025 10:00:00 GMT")


def test_it_names_itself_and_asks_for_no_exotic_compression(site: LocalSite, settings: Settings) -> None:
    settings.USER_AGENT = "docs-of-ours/1.0 (+https://example.com/bot)"
    fetcher.fetch(site.page("/", PAGE))
    assert site.seen[0].headers["User-Agent"] == "docs-of-ours/1.0 (+https://example.com/bot)"
    assert site.seen[0].headers["Accept-Encoding"] == "gzip, deflate"


def test_it_keeps_the_connection_for_the_next_page(site: LocalSite) -> None:
    for path in ("/a", "/b"):
        fetcher.fetch(site.page(path, PAGE))
    assert site.seen[0].client == site.seen[1].client


def test_it_judges_a_kept_connection_again(site: LocalSite, settings: Settings) -> None:
    url = site.page("/a", PAGE)
    fetcher.fetch(url)
    settings.FETCH_PRIVATE_NETWORKS = []
    with pytest.raises(AddressRefused, match="loopback"):
        fetcher.fetch(url)
    assert site.paths == ["/a"]


def test_it_ignores_proxies_of_the_environment(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalSite() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert fetcher.fetch(site.page("/", PAGE)).body == PAGE
        assert proxy.seen == []


def test_it_keeps_no_cookies(site: LocalSite) -> None:
    url = site.page("/", PAGE, Set_Cookie="session=1; Path=/")
    fetcher.fetch(url)
    fetcher.fetch(url)
    assert "Cookie" not in site.seen[1].headers


@pytest.mark.parametrize(
    "content_type", ["text/html", "application/xhtml+xml", "text/plain", "text/markdown", "text/x-rst"]
)
def test_it_accepts_every_readable_type(site: LocalSite, content_type: str) -> None:
    page = fetcher.fetch(site.page("/", b"Models map to tables.", Content_Type=content_type))
    assert page.content_type == content_type


@pytest.mark.parametrize("content_type", ["application/pdf", "image/png", "application/json", "text/css"])
def test_it_names_a_content_type_that_it_does_not_accept(site: LocalSite, content_type: str) -> None:
    url = site.page("/a", PAGE, Content_Type=content_type)
    with pytest.raises(UnsupportedContent) as refusal:
        fetcher.fetch(url)
    assert url in str(refusal.value)
    assert (content_type or "(none)") in str(refusal.value)


def test_without_a_content_type_the_look_of_a_text_decides(site: LocalSite) -> None:
    assert fetcher.fetch(site.page("/a", b"<html><p>Words", Content_Type="")).content_type == "text/html"
    assert fetcher.fetch(site.page("/b", b"Words", Content_Type="")).content_type == "text/plain"
    with pytest.raises(UnsupportedContent, match="binary"):
        fetcher.fetch(site.page("/c", b"\x89PNG", Content_Type=""))


def test_empty_content_types_accept_any_text(site: LocalSite) -> None:
    url = site.page("/robots.txt", b"User-agent: *", Content_Type="application/octet-stream")
    assert fetcher.fetch(url, content_types=()).body == b"User-agent: *"


@pytest.mark.parametrize(
    "body",
    [b"\x89PNG\r\n\x1a\n", b"%PDF-1.7 text", b"PK\x03\x04more", b"\x1f\x8b\x08", b"\xff\xd8\xff\xe0", b"a\0b"],
)
def test_it_does_not_believe_that_a_binary_is_html(site: LocalSite, body: bytes) -> None:
    with pytest.raises(UnsupportedContent, match="binary"):
        fetcher.fetch(site.page("/", body))


def test_it_takes_utf_16_for_text(site: LocalSite) -> None:
    body = "<p>Grüße</p>".encode("utf-16")
    assert fetcher.fetch(site.page("/", body)).body == body


# --- Redirects ----------------------------------------------------------------------------------------


def test_it_follows_a_redirect_and_says_where_it_ended(site: LocalSite) -> None:
    start = site.page("/old", status=301, Location="new#section")
    end = site.page("/new", PAGE)
    assert fetcher.fetch(start).url == end


def chain(site: LocalSite, hops: int) -> str:
    for hop in range(hops):
        site.page(f"/{hop}", status=302, Location=f"/{hop + 1}")
    site.page(f"/{hops}", PAGE)
    return site.url("/0")


def test_it_follows_five_redirects(site: LocalSite) -> None:
    assert fetcher.fetch(chain(site, 5)).body == PAGE


def test_it_does_not_follow_a_sixth_redirect(site: LocalSite) -> None:
    with pytest.raises(PageRefused, match="redirects more than 5 times"):
        fetcher.fetch(chain(site, 6))


def test_a_redirect_loop_ends(site: LocalSite) -> None:
    site.page("/a", status=302, Location="/b")
    site.page("/b", status=302, Location="/a")
    with pytest.raises(PageRefused, match="redirects"):
        fetcher.fetch(site.url("/a"))
    assert len(site.seen) == 6


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2/",
        "http://127.0.0.3:6379/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "//[::1]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "http://user:secret@127.0.0.1/",
    ],
)
def test_it_judges_the_target_of_a_redirect(site: LocalSite, target: str) -> None:
    with pytest.raises(AddressRefused):
        fetcher.fetch(site.page("/", status=302, Location=target))


def test_it_refuses_to_leave_https_for_http() -> None:
    with pytest.raises(AddressRefused, match="from https to http"):
        fetcher._target("https://example.com/a", "http://example.com/a")
    assert fetcher._target("http://example.com/a", "https://example.com/b") == "https://example.com/b"


def test_it_reads_a_location_in_raw_utf_8(site: LocalSite) -> None:
    site.page("/a", status=302, Location="/straße".encode().decode("latin-1"))
    site.page("/stra%C3%9Fe", PAGE)
    assert fetcher.fetch(site.url("/a")).url == site.url("/stra%C3%9Fe")


def test_it_asks_for_permission_before_every_hop(site: LocalSite) -> None:
    asked: list[str] = []

    def permit(url: str) -> None:
        asked.append(url)
        if url.endswith("/2"):
            raise AddressRefused("not there")

    with pytest.raises(AddressRefused, match="not there"):
        fetcher.fetch(chain(site, 3), check_url=permit)
    assert asked == [site.url("/0"), site.url("/1"), site.url("/2")]
    assert site.paths == ["/0", "/1"]


def test_a_resolver_that_changes_its_mind_does_not_lead_inside(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["127.0.0.1", "10.0.0.7"])

    def resolve(host: str, port: int, *args: object, **kwargs: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    site.page("/", PAGE, Connection="close")
    url = site.url("/", host="rebinds.example")
    assert fetcher.fetch(url).body == PAGE  # one look-up serves the judgement and the connection
    assert site.seen[0].headers["Host"] == f"rebinds.example:{site.port}"
    with pytest.raises(AddressRefused) as refusal:
        fetcher.fetch(url)
    assert url in str(refusal.value)
    assert "10.0.0.7" not in str(refusal.value)


# --- Failures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, PageGone),
        (410, PageGone),
        (401, PageRefused),
        (403, PageRefused),
        (400, PageRefused),
        (451, PageRefused),
        (204, PageRefused),
        (304, PageRefused),
        (408, FetchFailed),
        (425, FetchFailed),
        (429, Throttled),
        (500, FetchFailed),
        (503, Throttled),
        (599, FetchFailed),
    ],
)
def test_it_tells_lasting_refusals_from_passing_ones(site: LocalSite, status: int, error: type[IngestionError]) -> None:
    url = site.page("/a", b"" if status in (204, 304) else PAGE, status=status)
    with pytest.raises(error) as failure:
        fetcher.fetch(url)
    assert type(failure.value) is error
    assert url in str(failure.value)
    assert str(status) in str(failure.value)


def test_it_stops_reading_a_body_without_end(site: LocalSite, settings: Settings) -> None:
    settings.FETCH_MAX_BYTES = 100_000
    sent = 0

    def endless(handler: Handler) -> None:
        nonlocal sent
        handler.start(Connection="close")
        while sent < 50_000_000:
            sent += handler.wfile.write(b"x" * 10_000)

    with pytest.raises(UnsupportedContent, match="larger than 100000 bytes"):
        fetcher.fetch(site.answer("/", endless))
    assert sent < 50_000_000


def test_it_does_not_read_a_body_that_says_it_is_too_large(site: LocalSite, settings: Settings) -> None:
    settings.FETCH_MAX_BYTES = 1000
    url = site.answer("/", lambda handler: handler.start(Content_Length="1001"))
    with pytest.raises(UnsupportedContent, match="larger than 1000 bytes"):
        fetcher.fetch(url)


def test_a_page_of_exactly_the_cap_passes(site: LocalSite, settings: Settings) -> None:
    settings.FETCH_MAX_BYTES = len(PAGE)
    assert fetcher.fetch(site.page("/", PAGE)).body == PAGE


def test_a_body_that_ends_early_is_no_page(site: LocalSite) -> None:
    def truncated(handler: Handler) -> None:
        handler.reply(body=PAGE, Content_Length=str(2 * len(PAGE)))
        handler.close_connection = True

    with pytest.raises(FetchFailed, match="ended before the page was complete"):
        fetcher.fetch(site.answer("/", truncated))


def test_a_broken_chunk_is_no_page(site: LocalSite) -> None:
    def truncated(handler: Handler) -> None:
        handler.start(Transfer_Encoding="chunked")
        handler.wfile.write(b"100\r\nonly a few bytes")
        handler.close_connection = True

    with pytest.raises(FetchFailed, match="ended before the page was complete"):
        fetcher.fetch(site.answer("/", truncated))


def test_a_connection_that_is_cut_is_worth_another_try(site: LocalSite) -> None:
    def cut(handler: Handler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    with pytest.raises(FetchFailed, match="connection broke"):
        fetcher.fetch(site.answer("/", cut))


def test_speaking_another_protocol_is_worth_another_try(site: LocalSite) -> None:
    def babble(handler: Handler) -> None:
        handler.wfile.write(b"+PONG\r\n\r\n")
        handler.close_connection = True

    with pytest.raises(FetchFailed, match="connection broke"):
        fetcher.fetch(site.answer("/", babble))


def drip_body(handler: Handler) -> None:
    handler.start(Content_Length="80")
    handler.drip(b"x" * 80)


def drip_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n")
    handler.drip(b"X-Slow: " + b"y" * 72)
    handler.wfile.write(b"\r\nContent-Length: 0\r\n\r\n")


def silence(handler: Handler) -> None:
    handler.server.stopping.wait(8)
    handler.reply(200, PAGE)


@pytest.mark.parametrize("answer", [drip_body, drip_headers, silence])
def test_no_server_holds_it_longer_than_the_deadline(site: LocalSite, settings: Settings, answer: Any) -> None:
    settings.FETCH_TIMEOUT_SECONDS = 0.5
    url = site.answer("/", answer)
    with pytest.raises(FetchFailed, match=r"took longer than 0\.5 s|no answer within 0\.5 s"):
        fetcher.fetch(url)


def test_the_deadline_covers_all_redirects_together(site: LocalSite, settings: Settings) -> None:
    settings.FETCH_TIMEOUT_SECONDS = 0.5

    def slow_hop(handler: Handler) -> None:
        handler.server.stopping.wait(0.2)
        handler.reply(302, Location=f"/{int(handler.path[1:]) + 1}")

    for hop in range(5):
        site.answer(f"/{hop}", slow_hop)
    site.page("/5", PAGE)
    with pytest.raises(FetchFailed, match="took longer than"):
        fetcher.fetch(site.url("/0"))
