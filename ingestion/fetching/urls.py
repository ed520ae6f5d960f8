"""URL -> its canonical form, which is stored, compared and requested.

In: an address as somebody wrote it. Out: its canonical form, or AddressRefused. The library that will make the request
also parses the address here, so that no second parser can see another host in it. Nothing is looked up.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from requests.exceptions import InvalidURL
from requests.utils import requote_uri
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from ingestion.exceptions import AddressRefused

MAX_URL_CHARS = 2048  # the column that stores it; browsers and sitemaps stop at the same length
DEFAULT_PORTS = {"http": 80, "https": 443}
HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


def canonical(url: str) -> str:
    """Return the canonical form of a URL, without its fragment. Raise AddressRefused for what is no web address."""
    if not url.isprintable() or not {" ", "\\"}.isdisjoint(url):
        raise AddressRefused(f"{url!r} has blanks, backslashes or control characters; write them as %20 and so on")
    parts = _parse(url)
    found = Url(
        scheme=parts.scheme,
        host=(parts.host or "").removesuffix("."),
        port=None if parts.port == DEFAULT_PORTS[parts.scheme or ""] else parts.port,
        path=parts.path or "/",
        query=parts.query or None,
    ).url
    if len(found) > MAX_URL_CHARS:
        raise AddressRefused(f"{found[:80]}… is longer than {MAX_URL_CHARS} characters")
    return found


def origin(url: str) -> str:
    """Return scheme, host and port of a canonical URL: the site that may see a header meant for this URL."""
    parts = parse_url(url)
    return f"{parts.scheme}://{parts.netloc}"


def _parse(url: str) -> Url:
    """Return the parts of a web address. Raise AddressRefused if it is none, or contains a user name or a password.

    It is parsed twice: escapes that hide plain characters (%2e%2e) are undone before dots are resolved.
    """
    try:
        parts = parse_url(url)
        if parts.scheme not in DEFAULT_PORTS or not parts.host:
            raise AddressRefused(f"{url!r} is not a web address; it must start with http:// or https://")
        if parts.auth is not None:
            raise AddressRefused("an address with a user name or password is refused; remove what stands before the @")
        if not _is_host(parts.host.removesuffix(".")):
            raise AddressRefused(f"{url!r} has no valid host name; correct it")
        return parse_url(requote_uri(parts._replace(fragment=None).url))
    except (LocationParseError, InvalidURL) as error:
        raise AddressRefused(f"{url!r} is not a web address ({error}); correct it") from None


def _is_host(host: str) -> bool:
    """Return whether ``host`` is a host name in lower case, an IPv4 address, or an IPv6 address in brackets."""
    if not host.startswith("["):
        return HOST.fullmatch(host) is not None
    try:
        return bool(IPv6Address(host[1:-1])) and "%" not in host
    except ValueError:
        return False
