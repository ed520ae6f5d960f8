"""A real HTTP server on loopback whose pages a test writes as functions."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext, SSLError
from types import TracebackType
from typing import NamedTuple

Answer = Callable[["Handler"], None]


class Seen(NamedTuple):
    path: str
    headers: Mapping[str, str]
    client: tuple[str, int]
    at: float = 0.0
    body: bytes = b""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append(Seen(self.path, dict(self.headers), self.client_address, time.monotonic(), body))
        answer = self.server.pages.get(self.path, _no_such_page)
        try:
            answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def reply(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.start(status, **({"Content_Length": str(len(body))} | headers))
        self.wfile.write(body)

    def start(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Type": "text/html"} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def drip(self, data: bytes) -> None:
        """A byte every tenth of a second, until all is sent or the test is over."""
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.server.stopping.wait(0.1):
                return

    def log_message(self, format: str, *args: object) -> None:
        pass


def _no_such_page(handler: Handler) -> None:
    handler.reply(404, b"no such page")


class Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, tls: SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.pages: dict[str, Answer] = {}
        self.seen: list[Seen] = []
        self.stopping = threading.Event()
        self.accepted: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        self.accepted.append(connection)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away in the middle are what these tests are about."""
        if not isinstance(sys.exception(), ConnectionError | SSLError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def hang_up(self) -> None:
        for connection in self.accepted:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # closed already
                continue


class LocalSite:
    """``with LocalSite() as site: site.page("/a", b"...")``; ``site.url("/a")`` is its address."""

    def __init__(self, tls: SSLContext | None = None) -> None:
        self._scheme = "https" if tls else "http"
        self._server = Server(tls)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> LocalSite:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_port

    def url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"

    def page(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> str:
        return self.answer(path, lambda handler: handler.reply(status, body, **headers))

    def answer(self, path: str, answer: Answer) -> str:
        self._server.pages[path] = answer
        return self.url(path)

    @property
    def seen(self) -> list[Seen]:
        return self._server.seen

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self._server.seen]
