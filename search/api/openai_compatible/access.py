"""Who asks under /v1/.

OpenAI's clients always send a key. The word "none" stands for no key, so that they can be used where no key is needed;
any other key that is not right is refused, here as everywhere.
"""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.http import HttpRequest

from ragproject.clients import client_of
from search.access.admission import admit
from search.access.caller import Caller
from search.access.identify import caller_of, presented_key

NO_KEY = "none"


async def caller_behind(request: HttpRequest) -> Caller:
    """Return who asks. Raises AccessRefused."""
    return await sync_to_async(identified)(request)


async def admitted(request: HttpRequest, scope: str) -> Caller:
    """Return who asks, after counting the request against the limits of ``scope``.

    Raises AccessRefused or LimitReached.
    """
    return await sync_to_async(lambda: admit(identified(request), scope))()


def identified(request: HttpRequest) -> Caller:
    """Return who asks: by its key, its session or, as an anonymous caller, its address. Raises AccessRefused."""
    key = presented_key(request.headers)
    return caller_of("" if key == NO_KEY else key, address=client_of(request), interface="openai", user=request.user)
