"""What a server may send: compressed, cut off, conditional, throttled, as a file, over TLS."""

from __future__ import annotations

import bz2
import errno
import gzip
import itertools
import os
import random
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from pytest_django import Settings

from ingestion.exceptions import (
    AddressRefused,
    FetchFailed,
    HostBusy,
    IngestionError,
    MachineExhausted,
    PageGone,
    PageRefused,
    Throttled,
    UnsupportedContent,
)
from ingestion.fetching import dns, fetcher, http_session, responses
from ingestion.types import Validators
from tests.conftest import wait_until
from tests.support.local_site import Handler, LocalSite

PAGE = b"<html><body><p>Models map to tables.</p></body></html>"
MIB = 1024 * 1024


pytestmark = pytest.mark.usefixtures("loopback_allowed")


# --- Compression --------------------------------------------------------------------------------------


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


LONG = random.Random(7).randbytes(300_000).hex().encode()


@pytest.mark.parametrize("body", [b"", PAGE, LONG])
@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZip", lambda body: gzip.compress(body[:10]) + gzip.compress(body[10:])),
        ("gzip", lambda body: gzip.compress(body) + b"\0 and what some servers leave behind"),
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
        ("identity", bytes),
        ("gzip, identity", gzip.compress),
    ],
)
def test_it_unpacks_a_compressed_page(site: LocalSite, coding: str, pack: Any, body: bytes) -> None:
    assert fetcher.fetch(site.page("/", pack(body), Content_Encoding=coding)).body == body


def test_it_unpacks_a_page_that_comes_byte_by_byte(site: LocalSite) -> None:
    def trickle(handler: Handler) -> None:
        handler.start(Transfer_Encoding="chunked", Content_Encoding="gzip")
        for byte in gzip.compress(PAGE[:20]) + gzip.compress(PAGE[20:]):
            handler.wfile.write(b"1\r\n" + bytes([byte]) + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    assert fetcher.fetch(site.answer("/", trickle)).body == PAGE


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "nonsense"])
def test_it_does_not_take_a_coding_that_it_did_not_ask_for(site: LocalSite, coding: str) -> None:
    with pytest.raises(UnsupportedContent, match="not asked for"):
        fetcher.fetch(site.page("/", gzip.compress(gzip.compress(PAGE)), Content_Encoding=coding))


@pytest.mark.parametrize("body", [b"this is not gzip", gzip.compress(LONG)[:5000] + b"x" * 5000, b"\x1f\x8b\x08"])
def test_damaged_compression_is_no_page(site: LocalSite, body: bytes) -> None:
    with pytest.raises(FetchFailed, match="compressed body"):
        fetcher.fetch(site.page("/", body, Content_Encoding="gzip"))


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, bare_deflate])
@pytest.mark.parametrize("missing", [1, 9, 1000])
def test_a_compressed_body_that_ends_early_is_no_page(site: LocalSite, pack: Any, missing: int) -> None:
    """The length agrees with what was sent: a cache stored half a page."""
    with pytest.raises(FetchFailed, match="ended before it was complete"):
        fetcher.fetch(site.page("/", pack(LONG)[:-missing], Content_Encoding="gzip"))


def test_it_counts_bytes_after_unpacking_them(site: LocalSite, settings: Settings) -> None:
    settings.FETCH_MAX_BYTES = 500_000
    body = gzip.compress(LONG)
    assert len(body) < settings.FETCH_MAX_BYTES
    with pytest.raises(UnsupportedContent, match="larger than 500000 bytes"):
        fetcher.fetch(site.page("/", body, Content_Encoding="gzip"))


