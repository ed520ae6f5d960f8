"""Protection against server-side request forgery: decides which addresses may be connected to, and connects.

In: an address with a port, or a host name. Out: nothing or a connected socket; AddressRefused, or FetchFailed when no
address answers. Every connection to the outside comes through here.

Public addresses on ``FETCH_PORTS`` are allowed. Networks in ``FETCH_PRIVATE_NETWORKS``, the operator's allow-list, are
allowed on any port, because intranets serve documentation on odd ones; link-local addresses, cloud metadata services
and multicast are never allowed. This machine's own addresses count as private, whatever they are. Of an IPv6 address
that carries an IPv4 address, both are checked.

``connect`` resolves a name once, checks every address that it got and connects to one of those very addresses, so that
a second answer of the resolver cannot lead elsewhere. Messages name the class of a refused address and never the
address itself, which would let a reader map the inner network.
"""

from __future__ import annotations

import os
import socket
import time
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings

from ingestion.exceptions import AddressRefused, FetchFailed
from ingestion.fetching import dns

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Not even the operator's list allows these: they hand credentials to whoever runs on the machine.
METADATA_NETWORKS = (
    ip_network("169.254.0.0/16"),  # link-local, with the metadata service of most clouds
    ip_network("fe80::/10"),
    ip_network("fd00:ec2::/32"),  # AWS over IPv6
    ip_network("100.100.100.200/32"),  # Alibaba Cloud
    ip_network("168.63.129.16/32"),  # Azure; looks public
    ip_network("192.0.0.192/32"),  # Oracle Cloud, first generation
)
# The only IPv6 ranges with hosts of the public internet (RFC 4291, RFC 6052). This leaves out site-local
# fec0::/10, the local NAT64 prefix 64:ff9b:1::/48 and whatever is not assigned yet, all of which
# ``is_global`` of Python 3.11 lets through.
PUBLIC_IPV6 = (ip_network("2000::/3"), ip_network("64:ff9b::/96"))
# Special-purpose ranges that ``is_global`` calls public in some supported versions of Python.
SPECIAL_NETWORKS = (
    ip_network("192.0.0.0/24"),
    ip_network("192.88.99.0/24"),
    ip_network("2001:db8::/32"),
    ip_network("3fff::/20"),
)
# An IPv4 address in the last 32 bits: IPv4-compatible, IPv4-translated, NAT64.
IPV4_TAILS = (ip_network("::/96"), ip_network("::ffff:0:0:0/96"), ip_network("64:ff9b::/96"))


def check_address(address: str, port: int) -> None:
    """Raise AddressRefused unless a connection to the IP address ``address`` on ``port`` is allowed."""
    ip = ip_address(address.partition("%")[0])  # "fe80::1%eth0" ends in a zone
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped  # ::ffff:10.0.0.1 is a way of writing 10.0.0.1, which is where the packets go
    # An IPv6 address may carry IPv4 addresses that a gateway forwards to.
    embedded: list[IPv4Address | None] = []
    if isinstance(ip, IPv6Address):
        embedded = [ip.sixtofour, *(ip.teredo or ())]
        if any(ip in network for network in IPV4_TAILS):
            embedded.append(IPv4Address(int(ip) & 0xFFFFFFFF))
    for each in (ip, *(carried for carried in embedded if carried is not None)):
        if any(each in network for network in METADATA_NETWORKS):
            raise AddressRefused("link-local addresses and cloud metadata services are never fetched")
        if each.is_multicast:
            raise AddressRefused("multicast addresses are never fetched")
        if _is_listed(each):
            continue
        if not _is_public(each):
            kind = (
                "loopback" if each.is_loopback or each.is_unspecified else "private" if each.is_private else "reserved"
            )
            raise AddressRefused(
                f"{kind} addresses are refused; an operator can allow networks in FETCH_PRIVATE_NETWORKS"
            )
        if _is_own(each):
            raise AddressRefused("this machine's own addresses are refused; allow them in FETCH_PRIVATE_NETWORKS")
    if port not in settings.FETCH_PORTS and not _is_listed(ip):
        raise AddressRefused(f"port {port} is not one of FETCH_PORTS ({', '.join(map(str, settings.FETCH_PORTS))})")


def connect(host: str, port: int, *, timeout: float) -> socket.socket:
    """Return a socket that is connected to an allowed address of ``host``.

    Raise AddressRefused when any of its addresses is not allowed, FetchFailed when none answers within ``timeout``
    seconds.
    """
    end = time.monotonic() + timeout
    resolved = dns.resolve(host, port, timeout=timeout)
    for *_, target in resolved:
        try:
            check_address(str(target[0]), port)
        except AddressRefused as refusal:
            raise AddressRefused(f"{host}: {refusal}") from None
    failure = OSError("no address answered")
    # In the resolver's order; a silent address leaves time for those after it.
    for left, (family, kind, protocol, _, target) in zip(range(len(resolved), 0, -1), resolved, strict=True):
        try:
            return _open(family, kind, protocol, target, timeout=max(0.1, (end - time.monotonic()) / left))
        except OSError as error:
            failure = error
    reason = os.strerror(failure.errno) if failure.errno else str(failure)
    raise FetchFailed(f"{host}: no connection ({reason})") from failure


def _is_public(ip: Address) -> bool:
    """Return whether an address belongs to the public internet; reserved and unassigned ranges do not."""
    if any(ip in network for network in SPECIAL_NETWORKS):
        return False
    return ip.is_global and (ip.version == 4 or any(ip in network for network in PUBLIC_IPV6))


def _is_own(ip: Address) -> bool:
    """Return whether ``ip`` belongs to this machine: the kernel would then send from that address. Nothing is sent."""
    try:
        with socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((str(ip), 9))
            return ip_address(probe.getsockname()[0]) == ip
    except OSError:  # no route
        return False


def _is_listed(ip: Address) -> bool:
    """Return whether an address lies in one of the networks in FETCH_PRIVATE_NETWORKS."""
    return any(ip in network for network in _networks(tuple(settings.FETCH_PRIVATE_NETWORKS)))


@cache
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Return the networks that texts such as "10.0.0.0/8" name. Raise ValueError for one that is no network."""
    return tuple(ip_network(text, strict=False) for text in texts)


def _open(family: int, kind: int, protocol: int, target: tuple[object, ...], *, timeout: float) -> socket.socket:
    """Return a new socket connected to ``target``. Raise OSError when that fails or takes over ``timeout`` seconds.

    The socket keeps this time-out for what is read and written later.
    """
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(target)
    except BaseException:
        sock.close()
        raise
    return sock
