"""Ports of this machine for servers that are started later, and perhaps more than once."""

from __future__ import annotations

import socket


def hold_port() -> socket.socket:
    """Return a socket that is bound to a free port of loopback, and keeps it for a server until it is closed.

    A port that is only looked for may be given to an outgoing connection before the server is started. This one is not:
    it is bound. Nobody listens on it, and SO_REUSEADDR, which servers set too, lets the server that it is for listen.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder
