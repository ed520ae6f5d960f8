"""The one way in: who sends a request, whether that caller may do this, and whether it is one request too many.

Every door calls ``admit_request`` (or ``admit``, where a request is not Django's) before anything else. Raises
AccessRefused and LimitReached.
"""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.http import HttpRequest

from search.access import limits
from search.access.caller import ADMIN, Caller
from search.access.identify import identify
from search.exceptions import AccessRefused


def admit(caller: Caller, scope: str) -> Caller:
    """Return the caller after counting its request against the limits of ``scope``.

    The scope "admin" has no limits. Raises AccessRefused where the caller lacks the scope, LimitReached where it asks
    too often.
    """
    if scope not in caller.scopes:
        raise AccessRefused(f"This needs a key with the scope “{scope}”.", 401 if caller.anonymous else 403)
    if scope != ADMIN:
        limits.count(caller, scope)
    return caller


async def admit_request(request: HttpRequest, interface: str, scope: str) -> Caller:
    """Return who sent the request, after counting it against the limits of ``scope``.

    ``interface`` says where the request came in; ANONYMOUS_ACCESS lists those that are open without a key. Raises
    AccessRefused or LimitReached.
    """
    return await sync_to_async(lambda: admit(identify(request, interface), scope))()
