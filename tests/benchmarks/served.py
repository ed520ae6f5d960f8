"""Websites on loopback for benchmarks: a folder of HTML that can change between runs, or pages made on request."""

from __future__ import annotations

import hashlib
import mimetypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Read = Callable[[str], bytes | None]


class Site:
    """What is served: ``read(path)`` gives a page or None; the switches and counters are for the benchmark."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self.etags = True
        self.edited: dict[str, bytes] = {}
        self.gone: set[str] = set()
        self.requests = self.not_modified = 0

    def page(self, path: str) -> bytes | None:
        return None if path in self.gone else self.edited.get(path) or self.read(path)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Workers drop kept connections when they end; that is no news."""


def folder(root: Path) -> Read:
    def read(path: str) -> bytes | None:
        file = root / (path.strip("/") or "index.html")
        file = file / "index.html" if file.is_dir() else file
        return file.read_bytes() if file.is_file() and file.resolve().is_relative_to(root.resolve()) else None

    return read


@contextmanager
def served(site: Site) -> Iterator[str]:
    """The site's address while it is served."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            site.requests += 1
            body = site.page(self.path)
            etag = f'"{hashlib.blake2b(body or b"", digest_size=8).hexdigest()}"'
            if body and site.etags and self.headers.get("If-None-Match") == etag:
                site.not_modified += 1
                self.answer(304, b"", etag)
            else:
                self.answer(200 if body else 404, body or b"not here", etag if body and site.etags else "")

        def answer(self, status: int, body: bytes, etag: str) -> None:
            self.send_response(status)
            if etag:
                self.send_header("ETag", etag)
            self.send_header("Content-Type", mimetypes.guess_type(self.path)[0] or "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
