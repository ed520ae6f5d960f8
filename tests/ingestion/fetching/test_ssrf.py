"""Nobody leads the fetcher inside: each attempt ends before a connection is made, counted at the socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from hypothesis import example, given, strategies
from hypothesis import settings as examples
from pytest_django import Settings
from urllib3.util import parse_url

from ingestion.exceptions import AddressRefused, FetchFailed, IngestionError
from ingestion.fetching import fetcher, http_session, ssrf_guard
from ingestion.fetching.urls import canonical
from ingestion.types import Validators
from tests.support.local_site import LocalSite

# The addresses that the tests of the library "advocate" call unacceptable, one by one ...
ADVOCATE = [
    "::ffff:192.168.2.1",
    "2001:0000:4136:e378:8000:63bf:3f57:fdf2",  # Teredo, client 192.168.2.1
    "2002:C0A8:FFFF::",
    "64:ff9b::192.168.2.1",
    "169.254.1.1",
    "FEC0:CCCC::",
    "127.0.0.1",
    "127.0.1.1",
    "::1",
    "227.1.1.1",
    "192.168.2.1",
    "192.168.0.1",
    "10.5.5.5",
    "0.0.0.0",
    "0.1.1.1",
    "100.64.0.0",
    "255.255.255.255",
    "192.88.99.0",
]
# ... and by whole networks, the list of SafeCurl.
SAFECURL = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/29", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
    *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
]
ACCEPTABLE = ["178.254.90.1", "2607:f8b0:400a:807::200e", "144.1.1.1", "200.1.1.1"]
METADATA = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "::ffff:a9fe:a9fe"]
CARRIED = ["64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::", "::a9fe:a9fe", "::ffff:0:a9fe:a9fe"]
OTHERS = ["ff02::1", "fe80::1", "fc00::1", "224.0.0.251", "::", "2001:db8::1", "5f00::1"]
INSIDE = [*ADVOCATE, *METADATA, *CARRIED, *OTHERS]


@pytest.fixture(autouse=True)
def defaults(settings: Settings) -> Iterator[None]:
    settings.FETCH_PRIVATE_NETWORKS, settings.FETCH_PORTS = [], [80, 443]
    settings.FETCH_TIMEOUT_SECONDS = 5.0
    http_session.session().close()
    yield
    http_session.session().close()


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """To where TCP connections were attempted. None is made, but for those to the local site."""
    attempts: list[str] = []
    connect = socket.socket.connect

    def count(self: socket.socket, target: Any) -> None:
        if self.type != socket.SOCK_STREAM:  # a datagram socket sends nothing when it is "connected"
            return connect(self, target)
        attempts.append(target[0])
        if target[0] != "127.0.0.1":
            raise ConnectionRefusedError(111, "refused")
        return connect(self, target)

    monkeypatch.setattr(socket.socket, "connect", count)
    return attempts


def answers(monkeypatch: pytest.MonkeyPatch, *given: list[str]) -> list[str]:
    """Let the resolver give these answers, one after the other, and the last for ever. Returns what it is asked."""
    asked: list[str] = []

    def resolve(host: str, port: int, *args: object, **options: object) -> list[Any]:
        addresses = given[min(len(asked), len(given) - 1)]
        asked.append(host)
        return [(family(a), socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("address", INSIDE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_inner_address_is_not_connected_to(connected: list[str], address: str, scheme: str) -> None:
    with pytest.raises(AddressRefused):
        fetcher.fetch(f"{scheme}://{literal(address)}/")
    assert connected == []


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_for_an_inner_address_is_not_connected_to(
    connected: list[str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    answers(monkeypatch, ["8.8.8.8", address])
    with pytest.raises(AddressRefused):
        fetcher.fetch("https://docs.example/")
    assert connected == []


@pytest.mark.parametrize("network", SAFECURL)
def test_no_address_of_a_special_network_passes(network: str) -> None:
    net = ip_network(network)
    for offset in {0, 1, net.num_addresses // 2, net.num_addresses - 1, *range(0, net.num_addresses, 1 << 20)}:
        with pytest.raises(AddressRefused):
            ssrf_guard.check_address(str(net[offset]), 80)


@pytest.mark.parametrize("address", ACCEPTABLE)
def test_a_public_address_is_connected_to(connected: list[str], monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    answers(monkeypatch, [address])
    with pytest.raises(FetchFailed, match="Connection refused"):
        fetcher.fetch("http://docs.example/")
    assert connected == [address]


@pytest.mark.parametrize("port", [1, 22, 25, 99, 6379, 8080, 9091, 19530])
def test_a_port_that_is_not_for_the_web_is_not_connected_to(
    connected: list[str], monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    answers(monkeypatch, ["200.1.1.1"])
    with pytest.raises(AddressRefused, match="port"):
        fetcher.fetch(f"http://docs.example:{port}/")
    assert connected == []


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.1", "0", "0x7f.1", "017700000001"),
        *("127。0。0。1", "ⓛocalhost", "localhost", "localhost.", "LOCALHOST", "１２７.0.0.1", "127.0.0.1."),
        *("[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"),
    ],
)
def test_no_spelling_of_this_machine_is_connected_to(connected: list[str], host: str) -> None:
    with pytest.raises((AddressRefused, FetchFailed)):
        fetcher.fetch(f"http://{host}/")
    assert connected == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1\\@8.8.8.8/",
        "http://8.8.8.8\\@127.0.0.1/",
        "http://8.8.8.8@127.0.0.1/",
        "http://127.0.0.1@8.8.8.8/",
        "http://8.8.8.8#@127.0.0.1/",
        "http://127.0.0.1#@8.8.8.8/",
        "http://8.8.8.8%00.example@127.0.0.1/",
        "http://127.0.0.1%2f@8.8.8.8/",
        "http://127.0.0.1\t.example/",
        "http://127.0.0.1\r\nHost: 8.8.8.8/",
        "http://foo.example\0.127.0.0.1/",
        "http://127.0.0.1%0d%0a.example/",
        "http:///127.0.0.1/",
        "http:127.0.0.1/",
        "http://[::1%25lo]/",
        "http://[::ffff:127.0.0.1%25]/",
        "http://[127.0.0.1]/",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "file:///etc/passwd",
        "dict://127.0.0.1:11211/",
        "unix:///var/run/docker.sock",
    ],
)
def test_what_two_parsers_read_differently_leads_nowhere_inside(
    connected: list[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    with pytest.raises(IngestionError):
        fetcher.fetch(url)
    assert [address for address in connected if address != "8.8.8.8"] == []


PIECES = strategies.sampled_from(
    [
        *"/\\@:#?[].%",
        "http://",
        "https://",
        "127.0.0.1",
        "::1",
        "a.example",
        "%2f",
        "%40",
        "%5c",
        "\t",
        " ",
        "é",
        "。",
        "80",
    ]
)


@examples(max_examples=150)
@given(strategies.lists(PIECES | strategies.text(max_size=2), max_size=9).map("".join))
@example("127.0.0.1\\@a.example/")
@example("a.example#@127.0.0.1/")
def test_all_parsers_see_the_same_host_in_what_it_lets_through(rest: str) -> None:
    try:
        url = canonical(f"http://{rest}")
    except AddressRefused:
        return
    assert canonical(url) == url
    assert urlsplit(url).hostname == (parse_url(url).host or "").strip("[]").lower()
    assert urlsplit(url).username is None


# --- A resolver that changes its mind -----------------------------------------------------------------


@pytest.mark.parametrize("inner", ["127.0.0.1", "169.254.169.254", "10.0.0.7", "::1"])
def test_an_answer_that_changes_between_two_questions_leads_nowhere_inside(
    connected: list[str], monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    asked = answers(monkeypatch, ["93.184.215.14"], [inner])
    with pytest.raises(FetchFailed, match="Connection refused"):
        fetcher.fetch("http://rebinds.example/")
    assert (connected, asked) == (["93.184.215.14"], ["rebinds.example"])  # asked once, for judgement and connection
    with pytest.raises(AddressRefused):
        fetcher.fetch("http://rebinds.example/")
    assert connected == ["93.184.215.14"]


def test_an_inner_address_hidden_behind_a_dead_one_is_not_tried(
    connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, ["93.184.215.14", "10.0.0.7"])
    with pytest.raises(AddressRefused):
        fetcher.fetch("http://docs.example/")
    assert connected == []


# --- Redirects ----------------------------------------------------------------------------------------


def lead(site: LocalSite, hops: int, target: str) -> str:
    for hop in range(hops):
        site.page(f"/{hop}", status=302, Location=target if hop == hops - 1 else f"/{hop + 1}")
    return site.url("/0")


@pytest.mark.parametrize("target", [*(f"http://{literal(a)}/" for a in INSIDE if a != "127.0.0.1"), "//[::1]:6379/"])
def test_no_redirect_leads_inside(site: LocalSite, connected: list[str], target: str) -> None:
    with pytest.raises(AddressRefused):
        fetcher.fetch(lead(site, 1, target))
    assert connected == ["127.0.0.1"]


@pytest.mark.parametrize("hops", [2, 5])
@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/", "http://127.0.0.2:6379/", "gopher://127.0.0.1/"])
def test_no_chain_of_redirects_leads_inside(
    site: LocalSite, connected: list[str], tmp_path: Path, target: str, hops: int
) -> None:
    url = lead(site, hops, target)
    with pytest.raises(AddressRefused):
        fetcher.fetch(url)
    with pytest.raises(AddressRefused):
        fetcher.fetch_if_changed(url, known=Validators("x"))
    with pytest.raises(AddressRefused):
        fetcher.download(url, tmp_path / "x", max_bytes=1000)
    assert set(connected) == {"127.0.0.1"}
    assert len(site.seen) == 3 * hops


def test_a_redirect_to_a_name_that_has_moved_inside_is_not_followed(
    site: LocalSite, connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, ["127.0.0.1"], ["192.168.0.1"])
    site.page("/", status=302, Location=f"http://inside.example:{site.port}/secret", Connection="close")
    with pytest.raises(AddressRefused):
        fetcher.fetch(site.url("/"))
    assert connected == ["127.0.0.1"]


# --- This machine's own addresses ---------------------------------------------------------------------


def test_it_knows_this_machines_addresses() -> None:
    assert ssrf_guard._is_own(ip_address("127.0.0.1"))
    assert not ssrf_guard._is_own(ip_address("8.8.8.8"))
    given = [one.address for each in psutil.net_if_addrs().values() for one in each if one.family == socket.AF_INET]
    assert [address for address in given if not ssrf_guard._is_own(ip_address(address))] == []


def test_this_machines_public_address_is_as_private_as_the_others(
    connected: list[str], monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    answers(monkeypatch, ["200.1.1.1"])
    monkeypatch.setattr(ssrf_guard, "_is_own", lambda ip: str(ip) == "200.1.1.1")
    with pytest.raises(AddressRefused, match="own addresses"):
        fetcher.fetch("http://docs.example/")
    assert connected == []
    settings.FETCH_PRIVATE_NETWORKS = ["200.1.1.1/32"]
    with pytest.raises(FetchFailed, match="Connection refused"):
        fetcher.fetch("http://docs.example/")
    assert connected == ["200.1.1.1"]