def test_a_page_that_unpacks_out_of_all_proportion_is_refused(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    check = responses._check_ratio

    def remember(url: str, size: int, received: int) -> None:
        taken.append(size)
        check(url, size, received)

    monkeypatch.setattr(responses, "_check_ratio", remember)
    bomb = gzip.compress(bytes(9 * MIB))
    with pytest.raises(UnsupportedContent, match="200 times its size"):
        fetcher.fetch(site.page("/", bomb, Content_Encoding="gzip"))
    assert taken[-1] < 4 * MIB
    assert max(later - earlier for earlier, later in itertools.pairwise(taken)) <= responses.READ_BYTES


def test_a_page_that_repeats_itself_is_no_bomb(site: LocalSite) -> None:
    body = (b"<tr><td>%d</td></tr>" * 40_000) % tuple(range(40_000))
    assert fetcher.fetch(site.page("/", gzip.compress(body), Content_Encoding="gzip")).body == body
    small_bomb = gzip.compress(bytes(500_000).replace(b"\0", b" "))
    assert len(fetcher.fetch(site.page("/", small_bomb, Content_Encoding="gzip")).body) == 500_000


def test_the_body_of_a_redirect_is_never_read(site: LocalSite, settings: Settings) -> None:
    settings.FETCH_TIMEOUT_SECONDS = 30.0
    end = site.page("/b", PAGE)

    def endless(handler: Handler) -> None:
        handler.start(302, Location="/b", Content_Length="1000000000", Content_Encoding="gzip")
        handler.wfile.write(gzip.compress(bytes(MIB)))
        handler.server.stopping.wait(99)

    assert fetcher.fetch(site.answer("/a", endless)).url == end


# --- Conditional requests -----------------------------------------------------------------------------

KNOWN = Validators(etag='W/"v1"', last_modified="Tue, 01 Jul 2025 10:00:00 GMT")


def unchanged(handler: Handler) -> None:
    handler.send_response(304)
    handler.end_headers()


def test_a_page_that_has_not_changed_is_not_sent(site: LocalSite) -> None:
    url = site.answer("/a", unchanged)
    assert fetcher.fetch_if_changed(url, known=KNOWN) is None
    assert site.seen[0].headers["If-None-Match"] == 'W/"v1"'
    assert site.seen[0].headers["If-Modified-Since"] == "Tue, 01 Jul 2025 10:00:00 GMT"


def test_the_connection_is_kept_after_an_unchanged_page(site: LocalSite) -> None:
    url = site.answer("/a", unchanged)
    for _ in range(2):
        fetcher.fetch_if_changed(url, known=KNOWN)
    assert site.seen[0].client == site.seen[1].client


def test_a_page_that_has_changed_is_sent_with_what_to_ask_next_time(site: LocalSite) -> None:
    page = fetcher.fetch_if_changed(site.page("/a", PAGE, ETag='"v2"'), known=KNOWN)
    assert page is not None
    assert (page.body, page.etag) == (PAGE, '"v2"')


@pytest.mark.parametrize("known", [Validators(), Validators("bad\r\nHost: x", "é"), Validators(" ", "")])
def test_without_anything_to_go_by_unchanged_is_an_error(site: LocalSite, known: Validators) -> None:
    with pytest.raises(PageRefused, match="304"):
        fetcher.fetch_if_changed(site.answer("/a", unchanged), known=known)
    assert not {"If-None-Match", "If-Modified-Since"} & set(site.seen[0].headers)


def test_what_is_known_of_one_address_is_not_said_of_another(site: LocalSite) -> None:
    start = site.page("/a", status=302, Location="/b")
    site.page("/b", PAGE)
    page = fetcher.fetch_if_changed(start, known=KNOWN)
    assert page is not None
    assert "If-None-Match" not in site.seen[1].headers
    site.answer("/b", unchanged)
    with pytest.raises(PageRefused, match="304"):
        fetcher.fetch_if_changed(start, known=KNOWN)


# --- Throttling ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("99999999999999999999", 3600.0), ("soon", None), ("-5", None), ("1.5", None), ("", None)],
)
def test_it_passes_on_how_long_the_server_wants_to_be_left_alone(
    site: LocalSite, status: int, header: str, seconds: float | None
) -> None:
    with pytest.raises(Throttled) as failure:
        fetcher.fetch(site.page("/", status=status, Retry_After=header))
    assert failure.value.retry_after == seconds


@pytest.mark.parametrize(
    ("wait", "low", "high"),
    [(timedelta(minutes=10), 500, 600), (timedelta(days=365), 3600, 3600), (timedelta(minutes=-10), 0, 0)],
)
def test_it_reads_retry_after_as_a_date(site: LocalSite, wait: timedelta, low: float, high: float) -> None:
    date = format_datetime(datetime.now(UTC) + wait, usegmt=True)
    with pytest.raises(Throttled) as failure:
        fetcher.fetch(site.page("/", status=429, Retry_After=date))
    assert failure.value.retry_after is not None
    assert low <= failure.value.retry_after <= high


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize(("ahead", "low", "high"), [(600, 590, 600), (-60, 0, 0), (86_400, 3600, 3600)])
def test_a_spent_allowance_waits_for_its_renewal(
    site: LocalSite, status: int, ahead: int, low: float, high: float
) -> None:
    reset = str(int(time.time()) + ahead)
    with pytest.raises(Throttled) as failure:
        fetcher.fetch(site.page("/", status=status, X_RateLimit_Remaining="0", X_RateLimit_Reset=reset))
    assert failure.value.retry_after is not None
    assert low <= failure.value.retry_after <= high


