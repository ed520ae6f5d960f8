"""System checks of the site's settings: what cannot work is named before anything starts."""

from __future__ import annotations

from ipaddress import ip_network
from math import inf
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from ingestion.vector_store.rows import CHANNELS


@register()
def check_proxies(**kwargs: Any) -> list[CheckMessage]:
    """Check the proxies: limits count by the client's address, which a proxy hides unless its word is believed."""
    found: list[CheckMessage] = []
    for proxy in settings.TRUSTED_PROXIES:
        try:
            ip_network(proxy)
        except ValueError as error:
            hint = "Write addresses or networks like 10.1.0.0/16, separated by commas."
            found.append(Error(f"TRUSTED_PROXIES: {error}.", hint=hint, id="search.E001"))
    if settings.BEHIND_HTTPS and not settings.TRUSTED_PROXIES:
        hint = "Set TRUSTED_PROXIES to the address from which the proxy connects."
        message = "BEHIND_HTTPS names a proxy whose word is not believed: all readers behind it count as one client."
        found.append(Warning(message, hint=hint, id="search.W001"))
    return found


@register()
def check_weights(**kwargs: Any) -> list[CheckMessage]:
    """Check that each channel of a search has a weight, and that one of them counts."""
    weights = settings.SEARCH_WEIGHTS
    if len(weights) == len(CHANNELS) and min(weights) >= 0 < sum(weights) < inf:
        return []
    hint = f"Write {len(CHANNELS)} numbers from 0 on, for {', '.join(CHANNELS)}: 0.5,0.2,0.3."
    return [Error(f"SEARCH_WEIGHTS: {weights} are no weights.", hint=hint, id="search.E002")]
