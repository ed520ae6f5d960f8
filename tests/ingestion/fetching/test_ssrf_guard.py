from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from ingestion.exceptions import AddressRefused, FetchFailed
from ingestion.fetching import dns, ssrf_guard

REFUSED = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",  # carrier-grade NAT
    "169.254.169.254",  # cloud metadata
    "168.63.129.16",  # Azure's, which looks public
    "100.100.100.200",  # Alibaba's
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "192.88.99.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%lo",
    "fc00::1",
    "fd00:ec2::254",  # AWS' metadata over IPv6
    "fec0::1",  # site-local
    "ff02::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "4000::1",  # not assigned to anybody
    "::ffff:127.0.0.1",  # mapped
    "::ffff:169.254.169.254",
    "::127.0.0.1",  # compatible
    "::ffff:0:10.0.0.1",  # translated
    "2002:7f00:1::1",  # 6to4
    "2002:a9fe:a9fe::",
    "64:ff9b::10.0.0.1",  # NAT64
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",  # NAT64, local prefix
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo, client 127.0.0.1
    "2001:0:7f00:1:8000:63bf:f7f7:f7f7",  # Teredo, server 127.0.0.1
]
PUBLIC = ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"]


@pytest.fixture(autouse=True)
def defaults(settings: Settings) -> None:
    settings.FETCH_PRIVATE_NETWORKS = []
    settings.FETCH_PORTS = [80, 443]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def resolver(*addresses: str) -> Any:
    """A stand-in for getaddrinfo that always answers with ``addresses``."""

    def resolve(host: str, port: int, *args: object, **kwargs: object) -> list[Any]:
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in a], socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]

    return resolve


def test_a_look_up_whose_thread_does_not_start_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        for _ in range(dns.MAX_LOOKUPS + 1):
            with pytest.raises(FetchFailed, match="no thread can be started"):
                dns.resolve("localhost", 80, timeout=1)
    assert dns.resolve("localhost", 80, timeout=30)


@pytest.mark.parametrize("address", REFUSED)
def test_it_refuses_every_address_that_is_not_public(address: str) -> None:
    with pytest.raises(AddressRefused):
        ssrf_guard.check_address(address, 80)


@pytest.mark.parametrize("address", PUBLIC)
def test_it_lets_public_addresses_pass(address: str) -> None:
    ssrf_guard.check_address(address, 443)


@pytest.mark.parametrize("port", [0, 22, 25, 6379, 8080, 19530])
def test_it_refuses_ports_that_are_not_for_the_web(port: int) -> None:
    with pytest.raises(AddressRefused, match=f"port {port}"):
        ssrf_guard.check_address("8.8.8.8", port)


def test_it_takes_the_list_of_ports_from_the_settings(settings: Settings) -> None:
    settings.FETCH_PORTS = [8443]
    ssrf_guard.check_address("8.8.8.8", 8443)
    with pytest.raises(AddressRefused, match="port 443"):
        ssrf_guard.check_address("8.8.8.8", 443)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd12::5", "64:ff9b::10.1.2.3"])
def test_it_lets_an_allowed_network_pass(settings: Settings, address: str) -> None:
    settings.FETCH_PRIVATE_NETWORKS = ["10.1.0.0/16", "fd12::/16"]
    ssrf_guard.check_address(address, 80)


def test_it_lets_an_allowed_network_pass_on_any_port(settings: Settings) -> None:
    settings.FETCH_PRIVATE_NETWORKS = ["10.1.0.0/16"]
    ssrf_guard.check_address("10.1.2.3", 8080)


def test_an_allowed_network_does_not_open_its_neighbour(settings: Settings) -> None:
    settings.FETCH_PRIVATE_NETWORKS = ["10.1.0.0/16"]
    with pytest.raises(AddressRefused):
        ssrf_guard.check_address("10.2.0.1", 80)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fe80::1",
        "fd00:ec2::254",
        "224.0.0.1",
        "ff02::1",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "2002:a9fe:a9fe::",
        "64:ff9b::169.254.169.254",
    ],
)
def test_no_allowed_network_opens_metadata_or_multicast(settings: Settings, address: str) -> None:
    settings.FETCH_PRIVATE_NETWORKS = ["0.0.0.0/0", "::/0"]
    with pytest.raises(AddressRefused):
        ssrf_guard.check_address(address, 80)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "[::1]", "127.0.0.1", "0"]
)
def test_it_refuses_loopback_however_it_is_spelled(host: str) -> None:
    with pytest.raises(AddressRefused, match="loopback"):
        ssrf_guard.connect(host, 80, timeout=1)


def test_it_connects_to_an_allowed_address(settings: Settings, listener: socket.socket) -> None:
    settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.0/8"]
    with ssrf_guard.connect("127.0.0.1", listener.getsockname()[1], timeout=5) as sock:
        assert sock.getpeername() == listener.getsockname()


def test_one_refused_address_among_good_ones_refuses_the_host(
    settings: Settings, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.1/32"]
    monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.1", "10.0.0.5"))
    with pytest.raises(AddressRefused):
        ssrf_guard.connect("docs.example", listener.getsockname()[1], timeout=5)


def test_it_connects_to_the_very_address_that_it_judged(
    settings: Settings, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.1/32"]
    answers = iter([resolver("127.0.0.1"), resolver("127.0.0.2")])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: next(answers)(*args, **kwargs))
    port = listener.getsockname()[1]
    with ssrf_guard.connect("rebinds.example", port, timeout=5) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"
    with pytest.raises(AddressRefused):  # the second answer is judged anew
        ssrf_guard.connect("rebinds.example", port, timeout=5)


def test_it_goes_on_to_the_next_address_when_one_does_not_answer(
    settings: Settings, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.0/8"]
    monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.9", "127.0.0.1"))
    with ssrf_guard.connect("docs.example", listener.getsockname()[1], timeout=5) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"


def test_the_message_names_the_class_but_never_the_resolved_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver("10.20.30.40"))
    with pytest.raises(AddressRefused) as refusal:
        ssrf_guard.connect("intranet.example", 80, timeout=1)
    assert "intranet.example: private addresses are refused" in str(refusal.value)
    assert "10.20.30.40" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_name_that_does_not_resolve_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(FetchFailed, match=r"docs\.example: the name does not resolve"):
        ssrf_guard.connect("docs.example", 80, timeout=1)


def test_a_closed_port_is_worth_another_try(settings: Settings) -> None:
    settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.1/32"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(FetchFailed, match="Connection refused"):
        ssrf_guard.connect("127.0.0.1", port, timeout=1)


def test_a_label_that_is_too_long_is_no_host_name() -> None:
    with pytest.raises(AddressRefused, match="host name"):
        ssrf_guard.connect("a" * 70 + "é.example", 80, timeout=1)
