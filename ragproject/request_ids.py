"""ASGI middleware: every request has an id, which its log records carry and its response tells (X-Request-ID)."""

from __future__ import annotations

import uuid

from ragproject.logs import log_ids
from ragproject.request_limits import Application, Message, Receive, Scope, Send


class RequestIds:
    """The application, with an id of our own for each request: what a client sends would be in our logs."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        name = uuid.uuid4().hex

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-request-id", name.encode())]}
            await send(message)

        with log_ids(request=name):
            await self.application(scope, receive, named)
