"""The HTTP session that the fetcher uses: checked by ``ssrf_guard``, and bounded by one deadline.

``session()`` returns a session of ``requests`` that checks every connection, new or kept, before it is used. Inside
``with Deadline(url, seconds)`` look-ups and connecting take no longer than is left, all connections of this context are
shut down when the time is over, and the outcome becomes FetchFailed. Only ``fetcher`` imports this.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextvars import ContextVar, Token
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from ssl import SSLContext
from types import TracebackType
from typing import Any

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from ingestion.exceptions import FetchFailed
from ingestion.fetching import ssrf_guard


class Deadline:
    """The time limit of one fetch, which shuts the fetch's connections down when the time is over.

    The time-outs of ``requests`` bound a single read, so that a server which sends a byte a second holds a worker for
    hours. A connection that is shut down in the middle of the headers looks like an empty page; therefore the outcome
    is replaced by FetchFailed, whatever it was.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._expired = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(self._seconds, self._expire)
        self._timer.daemon = True
        self._token: Token[Deadline | None] | None = None

    def __enter__(self) -> Deadline:
        self._token = _deadline.set(self)
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._token is not None:
            _deadline.reset(self._token)
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()
        self.raise_if_over()

    def raise_if_over(self) -> None:
        """Raise FetchFailed when the time is over."""
        if self._expired:
            raise FetchFailed(f"{self._url} took longer than {self._seconds:g} s; it will be tried again")

    def left(self) -> float:
        """Return how many seconds are left."""
        return max(0.0, self._end - time.monotonic())

    def watch(self, sock: socket.socket) -> None:
        """Shut ``sock`` down, too, when the time is over.

        Keep a duplicate of its descriptor: the original is detached when TLS wraps it, and a closed descriptor's number
        may belong to another connection by the time the timer fires.
        """
        with self._lock:
            self._sockets.append(socket.socket(fileno=os.dup(sock.fileno())))
            if self._expired:
                self._shut_down()

    def _expire(self) -> None:
        """Note that the time is over, and shut down all connections of the fetch. The timer's thread runs it."""
        with self._lock:
            self._expired = True
            self._shut_down()

    def _shut_down(self) -> None:
        """Shut down all watched connections, for reading and writing. Whoever calls it holds the lock."""
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:  # the server closed it first
                continue


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def _watch(sock: socket.socket) -> None:
    """Let the deadline of this context shut ``sock`` down when its time is over; without one, do nothing."""
    if deadline := _deadline.get():
        deadline.watch(sock)


# --- A session of requests that uses checked connections ------------------------------------------------


class _GuardedConnection(HTTPConnection):
    """A connection that ``ssrf_guard`` makes, and checks again each time it is used again."""

    def _new_conn(self) -> socket.socket:
        """Return a new socket that ``ssrf_guard`` has connected, watched by the deadline of this context.

        Connecting takes no longer than is left of the deadline, or FETCH_TIMEOUT_SECONDS without one. Raise
        AddressRefused when the host may not be connected to, FetchFailed when it does not answer.
        """
        deadline = _deadline.get()
        seconds = deadline.left() if deadline else float(settings.FETCH_TIMEOUT_SECONDS)
        sock = ssrf_guard.connect(self._dns_host, self.port, timeout=seconds)
        _watch(sock)
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            ssrf_guard.check_address(self.sock.getpeername()[0], self.port)
            _watch(self.sock)
        super().request(*args, **kwargs)


class _GuardedTLSConnection(_GuardedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTLSConnection


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, context: SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None, as if there were no redirects: ``fetcher`` follows them.

        Otherwise ``requests`` would prepare the next request even though it is told not to send it, and read and unpack
        the whole body of the redirect for that.
        """


def session() -> requests.Session:
    """Return the process's session, without cookies, and without the proxies and netrc of the environment."""
    return _session(settings.FETCH_CA_BUNDLE)


@cache
def _session(ca_bundle: str) -> requests.Session:
    """Return the process's session for this file of certificate authorities, or for the public ones alone ("").

    It keeps no cookies, and every connection is guarded. Raise OSError when the file cannot be read.
    """
    guarded = _Session()
    guarded.trust_env = False
    guarded.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _GuardedAdapter(_ssl_context(ca_bundle))
    guarded.mount("http://", adapter)
    guarded.mount("https://", adapter)
    return guarded


def _ssl_context(ca_bundle: str) -> SSLContext:
    """Return a context that trusts the operator's own authorities; ``requests`` adds the public ones itself."""
    context = create_urllib3_context()
    if ca_bundle:
        context.load_verify_locations(cafile=ca_bundle)
    return context
