"""Django's middleware in the event loop, as far as it touches nothing but memory.

In an asynchronous process Django calls each method of a middleware in the request's thread: fifteen changes of thread
for every request, each of which waits for the interpreter when many requests come at once. These classes change nothing
else. Sessions and messages are stored at the end of a request that used them, and that is done in the thread. A method
that asked the database in the loop would raise SynchronousOnlyOperation.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from csp.middleware import CSPMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware


class InLoop:
    """Goes before a class of Django's and calls its methods where they stand."""

    get_response: Any

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request in an asynchronous process."""
        before, after = getattr(self, "process_request", None), getattr(self, "process_response", None)
        response: HttpResponseBase = (before(request) if before else None) or await self.get_response(request)
        if after and self.stores(request):
            response = await sync_to_async(after)(request, response)
        elif after:
            response = after(request, response)
        return response

    def stores(self, request: HttpRequest) -> bool:
        """Return whether the end of this request may write to the database."""
        return False


class Security(InLoop, SecurityMiddleware):
    """HTTPS and the headers that go with it."""


class ContentSecurityPolicy(InLoop, CSPMiddleware):
    """The policy's header."""


class Sessions(InLoop, SessionMiddleware):
    """Sessions, read on first use."""

    def stores(self, request: HttpRequest) -> bool:
        """Return whether the session was read or changed."""
        return bool(request.session.accessed or request.session.modified)


class Common(InLoop, CommonMiddleware):
    """Hosts, slashes and lengths."""


class Csrf(InLoop, CsrfViewMiddleware):
    """Forms that come from elsewhere; its secret is in a cookie."""


class Authentication(InLoop, AuthenticationMiddleware):
    """The user, looked up on first use."""


class Messages(InLoop, MessageMiddleware):
    """Messages to staff, which are kept for the next page in a cookie or the session."""

    def stores(self, request: HttpRequest) -> bool:
        """Return whether messages were read or added."""
        kept: Any = getattr(request, "_messages", None)
        return kept is not None and bool(kept.used or kept.added_new)


class XFrameOptions(InLoop, XFrameOptionsMiddleware):
    """Who may show a page in a frame."""
