"""URL -> Page; the only module that speaks HTTP to the outside.

In: an address. Out: the body as bytes with its media type, or an error of the tree in ``exceptions``.
Every connection goes through ``netguard``; redirects are followed by hand, each hop judged like the
first; environment proxies, netrc and cookies play no part. One deadline covers the whole fetch, from the
first connection to the last byte; the body is capped after decompression, and a body that ends early is
a failure. Connections are kept per process for the next page of the same host.

It does not decode text, read robots.txt, or wait between requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv6Address
from urllib.parse import urljoin

import requests
from django.conf import settings
from requests.utils import requote_uri
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from ingestion.connections import Deadline, session
from ingestion.exceptions import AddressRefused, FetchFailed, PageGone, PageRefused, UnsupportedContent
from ingestion.types import Page

READABLE = frozenset({"text/html", "application/xhtml+xml", "text/plain", "text/markdown", "text/x-rst"})
MAX_URL_CHARS = 2048  # the column that stores it; browsers and sitemaps stop at the same length
MAX_REDIRECTS = 5  # RFC 9309 asks for five in front of a robots.txt; real chains have one or two
MAX_RETRY_AFTER_SECONDS = 3600.0  # a server that says "next year" is asked again after an hour
READ_BYTES = 64 * 1024
SNIFF_BYTES = 1024
RETRY_STATUSES = frozenset({408, 425, 429})
DEFAULT_PORTS = {"http": 80, "https": 443}
BINARY_STARTS = (
    b"\x89PNG",
    b"%PDF-",
    b"PK\x03\x04",
    b"GIF8",
    b"\xff\xd8\xff",
    b"\x1f\x8b",
    b"\x7fELF",
    b"BZh",
    b"\xfd7zXZ",
    b"7z\xbc\xaf",
)
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
CERTIFICATE_FAULT = re.compile(r"certificate verify failed: ([^(\"']+)")

Permit = Callable[[str], object]


def fetch(url: str, *, permit: Permit | None = None, content_types: Collection[str] = READABLE) -> Page:
    """Fetch one page. ``permit`` is called with every address before it is requested, redirects
    included, and raises to forbid it; empty ``content_types`` accept any text."""
    address = canonical(url)
    with Deadline(address):
        try:
            return _follow(address, permit or _permit_all, content_types)
        except (OSError, HTTPError) as error:
            raise FetchFailed(f"{address}: {_reason(error)}; it will be tried again") from error


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


def refuse_binary(name: str, body: bytes) -> None:
    """Raise UnsupportedContent when the first KiB is no text, whatever its type claims to be."""
    start = body[:SNIFF_BYTES]
    if start.startswith(BINARY_STARTS) or (b"\0" in start and not start.startswith(UTF16_MARKS)):
        raise UnsupportedContent(f"{name} is a binary file; only text can be indexed, so exclude it")


def _parsed(url: str) -> Url:
    """Parse twice: escapes that hide plain characters (%2e%2e) are undone before dots are resolved."""
    try:
        parts = parse_url(url)
        _judge_parts(url, parts)
        return parse_url(requote_uri(parts._replace(fragment=None).url))
    except (LocationParseError, requests.exceptions.InvalidURL) as error:
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


def _permit_all(url: str) -> None:
    pass


# --- Following redirects ------------------------------------------------------------------------------


def _follow(url: str, permit: Permit, content_types: Collection[str]) -> Page:
    address = url
    for _ in range(MAX_REDIRECTS + 1):
        permit(address)
        with _get(address) as response:
            if not response.is_redirect:
                return _page(address, response, content_types)
            address = _next_hop(address, response.headers["location"])
    raise PageRefused(f"{url} redirects more than {MAX_REDIRECTS} times; use the address it should lead to")


def _get(url: str) -> requests.Response:
    """The response to one request, its body still unread."""
    try:
        return session().get(
            url,
            headers={
                "User-Agent": settings.USER_AGENT,
                "Accept": "text/html,application/xhtml+xml,text/markdown,text/plain;q=0.9,*/*;q=0.1",
                "Accept-Encoding": "gzip, deflate",
            },
            timeout=settings.FETCH_TIMEOUT_SECONDS,
            allow_redirects=False,
            stream=True,
        )
    except (AddressRefused, FetchFailed) as error:  # raised by netguard, which knows the host only
        error.args = (f"{url} cannot be fetched: {error}",)
        raise


def _next_hop(url: str, location: str) -> str:
    # HTTP headers arrive as Latin-1 whatever they hold; servers that send raw UTF-8 mean UTF-8.
    target = canonical(urljoin(url, location.encode("latin-1", "replace").decode("utf-8", "replace")))
    if url.startswith("https:") and target.startswith("http:"):
        raise AddressRefused(f"{url} redirects from https to http ({target}), which is refused")
    return target


# --- Reading a response -------------------------------------------------------------------------------


def _page(url: str, response: requests.Response, content_types: Collection[str]) -> Page:
    _judge_status(url, response)
    declared = response.headers.get("Content-Type", "")
    content_type = declared.partition(";")[0].strip().lower()
    if content_types and content_type not in content_types:
        raise UnsupportedContent(
            f"{url} has the content type {content_type or '(none)'}; accepted are {', '.join(sorted(content_types))}"
        )
    body = _body(url, response)
    refuse_binary(url, body)
    charset = CHARSET.search(declared)
    return Page(
        url=url,
        body=body,
        content_type=content_type,
        charset=charset[1].lower() if charset else "",
        etag=response.headers.get("ETag", ""),
        last_modified=response.headers.get("Last-Modified", ""),
    )


def _judge_status(url: str, response: requests.Response) -> None:
    status = response.status_code
    if status == 200:
        return
    if status in (404, 410):
        raise PageGone(f"{url} does not exist (HTTP {status})")
    if status >= 500 or status in RETRY_STATUSES:
        wish = _seconds(response.headers.get("Retry-After", ""))
        raise FetchFailed(f"{url} answered HTTP {status}; it will be tried again", retry_after=wish)
    if status in (401, 403):
        raise PageRefused(f"{url} needs a permission that this crawler lacks (HTTP {status}); open it or exclude it")
    raise PageRefused(f"{url} answered HTTP {status}, which gives no page; check the address or exclude it")


def _seconds(retry_after: str) -> float | None:
    """Retry-After in seconds or as a date; None when it is neither."""
    text = retry_after.strip()
    if text.isdecimal():
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    wait = (when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)
    return min(max(wait.total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)


def _body(url: str, response: requests.Response) -> bytes:
    """The decoded body; a declared length above the cap is refused before the first byte."""
    declared = response.headers.get("Content-Length", "")
    body = bytearray()
    _judge_size(url, int(declared) if declared.isdecimal() and len(declared) < 20 else 0)
    for piece in response.iter_content(READ_BYTES):
        body += piece
        _judge_size(url, len(body))
    return bytes(body)


def _judge_size(url: str, size: int) -> None:
    if size > settings.FETCH_MAX_BYTES:
        raise UnsupportedContent(
            f"{url} is larger than {settings.FETCH_MAX_BYTES} bytes; exclude it or raise FETCH_MAX_BYTES"
        )


def _reason(error: Exception) -> str:
    """Which kind of failure, without the library's text, which may hold addresses."""
    if isinstance(error, requests.exceptions.SSLError):
        fault = CERTIFICATE_FAULT.search(str(error))
        return f"TLS failed ({fault[1].strip() if fault else 'no common protocol or a broken handshake'})"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection ended before the page was complete"
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return "the compressed body is damaged"
    if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error):
        return f"no answer within {settings.FETCH_TIMEOUT_SECONDS:g} s"
    return "the connection broke"