def test_a_refusal_with_a_time_is_a_pause_and_one_without_is_final(site: LocalSite) -> None:
    with pytest.raises(Throttled) as failure:
        fetcher.fetch(site.page("/", status=403, Retry_After="60"))
    assert failure.value.retry_after == 60
    reset = str(int(time.time()) + 600)
    with pytest.raises(PageRefused):
        fetcher.fetch(site.page("/", status=403, X_RateLimit_Remaining="41", X_RateLimit_Reset=reset))


def test_no_retry_after_makes_it_fail() -> None:
    chance = random.Random(3)
    alphabet = "0123456789 :,-+GMTJanFebSun\u0663²\xff"
    for _ in range(3000):
        seconds = responses.retry_after("".join(chance.choices(alphabet, k=chance.randrange(30))))
        assert seconds is None or seconds >= 0
    assert responses.retry_after("Mon, 01 Jan 2024 00:00:00 +99999999999999999999") is None


def test_validators_that_no_row_can_hold_are_left_out(site: LocalSite) -> None:
    page = fetcher.fetch(site.page("/", PAGE, ETag='"a\0b"', Last_Modified="\0"))
    assert (page.etag, page.last_modified) == ("", "")


# --- Headers, slots and checks on the way -------------------------------------------------------------


def test_it_sends_what_the_caller_adds_and_takes_no_other_coding(site: LocalSite) -> None:
    fetcher.fetch(site.page("/", PAGE), headers={"Authorization": "Bearer t", "Accept-Encoding": "br"})
    assert site.seen[0].headers["Authorization"] == "Bearer t"
    assert site.seen[0].headers["Accept-Encoding"] == "gzip, deflate"


def test_headers_go_to_the_first_origin_only_and_never_again(site: LocalSite) -> None:
    with LocalSite() as other:
        site.page("/a", status=302, Location="/b")
        site.page("/b", status=302, Location=other.url("/c"))
        other.page("/c", status=302, Location=site.url("/d"))
        site.page("/d", PAGE)
        fetcher.fetch(site.url("/a"), headers={"Authorization": "Bearer secret"})
        assert ["Authorization" in request.headers for request in (*site.seen, *other.seen)] == [
            True,
            True,
            False,
            False,
        ]


def test_every_request_has_its_slot_and_that_of_a_target_lies_inside(site: LocalSite) -> None:
    told: list[str] = []

    @contextmanager
    def slot(url: str) -> Iterator[None]:
        told.append(f"enter {url[-2:]}")
        yield
        told.append(f"leave {url[-2:]}")

    site.page("/b", PAGE)
    fetcher.fetch(site.page("/a", status=302, Location="/b"), slot=slot)
    assert told == ["enter /a", "enter /b", "leave /b", "leave /a"]


def test_a_host_that_is_busy_is_not_asked(site: LocalSite) -> None:
    def slot(url: str) -> AbstractContextManager[None]:
        raise HostBusy("later", retry_after=1.0)

    with pytest.raises(HostBusy):
        fetcher.fetch(site.page("/a", PAGE), slot=slot)
    assert site.seen == []


