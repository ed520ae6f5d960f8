"""Who may use a route: a key with its scope, or for reading also a session, or nobody in particular.

Out: the ``Caller`` as ``request.auth``. Raises AccessRefused and LimitReached before anything of the request is read.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja.security import HttpBearer

from search.access.admission import admit_request
from search.access.caller import Caller
from search.access.identify import presented_key
from search.exceptions import AccessRefused
from search.origins import from_another_site


class Door(HttpBearer):
    """The way in for callers with ``scope``."""

    openapi_description = "An API key, `rag_…`. X-API-Key is read, too."

    def __init__(self, scope: str) -> None:
        super().__init__()
        self.scope = scope

    async def __call__(self, request: HttpRequest) -> Caller:
        if request.method == "POST" and not presented_key(request.headers) and from_another_site(request):
            raise AccessRefused("Browsers may ask from this site's own pages only.", 403)
        return await admit_request(request, "api", self.scope)

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        """Raise NotImplementedError: the base class demands this method, but ``__call__`` does all the work."""
        raise NotImplementedError


def caller_of(request: HttpRequest) -> Caller:
    """Return the caller of a request that was admitted."""
    caller = request.auth  # type: ignore[attr-defined]
    assert isinstance(caller, Caller)  # noqa: S101  a route without a door answers nobody
    return caller
