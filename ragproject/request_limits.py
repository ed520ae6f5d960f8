"""ASGI middleware: how many requests a client may have open, and how large their bodies may be.

Every open request holds a thread, possibly a connection to the database, a search in Milvus or a stream from the
language model, so this one count bounds them all. Django would store a body on disk, whatever its size, before any
view sees the request; only whoever may upload files sends as much. A client that neither sends nor reads loses its slot
after a while. Refuses with 503, 413 and 408, and once more whom a view has just refused (``refusals``), as problems
(RFC 9457).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from ragproject.clients import Slots, client_at
from ragproject.problems import OPENAI_PATHS, PROBLEM_TYPE, id_of_request, problem_at
from ragproject.refusals import SLOWED_SECONDS, Refusals, Sender, sender_of

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# A question of 2 000 characters is 12 KB as JSON where every character is escaped.
BODY_BYTES = 64 * 1024
# A conversation, all of which its client sends with every question.
CONVERSATION_BYTES = 1024 * 1024
# A form of the admin, or the fields around uploaded files.
FORM_BYTES = 1024 * 1024
UPLOAD_PATHS = re.compile(r"/admin/ingestion/source/(add|[^/]+/change)/")
# So much of a body that is too large is read and thrown away: a client that is still sending when the connection closes
# never sees the answer.
DISCARDED_BYTES = 16 * 1024 * 1024
RETRY_SECONDS = 1
# A body may take this long, and longer by the second for every BODY_RATE bytes of it: a slow mobile connection is ten
# times as fast.
BODY_SECONDS, BODY_RATE = 30.0, 10_000
# How long a response is kept for a client that reads nothing, once the buffers between are full.
READ_SECONDS = 60.0
REFUSALS = {
    408: "The body did not arrive in time. Send it again.",
    413: "The body is larger than {limit} bytes. Send less.",
}


class NotRead(Exception):
    """A response that its client does not read."""


class RequestLimits:
    """The application behind limits; ``upload_bytes`` bounds the files of those whose cookies ``may_upload``."""

    def __init__(
        self,
        application: Application,
        slots: Slots,
        upload_bytes: int,
        may_upload: Callable[[str], Awaitable[bool]],
    ) -> None:
        self.application = application
        self.slots = slots
        self.upload_bytes = upload_bytes
        self.may_upload = may_upload
        self.refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        client = client_at(scope["client"][0] if scope.get("client") else "")
        sender = sender_of(scope, client)
        if told := self.refusals.again(sender, scope["path"]):
            await self.refusals.slow_down(told.delay)
            sentence = f"Too many requests. Try again in {told.seconds_left} s."
            await refuse(send, scope["path"], told.status, sentence, told.seconds_left)
            return
        if not await self.place(client):
            sentence = "Too many requests are open, from your network or in all. Try again in a moment."
            await refuse(send, scope["path"], 503, sentence, RETRY_SECONDS)
            return
        try:
            await self.bounded(scope, receive, send, sender)
        except NotRead:
            return  # the server closes a connection whose response is not complete
        finally:
            self.slots.give_back(client)

    async def place(self, client: str) -> bool:
        """Take a place for the client, with a second try after a moment; return whether it got one."""
        if self.slots.take(client):
            return True
        await self.refusals.slow_down(SLOWED_SECONDS)
        return self.slots.take(client)

    async def body_bytes(self, scope: Scope) -> int:
        """Return how large the request's body may be."""
        path = scope["path"]
        if path.startswith(OPENAI_PATHS):
            return CONVERSATION_BYTES
        if not path.startswith("/admin/"):
            return BODY_BYTES
        if scope["method"] == "POST" and UPLOAD_PATHS.fullmatch(path):
            cookies = b"; ".join(value for name, value in scope["headers"] if name == b"cookie")
            if await self.may_upload(cookies.decode("latin-1")):
                return FORM_BYTES + self.upload_bytes
        return FORM_BYTES

    async def bounded(self, scope: Scope, receive: Receive, send: Send, sender: Sender) -> None:
        """Pass the request on to the application, and bound its body's size and time.

        A body that grows too large is answered with 413, one that does not arrive with 408.
        """
        limit = await self.body_bytes(scope)
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"")
        refusal = 413 if declared.isdigit() and int(declared) > limit else 0
        started, received, complete, answered = time.monotonic(), 0, False, False
        if refusal and headers.get(b"expect", b"").lower() != b"100-continue":
            await discard(receive)

        async def counted() -> Message:
            """Return the request's next message, or a disconnect where its body is too large or late.

            The outer ``refusal`` is then 413 or 408; of a body that is too large the rest is read and thrown away. Once
            the body is complete, wait without a limit.
            """
            nonlocal received, refusal, complete
            if complete:  # the application waits for the client to hang up
                return await receive()
            try:
                left = started + BODY_SECONDS + received / BODY_RATE - time.monotonic()
                async with asyncio.timeout(left):
                    message = await receive()
            except TimeoutError:
                refusal = 408
                return {"type": "http.disconnect"}
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received <= limit:
                return message
            refusal = 413
            if not complete:
                await discard(receive)
            return {"type": "http.disconnect"}

        async def watched(message: Message) -> None:
            """Send a message of the response, and remember a refusal in it.

            Raises NotRead when the message cannot be sent within READ_SECONDS, because the client does not read.
            """
            nonlocal answered
            answered = True
            self.refusals.note(sender, scope["path"], message)
            try:
                async with asyncio.timeout(READ_SECONDS):
                    await send(message)
            except TimeoutError:
                raise NotRead from None

        if not refusal:
            await self.application(scope, counted, watched)
        if refusal and not answered:
            hint = " To upload files, sign in first." if (refusal, limit) == (413, FORM_BYTES) else ""
            await refuse(send, scope["path"], refusal, REFUSALS[refusal].format(limit=limit) + hint)


async def discard(receive: Receive) -> None:
    """Read the rest of a body, up to DISCARDED_BYTES and for BODY_SECONDS."""
    left = DISCARDED_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body"):  # its end, or the client hung up
                    return


async def refuse(send: Send, path: str, status: int, sentence: str, retry_after: int = 0) -> None:
    """Send a response with this status whose body is a problem (JSON by RFC 9457) with the sentence."""
    request_id = id_of_request("")
    body = problem_at(path, status, sentence, request_id)
    headers = [(b"content-type", PROBLEM_TYPE.encode()), (b"cache-control", b"no-store")]
    headers.append((b"x-request-id", request_id.encode()))
    if retry_after:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