def test_the_slot_sees_what_became_of_the_request(site: LocalSite) -> None:
    seen: list[type[BaseException]] = []

    @contextmanager
    def slot(url: str) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            seen.append(type(error))
            raise

    def cut(handler: Handler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    for url in (site.page("/a", status=429), site.page("/b", status=404), site.answer("/c", cut)):
        with pytest.raises((Throttled, PageGone, FetchFailed)):
            fetcher.fetch(url, slot=slot)
    assert seen == [Throttled, PageGone, FetchFailed]


def test_the_slot_learns_that_the_time_was_up(site: LocalSite, settings: Settings) -> None:
    """To ``requests`` headers that were cut off are a page without a body."""
    settings.FETCH_TIMEOUT_SECONDS = 0.3
    seen: list[str] = []

    @contextmanager
    def slot(url: str) -> Iterator[None]:
        try:
            yield
        except FetchFailed as error:
            seen.append(str(error))
            raise

    def drip(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n")
        handler.drip(b"X-Slow: " + b"y" * 30)

    with pytest.raises(FetchFailed):
        fetcher.fetch(site.answer("/", drip), slot=slot)
    assert "took longer than 0.3 s" in seen[0]


# --- Files --------------------------------------------------------------------------------------------


def test_it_saves_a_file_of_any_type(site: LocalSite, tmp_path: Path) -> None:
    body = bz2.compress(LONG)
    url = site.page("/a", status=302, Location="/x.tar.bz2")
    site.page("/x.tar.bz2", body, Content_Type="application/octet-stream")
    fetcher.download(url, tmp_path / "x", max_bytes=len(body))
    assert (tmp_path / "x").read_bytes() == body
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def cut_off(handler: Handler) -> None:
    handler.reply(body=PAGE, Content_Length=str(2 * len(PAGE)))
    handler.close_connection = True


def broken_chunk(handler: Handler) -> None:
    handler.start(Transfer_Encoding="chunked")
    handler.wfile.write(b"100\r\n" + b"x" * 256 + b"\r\n100\r\nonly a few bytes")
    handler.close_connection = True


def too_long(handler: Handler) -> None:
    handler.start(Connection="close")
    handler.wfile.write(bytes(2 * MIB))


def bomb(handler: Handler) -> None:
    handler.reply(body=gzip.compress(bytes(9 * MIB)), Content_Encoding="gzip")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (cut_off, FetchFailed),
        (broken_chunk, FetchFailed),
        (too_long, UnsupportedContent),
        (bomb, UnsupportedContent),
        (lambda handler: handler.reply(404), PageGone),
        (lambda handler: handler.start(Content_Length="99999999999"), UnsupportedContent),
    ],
)
def test_a_download_that_fails_leaves_what_was_there(
    site: LocalSite, tmp_path: Path, answer: Any, error: type[Exception]
) -> None:
    target = tmp_path / "archive"
    target.write_bytes(b"the old one")
    with pytest.raises(error):
        fetcher.download(site.answer("/", answer), target, max_bytes=MIB if answer is not bomb else 99 * MIB)
    assert target.read_bytes() == b"the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


