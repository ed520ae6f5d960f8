"""ASGI middleware: how many requests a client may have open, and how large their bodies may be.

Every open request holds a thread, possibly a connection to the database, a search in Milvus or a stream from the
language model, so this one count bounds them all. Django would store a body on disk, whatever its size, before any
view sees the request. Refuses with 503 and 413, as ``{"error": sentence}``.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ragproject.clients import Slots, client_at

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# A question of 2 000 characters is 12 KB as JSON where every character is escaped.
API_BODY_BYTES = 64 * 1024
# Fields around uploaded files.
FORM_BYTES = 1024 * 1024
# So much of a body that is too large is read and thrown away: a client that is still sending when the connection closes
# never sees the answer.
DISCARDED_BYTES = 16 * 1024 * 1024
RETRY_SECONDS = 1


class RequestLimits:
    """Stands before the application; ``upload_bytes`` bounds the bodies of everything but the API."""

    def __init__(self, application: Application, slots: Slots, upload_bytes: int) -> None:
        self.application = application
        self.slots = slots
        self.upload_bytes = upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        client = client_at(scope["client"][0] if scope.get("client") else "")
        if not self.slots.take(client):
            sentence = "Too many requests are open, from your network or in all. Try again in a moment."
            await refuse(send, 503, sentence, RETRY_SECONDS)
            return
        try:
            await self.bounded(scope, receive, send)
        finally:
            self.slots.give_back(client)

    async def bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; end its body, and answer 413, where it grows too large."""
        api = scope["path"].startswith("/api/")
        limit = API_BODY_BYTES if api else self.upload_bytes + FORM_BYTES
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        received, answered = int(declared) if declared.isdigit() else 0, False
        too_large = received > limit
        if too_large and headers.get(b"expect", b"").lower() != b"100-continue":
            await discard(receive)

        async def counted() -> Message:
            nonlocal received, too_large
            message = await receive()
            read_bytes = len(message.get("body", b""))
            received = received + read_bytes
            if received <= limit:
                return message
            too_large = True
            if message.get("more_body"):
                await discard(receive)
            return {"type": "http.disconnect"}

        async def watched(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        if not too_large:
            received = 0
            await self.application(scope, counted, watched)
        if too_large and not answered:
            await refuse(send, 413, f"The body is larger than {limit} bytes. Send less.")


async def discard(receive: Receive) -> None:
    """Read the rest of a body, up to DISCARDED_BYTES."""
    left = DISCARDED_BYTES
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return


async def refuse(send: Send, status: int, sentence: str, retry_after: int = 0) -> None:
    """Answer with ``{"error": sentence}``."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if retry_after:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": sentence}).encode()})
