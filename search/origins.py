"""Which site's page sends a request: our own, one that may hold the widget, or another.

Browsers send Sec-Fetch-Site to https and loopback only, Origin with every POST and with what other sites' scripts ask;
programs send neither. What changes something is taken from our own pages alone, so that no token is needed, and a
reader who only looks gets no cookie.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def from_another_site(request: HttpRequest) -> bool:
    """Return whether a browser says that another site's page asks."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("Origin")
    own = {f"http://{request.get_host()}", f"https://{request.get_host()}", *settings.CSRF_TRUSTED_ORIGINS}
    return origin is not None and origin not in own


def widget_origin(request: HttpRequest) -> str:
    """Return the origin of the page that asks, if it may hold the widget; else nothing."""
    origin = request.headers.get("Origin", "")
    return origin if origin in settings.WIDGET_ORIGINS else ""
