"""System checks of the site's settings: what cannot work is named before anything starts."""

from __future__ import annotations

from ipaddress import ip_network
from math import inf
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from ingestion.vector_store.rows import CHANNELS
from search.access.identify import INTERFACES
from search.questions import is_web_address


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
def check_anonymous_access(**kwargs: Any) -> list[CheckMessage]:
    """Check the doors that are open to everybody: one that is spelled wrongly would be closed."""
    unknown = [name for name in settings.ANONYMOUS_ACCESS if name not in INTERFACES]
    hint = f"Choose from {', '.join(INTERFACES)}."
    return [Error(f"ANONYMOUS_ACCESS: there is no door {n!r}.", hint=hint, id="search.E004") for n in unknown]


@register()
def check_language_model(**kwargs: Any) -> list[CheckMessage]:
    """Check the language model's settings, which would otherwise fail with the first question."""
    if not settings.LLM_BASE_URL:
        return []
    found: list[CheckMessage] = []
    if not is_web_address(settings.LLM_BASE_URL):
        hint = "Write an address like http://127.0.0.1:11434/v1."
        return [Error(f"LLM_BASE_URL: {settings.LLM_BASE_URL} is no web address.", hint=hint, id="search.E002")]
    address = urlsplit(settings.LLM_BASE_URL)
    if not address.path.strip("/"):
        hint = f"Most servers answer at {settings.LLM_BASE_URL.rstrip('/')}/v1."
        message = f"LLM_BASE_URL: {settings.LLM_BASE_URL} has no path."
        found.append(Warning(message, hint=hint, id="search.W002"))
    elif address.path.rstrip("/").endswith("/completions"):
        hint = "Leave /chat/completions out; it is added to the address."
        message = f"LLM_BASE_URL: {settings.LLM_BASE_URL} names one method of the server."
        found.append(Warning(message, hint=hint, id="search.W003"))
    if not settings.LLM_MODEL:
        hint = "Set LLM_MODEL to a name that the server lists under /models."
        found.append(Warning("LLM_BASE_URL is set and LLM_MODEL is not.", hint=hint, id="search.W004"))
    return found


@register()
def check_weights(**kwargs: Any) -> list[CheckMessage]:
    """Check that each channel of a search has a weight, and that one of them counts."""
    weights = settings.SEARCH_WEIGHTS
    if len(weights) == len(CHANNELS) and min(weights) >= 0 < sum(weights) < inf:
        return []
    hint = f"Write {len(CHANNELS)} numbers from 0 on, for {', '.join(CHANNELS)}: 0.5,0.2,0.3."
    return [Error(f"SEARCH_WEIGHTS: {weights} are no weights.", hint=hint, id="search.E003")]


@register()
def check_reranker(**kwargs: Any) -> list[CheckMessage]:
    """Check that a server that reranks has an address."""
    if settings.RERANKER not in ("tei", "cohere"):
        return []
    if is_web_address(settings.RERANK_URL):
        return []
    hint = "Write the whole address, like http://127.0.0.1:8080/rerank, or set RERANKER=off."
    return [Error(f"RERANK_URL: {settings.RERANK_URL!r} is no web address.", hint=hint, id="search.E006")]


@register()
def check_widget_origins(**kwargs: Any) -> list[CheckMessage]:
    """Check the origins that may hold the widget: browsers send scheme and host alone."""
    found: list[CheckMessage] = []
    for origin in settings.WIDGET_ORIGINS:
        if not is_web_address(origin) or urlsplit(origin)._replace(path="", query="", fragment="").geturl() != origin:
            hint = "Write scheme and host alone, as https://www.example.org, separated by commas."
            found.append(Error(f"WIDGET_ORIGINS: {origin} is no origin.", hint=hint, id="search.E005"))
    return found
