"""Whether the page of another site asks, through the browser of somebody who only visits it."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def from_another_site(request: HttpRequest) -> bool:
    """Return whether a browser says that another site's page asks.

    Browsers send Sec-Fetch-Site to https and loopback only, Origin with every POST; programs send neither.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("Origin")
    own = {f"http://{request.get_host()}", f"https://{request.get_host()}", *settings.CSRF_TRUSTED_ORIGINS}
    return origin is not None and origin not in own
