"""Who asks: a client by its address."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from ragproject.clients import LOCAL, client_of

SEARCH, ASK = "search", "ask"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; ``name`` is what limits count by."""

    name: str


OPERATOR = Caller(LOCAL)


def identify(request: HttpRequest, interface: str) -> Caller:
    """Return who asks."""
    return Caller(client_of(request))


def admit(caller: Caller, scope: str) -> Caller:
    """Return the caller, if it has the scope."""
    return caller


async def admit_request(request: HttpRequest, interface: str, scope: str) -> Caller:
    """Return who asks."""
    return identify(request, interface)
