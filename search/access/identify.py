"""A request -> the ``Caller`` behind it: a key, a signed-in user, or nobody in particular.

A key counts alone: the session beside it is not looked at, and a key that is wrong, expired or revoked is refused, not
taken for nobody. Sessions give no scope "admin": a browser sends its cookies with requests that other sites make.
Raises AccessRefused. Runs queries; asynchronous code calls it through ``sync_to_async``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db.models import Q
from django.http import HttpRequest

from ingestion.models import Source, SourceReader
from ragproject.clients import client_of
from search.access.caller import ADMIN, ASK, SEARCH, Caller
from search.access.keys import find_key
from search.exceptions import AccessRefused
from search.models import ApiKey

# The doors, each of which may be closed to callers that are nobody in particular (ANONYMOUS_ACCESS).
INTERFACES = ("page", "api", "mcp", "openai")
READING = frozenset({SEARCH, ASK})


def identify(request: HttpRequest, interface: str) -> Caller:
    """Return the caller that sent a Django request: by its key, its session or its address. Raises AccessRefused."""
    return caller_of(
        presented_key(request.headers),
        address=client_of(request),
        interface=interface,
        user=getattr(request, "user", None),
    )


def caller_of(
    key: str, *, address: str, interface: str, user: AbstractBaseUser | AnonymousUser | None = None
) -> Caller:
    """Return the caller that ``key`` belongs to; without a key, the user who is signed in, else an anonymous caller.

    Raises AccessRefused for a key that is not valid, and for an anonymous caller where ANONYMOUS_ACCESS does not name
    the interface.
    """
    if key:
        return of_key(find_key(key), address)
    if isinstance(user, User) and user.is_active:
        return Caller(f"user {user.pk}", address, READING, visible_to_user(user))
    if interface not in settings.ANONYMOUS_ACCESS:
        raise AccessRefused("This needs a key: send it as “Authorization: Bearer rag_…”.")
    return Caller(address, address, READING, visible_to_groups(()))


def presented_key(headers: Mapping[str, str]) -> str:
    """Return the key in the headers, empty where there is none. Names of ``headers`` are case-insensitive.

    Raises AccessRefused for two different keys: which of them counts must not depend on who reads the request.
    """
    scheme, _, credentials = headers.get("Authorization", "").strip().partition(" ")
    found = {headers.get("X-API-Key", "").strip(), credentials.strip() if scheme.lower() == "bearer" else ""} - {""}
    if len(found) > 1:
        raise AccessRefused("The request has two different keys. Send one.")
    return found.pop() if found else ""


def of_key(key: ApiKey, address: str) -> Caller:
    """Return the caller that a key stands for; it sees the sources that the key is limited to.

    A key that is not limited sees all sources if it has the scope "admin", else those that are open to everybody.
    """
    scopes = frozenset(key.scopes())
    if key.limited:
        sources: frozenset[int] | None = frozenset(key.sources.values_list("id", flat=True))
    else:
        sources = None if ADMIN in scopes else visible_to_groups(())
    return Caller(f"key {key.pk}", address, scopes, sources, key.search_limit, key.ask_limit)


def visible_to_user(user: User) -> frozenset[int] | None:
    """Return the ids of the sources a user may see, or None for all of them.

    Staff who may view sources in the admin see all, others what ``visible_to_groups`` returns for their groups.
    """
    if user.has_perm("ingestion.view_source"):
        return None
    return visible_to_groups(user.groups.values_list("id", flat=True))


def visible_to_groups(groups: Iterable[int]) -> frozenset[int] | None:
    """Return the ids of the sources that members of these groups may see, or None for all of them.

    Everybody sees a source that is not restricted to groups (``Source.readers``); where none is restricted, the result
    is None.
    """
    if not SourceReader.objects.exists():
        return None
    readable = Source.objects.filter(Q(readers=None) | Q(readers__in=groups))
    return frozenset(readable.values_list("id", flat=True))
