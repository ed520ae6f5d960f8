"""Pages of a folder as a web site on loopback: ``python -m ingestion.benchmarks.site FOLDER [--latency MS]``.

Reads the pages' paths from standard input, prints its address, and serves until it is stopped. ``/sitemap.xml`` names
every page; every answer comes after the latency, which costs no processor time. Pages are read once, at the start, so
that the disk plays no part.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Media types as of a server that knows what it serves: Django's .txt files are reStructuredText.
TYPES = {".txt": "text/x-rst", ".rst": "text/x-rst", ".md": "text/markdown", ".html": "text/html"}


class Site:
    """An ASGI application: bodies by path, each after ``latency`` seconds."""

    def __init__(self, bodies: dict[str, tuple[str, bytes]], latency: float) -> None:
        self.bodies = bodies
        self.latency = latency

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await asyncio.sleep(self.latency)
        kind, body = self.bodies.get(scope["path"], ("text/plain", b""))
        headers = [(b"content-type", f"{kind}; charset=utf-8".encode()), (b"content-length", b"%d" % len(body))]
        status = 200 if scope["path"] in self.bodies else 404
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def bodies(folder: Path, files: Iterable[Path], address: str) -> dict[str, tuple[str, bytes]]:
    """Return media type and body of the pages and of the sitemap that names them, by path."""
    pages = {file: path_of(folder, file) for file in files}
    lines = "".join(f"<url><loc>{address}{path}</loc></url>" for path in pages.values())
    sitemap = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{lines}</urlset>'
    known = {unquote(path): (TYPES[file.suffix], file.read_bytes()) for file, path in pages.items()}
    return {**known, "/sitemap.xml": ("application/xml", sitemap.encode())}


def path_of(folder: Path, file: Path) -> str:
    """Return the path under which the site serves a file."""
    return f"/{quote(file.relative_to(folder).as_posix())}"


def main() -> None:
    """Serve the pages until the process is stopped."""
    import uvicorn  # images that only fetch or embed do not have it

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0, metavar="MS")
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    # asyncio sets it only on sockets that it made itself; without it a body waits 40 ms for the client's ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    site = Site(bodies(options.folder, map(Path, sys.stdin.read().splitlines()), address), options.latency / 1000)
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(site, log_level="warning", access_log=False, lifespan="off")).run([listener])


if __name__ == "__main__":
    main()
