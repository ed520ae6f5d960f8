"""Who asks: a client by its address."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from ragproject.clients import client_of


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; ``client`` is what limits count by."""

    client: str


async def identify(request: HttpRequest) -> Caller:
    """Return who asks."""
    return Caller(client_of(request))
