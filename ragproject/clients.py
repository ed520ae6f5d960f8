"""A request's network address -> the client that it counts for, and how much each client uses at once.

A client with one IPv6 address has 2^64 of them, the network that a provider assigns, so IPv6 counts by its /64. The
address is the connection's own; that of ``X-Forwarded-For`` has replaced it only where the connection came from one of
TRUSTED_PROXIES (``asgi``).
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, IPv6Network, ip_address

from django.http import HttpRequest

# A connection without an address, such as one over a Unix socket.
LOCAL = "127.0.0.1"
IPV6_PREFIX = 64


def client_of(request: HttpRequest) -> str:
    """Return the name that a request's sender is counted under: its IPv4 address or the start of its IPv6 network."""
    return client_at(request.META.get("REMOTE_ADDR", ""))


def client_at(address: str) -> str:
    """Return the name that ``address`` is counted under: the address, or the first of its IPv6 network.

    Text that is no address counts as this machine.
    """
    try:
        read = ip_address(address)
    except ValueError:
        return LOCAL
    if not isinstance(read, IPv6Address):
        return str(read)
    if read.ipv4_mapped:
        return str(read.ipv4_mapped)
    return str(IPv6Network((int(read), IPV6_PREFIX), strict=False).network_address)


class Slots:
    """A limit on what clients use at once: at most ``per_client`` slots each, and ``total`` over all clients."""

    def __init__(self, per_client: int, total: int) -> None:
        self.per_client = per_client
        self.total = total
        self.held: Counter[str] = Counter()

    def take(self, client: str) -> bool:
        """Take a slot for the client; return whether one was left."""
        if self.held.get(client, 0) >= self.per_client or self.held.total() >= self.total:
            return False
        self.held[client] += 1
        return True

    def give_back(self, client: str) -> None:
        """Give a slot back that ``take`` took; a client without slots is forgotten."""
        self.held[client] -= 1
        if not self.held[client]:
            del self.held[client]
