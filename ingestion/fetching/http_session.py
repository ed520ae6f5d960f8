"""The connections that the fetcher uses: judged by ``netguard``, and ended by one deadline.

``session()`` is a requests session whose every connection, fresh or kept, is judged before it is used.
Inside ``with Deadline(url, seconds)`` look-ups and connecting take no longer than is left, all connections of
this context are shut down when the time is up, and the outcome becomes FetchFailed. Only ``fetcher`` imports
this.
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
    """Ends one fetch when its time is up, by shutting its connections down.

    The time-outs of ``requests`` bound a single read, so that a server which drips a byte a second holds a
    worker for hours. A connection shut down in the middle of the headers looks like an empty page, so
    the outcome is replaced, whatever it was.
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
            self._close_twins()
        self.judge()

    def judge(self) -> None:
        """Raise FetchFailed when the time is up."""
        if self._expired:
            raise FetchFailed(f"{self._url} took longer than {self._seconds:g} s; it will be tried again")

    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def watch(self, sock: socket.socket) -> None:
        """Remember a twin of ``sock``: the original is detached when TLS wraps it, and a closed
        file number may be another connection's by the time the timer fires."""
        with self._lock:
            self._sockets.append(socket.socket(fileno=os.dup(sock.fileno())))
            if self._expired:
                self._shut_down()

    def _expire(self) -> None:
        with self._lock:
            self._expired = True
            self._shut_down()

    def _shut_down(self) -> None:
        for twin in self._sockets:
            try:
                twin.shutdown(socket.SHUT_RDWR)
            except OSError:  # the server was first
                continue

    def _close_twins(self) -> None:
        while self._sockets:
            self._sockets.pop().close()


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def _seconds_left() -> float:
    deadline = _deadline.get()
    return deadline.left() if deadline else float(settings.FETCH_TIMEOUT_SECONDS)


def _watch(sock: socket.socket) -> None:
    if deadline := _deadline.get():
        deadline.watch(sock)


# --- requests, with our connections in it ---------------------------------------------------------------


class _GuardedConnection(HTTPConnection):
    """Connects through netguard, and judges a kept connection again before it is used again."""

    def _new_conn(self) -> socket.socket:
        sock = ssrf_guard.connect(self._dns_host, self.port, timeout=_seconds_left())
        _watch(sock)
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            ssrf_guard.judge(self.sock.getpeername()[0], self.port)
            _watch(self.sock)
        super().request(*args, **kwargs)


class _GuardedTLSConnection(_GuardedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTLSConnection


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, trusted: SSLContext) -> None:
        self._trusted = trusted
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._trusted)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nothing to follow: ``requests`` prepares the next request even when it is told not to send it, and
        reads and unpacks the whole body of the redirect for that."""


def session() -> requests.Session:
    """One per process. Without cookies, and deaf to proxies and netrc of the environment."""
    return _session(settings.FETCH_CA_BUNDLE)


@cache
def _session(ca_bundle: str) -> requests.Session:
    guarded = _Session()
    guarded.trust_env = False
    guarded.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _GuardedAdapter(_trusting(ca_bundle))
    guarded.mount("http://", adapter)
    guarded.mount("https://", adapter)
    return guarded


def _trusting(ca_bundle: str) -> SSLContext:
    """``requests`` adds the public authorities itself; an operator's own stand beside them."""
    context = create_urllib3_context()
    if ca_bundle:
        context.load_verify_locations(cafile=ca_bundle)
    return context
