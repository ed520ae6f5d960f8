"""The one spelling of a web address.

In: an address as somebody wrote it. Out: the address in the form that is stored, compared and requested, or
AddressRefused. It is parsed by the library that will make the request, so that no second parser can see
another host in it. Nothing is looked up. Only ``fetcher`` imports this; the others ask ``fetcher``.
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
    """The one spelling of a web address, parsed by the library that will request it."""
    if not url.isprintable() or not {" ", "\\"}.isdisjoint(url):
        raise AddressRefused(f"{url!r} has blanks, backslashes or control characters; write them as %20 and so on")
    parts = _parsed(url)
    spelled = Url(
        scheme=parts.scheme,
        host=(parts.host or "").removesuffix("."),
        port=None if parts.port == DEFAULT_PORTS[parts.scheme or ""] else parts.port,
        path=parts.path or "/",
        query=parts.query or None,
    ).url
    if len(spelled) > MAX_URL_CHARS:
        raise AddressRefused(f"{spelled[:80]}… is longer than {MAX_URL_CHARS} characters")
    return spelled


def origin(url: str) -> str:
    """Scheme, host and port of a canonical address: what may see a header that is meant for this site."""
    parts = parse_url(url)
    return f"{parts.scheme}://{parts.netloc}"


def _parsed(url: str) -> Url:
    """Parse twice: escapes that hide plain characters (%2e%2e) are undone before dots are resolved."""
    try:
        parts = parse_url(url)
        _judge_parts(url, parts)
        return parse_url(requote_uri(parts._replace(fragment=None).url))
    except (LocationParseError, InvalidURL) as error:
        raise AddressRefused(f"{url!r} is not a web address ({error}); correct it") from None


def _judge_parts(url: str, parts: Url) -> None:
    if parts.scheme not in DEFAULT_PORTS or not parts.host:
        raise AddressRefused(f"{url!r} is not a web address; it must start with http:// or https://")
    if parts.auth is not None:
        raise AddressRefused("an address with a user name or password is refused; remove what stands before the @")
    if not _is_host(parts.host.removesuffix(".")):
        raise AddressRefused(f"{url!r} has no valid host name; correct it")


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return HOST.fullmatch(host) is not None
    try:
        return bool(IPv6Address(host[1:-1])) and "%" not in host
    except ValueError:
        return False
