"""/mcp: the ASGI application that serves the tools over HTTP ("streamable HTTP").

It stands beside Django, whose views cannot stream both ways, and does what Django does for the others: the Host must
be one of ALLOWED_HOSTS and pages of other sites are refused (421 and 403, against DNS rebinding), who asks is told by
the key (401), and connections to the database are closed after each request. No session is kept, so that only POST is
served: a stream that the client would open with GET could never carry anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from ragproject.connections import give_back
from ragproject.request_limits import BODY_BYTES
from search.access.identify import identify
from search.api.links import site_address
from search.api.mcp_server.asking import KEY, Asking
from search.exceptions import FAILURES, headers_of, public_message, status_of
from search.origins import from_another_site

# JSON-RPC's "invalid request": these answers come before a message is read, so that they name none.
INVALID_REQUEST = -32600


class McpEndpoint:
    """The application; ``lifespan`` is to be entered by the server that runs it."""

    def __init__(self) -> None:
        self._serve: Any = None

    @asynccontextmanager
    async def lifespan(self, application: object) -> AsyncIterator[None]:
        """Serve requests until the server ends."""
        from mcp.server.transport_security import TransportSecuritySettings

        from search.api.mcp_server.server import build

        server = build()
        # The Host is checked here, by ALLOWED_HOSTS.
        unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        server.streamable_http_app(stateless_http=True, transport_security=unchecked, max_request_body_size=BODY_BYTES)
        async with server.session_manager.run():
            self._serve = server.session_manager.handle_request
            yield
        self._serve = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        async with ThreadSensitiveContext():
            try:
                refusal = await self.refusal(scope)
                await (refusal or self._serve)(scope, receive, send)
            finally:
                await give_back()

    async def refusal(self, scope: Scope) -> JSONResponse | None:
        """Return the response to a request that is not served; else note in the scope who asks."""
        if not self._serve:
            return refused("The web server was started without its lifespan; start it with --lifespan on.", 503)
        request = ASGIRequest(scope, BytesIO())
        try:
            request.get_host()
        except DisallowedHost:
            return refused("This site is not called by that name; ALLOWED_HOSTS lists its names.", 421)
        if settings.SECURE_SSL_REDIRECT and not request.is_secure():
            return refused("Use https.", 403)  # a redirect would have the client send its key once more in the clear
        if request.method != "POST":
            return refused("Use POST here.", 405, {"Allow": "POST"})
        if from_another_site(request):
            return refused("Pages of other sites may not ask.", 403)
        try:
            caller = await sync_to_async(identify)(request, "mcp")
        except FAILURES as error:
            return refused(public_message(error), status_of(error), headers_of(error))
        scope[KEY] = Asking(caller, site_address(request))
        return None


def refused(message: str, status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error of JSON-RPC that belongs to no message."""
    error = {"code": INVALID_REQUEST, "message": message}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status, headers)


endpoint = McpEndpoint()
