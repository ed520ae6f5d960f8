"""A language model's server that answers as a test scripts it, byte for byte, one reply for each request.

``stream`` makes the body of a stream of events from pieces of text, ``event`` that of one chunk.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.search_services import served


@dataclass(frozen=True)
class Reply:
    """What the server sends: a status, headers, and a body in parts with a pause before each."""

    body: bytes | list[bytes] = b""
    status: int = 200
    content_type: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0
    stays_open: bool = False


@dataclass
class ScriptedModel:
    """``replies`` in the order of the requests, the last one for all further ones; ``listing`` answers /models."""

    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    listing: Any = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    closed_by_client: threading.Event = field(default_factory=threading.Event)

    def say(self, *pieces: str, finish: str | None = "stop", done: bool = True) -> None:
        self.replies = [Reply(stream(*pieces, finish=finish, done=done))]

    def reply(self) -> Reply:
        return self.replies[min(len(self.requests), len(self.replies)) - 1]


def event(delta: Any, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return data(json.dumps({"id": "1", "object": "chat.completion.chunk", "choices": [choice], **more}))


def data(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


def stream(*pieces: str, finish: str | None = "stop", done: bool = True) -> bytes:
    said = b"".join(event({"content": piece}) for piece in pieces)
    return said + (event({}, finish) if finish is not None else b"") + (data("[DONE]") if done else b"")


def refusal(status: int, message: str, **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message}}).encode()
    return Reply(body, status, "application/json", {name.replace("_", "-"): value for name, value in headers.items()})


@contextmanager
def scripted_model() -> Iterator[ScriptedModel]:
    state = ScriptedModel()
    with served(handler_of(state)) as state.url:
        try:
            yield state
        finally:
            state.closed_by_client.set()


def handler_of(state: ScriptedModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.answer(Reply(json.dumps(state.listing).encode(), 200 if state.listing else 404, "application/json"))

        def do_POST(self) -> None:
            state.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(state.reply())

        def answer(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in {"Content-Type": reply.content_type, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for part in [reply.body] if isinstance(reply.body, bytes) else reply.body:
                    time.sleep(reply.pause)
                    self.wfile.write(part)
                    self.wfile.flush()
                if reply.stays_open:
                    self.connection.settimeout(60)
                    self.rfile.read(1)
                    state.closed_by_client.set()
            except OSError:
                state.closed_by_client.set()

    return Handler