@pytest.mark.parametrize(
    ("module", "function", "number"),
    [("fetching.responses", "save", errno.ENOSPC), ("fetching.ssrf_guard", "_open", errno.EMFILE)],
)
def test_a_machine_without_room_is_not_the_hosts_fault(
    site: LocalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, function: str, number: int
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    reported: list[BaseException] = []

    @contextmanager
    def slot(url: str) -> Iterator[None]:
        try:
            yield
        except IngestionError as error:
            reported.append(error)
            raise

    monkeypatch.setattr(f"ingestion.{module}.{function}", full)
    url = site.page("/", b"archive")
    with pytest.raises(MachineExhausted, match="Make room") as raised:
        fetcher.download(url, tmp_path / "archive", slot=slot, max_bytes=MIB)
    assert reported == [raised.value]


def test_a_download_has_the_time_that_its_size_takes(
    site: LocalSite, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FETCH_TIMEOUT_SECONDS = 0.3

    def slow(handler: Handler) -> None:
        handler.start(Content_Length="4")
        for byte in b"slow":
            handler.server.stopping.wait(0.15)
            handler.wfile.write(bytes([byte]))

    url = site.answer("/", slow)
    with pytest.raises(FetchFailed):
        fetcher.download(url, tmp_path / "a", max_bytes=4)
    monkeypatch.setattr(fetcher, "SLOWEST_BYTES_PER_SECOND", 0.5)
    fetcher.download(url, tmp_path / "a", max_bytes=4)
    assert (tmp_path / "a").read_bytes() == b"slow"


def test_a_type_that_is_no_text_passes_when_it_is_asked_for_by_name(site: LocalSite) -> None:
    pdf = site.page("/a.pdf", b"%PDF-1.7 ...", Content_Type="application/pdf")
    assert fetcher.fetch(pdf, content_types={"application/pdf"}).body == b"%PDF-1.7 ..."
    with pytest.raises(UnsupportedContent):
        fetcher.fetch(pdf)
    with pytest.raises(UnsupportedContent, match="binary"):
        fetcher.fetch(pdf, content_types=())


def test_the_caller_may_want_less_than_the_limit(site: LocalSite) -> None:
    with pytest.raises(UnsupportedContent, match="larger than 10 bytes"):
        fetcher.fetch(site.page("/a", PAGE), max_bytes=10)


# --- Names that do not resolve in time ----------------------------------------------------------------


def test_a_name_server_that_does_not_answer_holds_it_no_longer_than_the_deadline(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FETCH_TIMEOUT_SECONDS = 0.1
    silence = threading.Event()
    monkeypatch.setattr(dns, "_room", threading.BoundedSemaphore(2))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: silence.wait(30) and [])
    for _ in range(5):
        with pytest.raises(FetchFailed, match=r"took longer than|not resolved|still wait"):
            fetcher.fetch("http://docs.example/")
    assert len(look_ups()) == 2
    silence.set()
    wait_until(lambda: look_ups() == [], every=0.01)


def look_ups() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "look-up"]


# --- TLS ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure_site(authority: trustme.CA) -> Iterator[LocalSite]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with LocalSite(context) as site:
        site.page("/", PAGE)
        yield site


def test_a_certificate_that_nobody_vouches_for_is_refused(secure_site: LocalSite) -> None:
    with pytest.raises(FetchFailed, match=r"TLS failed \(.*(self.signed|unable to get local issuer)"):
        fetcher.fetch(secure_site.url(host="localhost"))
    assert secure_site.seen == []


@pytest.fixture
def trusted(authority: trustme.CA, settings: Settings, tmp_path: Path) -> Iterator[None]:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    settings.FETCH_CA_BUNDLE = str(tmp_path / "ca.pem")
    yield
    http_session.session().close()


@pytest.mark.usefixtures("trusted")
def test_an_operators_own_authority_is_trusted_beside_the_public_ones(secure_site: LocalSite) -> None:
    assert fetcher.fetch(secure_site.url(host="localhost")).body == PAGE
    assert fetcher.fetch(secure_site.url(host="localhost")).body == PAGE
    public = http_session._ssl_context("").cert_store_stats()["x509_ca"]
    assert http_session._ssl_context("").verify_mode is ssl.CERT_REQUIRED
    assert public == 0  # requests adds them to each connection


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_is_refused(secure_site: LocalSite) -> None:
    with pytest.raises(FetchFailed, match="TLS failed"):
        fetcher.fetch(secure_site.url(host="127.0.0.1"))


def test_a_bundle_of_the_environment_is_not_trusted(
    secure_site: LocalSite, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    with pytest.raises(FetchFailed, match="TLS failed"):
        fetcher.fetch(secure_site.url(host="localhost"))


@pytest.mark.usefixtures("trusted")
def test_it_does_not_go_from_https_to_http(secure_site: LocalSite, site: LocalSite) -> None:
    target = site.page("/", PAGE)
    with pytest.raises(AddressRefused, match="from https to http"):
        fetcher.fetch(secure_site.page("/a", status=302, Location=target).replace("127.0.0.1", "localhost"))
    assert site.seen == []


# --- What comes beside a page -------------------------------------------------------------------------


def reply_lines(site: LocalSite, path: str, lines: list[str], status: int = 200) -> str:
    """A page with these X-Robots-Tag headers, each a line of its own."""

    def answer(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "text/html")
        for line in lines:
            handler.send_header("X-Robots-Tag", line)
        handler.send_header("Content-Length", str(0 if status == 304 else len(PAGE)))
        handler.end_headers()
        handler.wfile.write(b"" if status == 304 else PAGE)

    return site.answer(path, answer)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], set()),
        (["noindex"], {"noindex"}),
        (["googlebot: noindex", "nofollow"], {"nofollow"}),
        (["googlebot: nofollow", "ragproject: noindex"], {"noindex"}),
        (["bingbot: noindex, nofollow"], set()),
    ],
)
def test_directives_for_crawlers_are_read_from_every_header(
    site: LocalSite, lines: list[str], expected: set[str]
) -> None:
    assert fetcher.fetch(reply_lines(site, "/", lines)).robots == expected


def test_a_known_page_that_is_not_to_be_indexed_any_more_is_refused_although_it_is_the_same(site: LocalSite) -> None:
    url = reply_lines(site, "/", ["noindex"], status=304)
    with pytest.raises(UnsupportedContent, match="asks not to be indexed"):
        fetcher.fetch_if_changed(url, known=Validators(etag='"1"'))


@pytest.mark.parametrize("declared", ["text/plain", "application/octet-stream", "application/json", ""])
def test_a_notebook_is_fetched_under_any_type(site: LocalSite, declared: str) -> None:
    url = site.page("/run.ipynb", b'{"cells": [], "nbformat": 4}', Content_Type=declared)
    assert fetcher.fetch(url).content_type == "application/x-ipynb+json"


def test_bytes_without_a_known_suffix_are_refused_before_they_are_read(site: LocalSite) -> None:
    url = site.page("/setup", b"MZ" * 100, Content_Type="application/octet-stream")
    with pytest.raises(UnsupportedContent, match="application/octet-stream"):
        fetcher.fetch(url)


def test_a_caller_that_asks_for_json_gets_it_under_any_name(site: LocalSite) -> None:
    url = site.page("/repos/guide.md", b"{}", Content_Type="application/json")
    assert fetcher.fetch(url, content_types=["application/json"]).content_type == "application/json"
