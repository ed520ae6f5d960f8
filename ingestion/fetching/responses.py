"""An HTTP response -> Page, file or error: status, type, size and encoding of what a server sent.

In: a response whose body is unread. Out: the whole body, decompressed, or an error; a body that ends early, is larger
than allowed or unpacks out of proportion is never handed on.
"""

from __future__ import annotations

import re
import tempfile
import time
import zlib
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import requests
from django.conf import settings
from urllib3.exceptions import ProtocolError, TimeoutError

from ingestion import media_types, robots_directives
from ingestion.exceptions import FetchFailed, PageGone, PageRefused, Throttled, UnsupportedContent
from ingestion.media_types import HTML, MARKUP, PLAIN
from ingestion.types import Page

READABLE = frozenset({HTML, "application/xhtml+xml", PLAIN, *MARKUP})
MAX_RETRY_AFTER_SECONDS = 3600.0  # a server that says "next year" is asked again after an hour
READ_BYTES = 64 * 1024
SNIFF_BYTES = 1024
# Pages unpack to 3-10 times their size, and a log of one repeated line to 100; gzip's limit is 1 030. Below the
# first MiB nothing is a bomb.
MAX_RATIO = 200
RATIO_FREE_BYTES = 1024 * 1024
THROTTLING_STATUSES = frozenset({429, 503})
RETRY_STATUSES = frozenset({408, 425})
CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
GZIP_START = b"\x1f\x8b"
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
PARAMETER = re.compile(r""";\s*([^\s;="]+)\s*=\s*("[^"]*"?|[^\s;,]*)""")
CERTIFICATE_FAULT = re.compile(r"certificate verify failed: ([^(\"']+)")


def page(url: str, response: requests.Response, content_types: Collection[str], max_bytes: int) -> Page:
    """Return the page in a response, with the media type that it is to be read as.

    Empty ``content_types`` accept any text. Raise the error of a status other than 200, and UnsupportedContent for
    another media type, for binary data that is declared as text, and for more than ``max_bytes``.
    """
    raise_for_status(url, response)
    header = response.headers.get("Content-Type", "")
    declared = header.partition(";")[0].strip().lower()
    content_type = media_types.by_name(url, declared)
    if content_type not in content_types and declared in content_types:
        content_type = declared
    if content_types and content_type not in content_types:
        raise UnsupportedContent(
            f"{url} has the content type {declared or '(none)'}; accepted are {', '.join(sorted(content_types))}"
        )
    body = b"".join(_pieces(url, response, max_bytes))
    if not content_types or content_type in READABLE or content_type.startswith("text/"):
        refuse_binary(url, body)
    return Page(
        url=url,
        body=body,
        content_type=media_types.by_look(url, content_type, body),
        charset=_charset(header),
        etag=_validator(response, "ETag"),
        last_modified=_validator(response, "Last-Modified"),
        robots=robots(response),
    )


def save(url: str, response: requests.Response, path: Path, max_bytes: int) -> None:
    """Write the body to a temporary file beside ``path`` and rename it once it is whole."""
    raise_for_status(url, response)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        part = Path(file.name)
        try:
            for piece in _pieces(url, response, max_bytes):
                file.write(piece)
            file.flush()
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def robots(response: requests.Response) -> frozenset[str]:
    """Return the directives for us of all X-Robots-Tag headers; each line may begin with a crawler's name."""
    lines = response.raw.headers.getlist("X-Robots-Tag")
    return frozenset().union(*map(robots_directives.of_header, lines))


def refuse_binary(name: str, body: bytes) -> None:
    """Raise UnsupportedContent when the first KiB of ``body`` is not text, whatever its media type says."""
    start = body[:SNIFF_BYTES]
    if start.startswith(BINARY_STARTS) or (b"\0" in start and not start.startswith(UTF16_MARKS)):
        raise UnsupportedContent(f"{name} is a binary file; only text can be indexed, so exclude it")


def reason(error: Exception) -> str:
    """Return the kind of a failure in words of our own: the library's text may hold addresses."""
    if isinstance(error, requests.exceptions.SSLError):
        fault = CERTIFICATE_FAULT.search(str(error))
        return f"TLS failed ({fault[1].strip() if fault else 'no common protocol or a broken handshake'})"
    if isinstance(error, ProtocolError):
        return "the connection ended before the page was complete"
    if isinstance(error, requests.exceptions.Timeout | TimeoutError) or "timed out" in str(error):
        return f"no answer within {settings.FETCH_TIMEOUT_SECONDS:g} s"
    return "the connection broke"


# --- Status and headers -------------------------------------------------------------------------------


def raise_for_status(url: str, response: requests.Response) -> None:
    """Raise the error that a status other than 200 stands for, with the time that the server asks for."""
    status = response.status_code
    if status == 200:
        return
    if status in (404, 410):
        raise PageGone(f"{url} does not exist (HTTP {status})")
    # 1. For how many seconds the server wants to be left alone; None if it does not say.
    pauses = []
    if (seconds := retry_after(response.headers.get("Retry-After", ""))) is not None:
        pauses.append(seconds)
    # A spent allowance as GitHub and many others report it: nothing remains until a point in time.
    reset = response.headers.get("X-RateLimit-Reset", "")
    if response.headers.get("X-RateLimit-Remaining", "") == "0" and reset.isdecimal():
        pauses.append(max(float(reset) - time.time(), 0.0))
    pause = min(max(pauses), MAX_RETRY_AFTER_SECONDS) if pauses else None
    # 2. What the status means.
    if status in THROTTLING_STATUSES or (status == 403 and pause is not None):
        raise Throttled(f"{url} asks for fewer requests (HTTP {status}); it will be tried again", retry_after=pause)
    if status >= 500 or status in RETRY_STATUSES:
        raise FetchFailed(f"{url} answered HTTP {status}; it will be tried again", retry_after=pause)
    if status in (401, 403):
        raise PageRefused(f"{url} needs a permission that this crawler lacks (HTTP {status}); open it or exclude it")
    raise PageRefused(f"{url} answered HTTP {status}, which gives no page; check the address or exclude it")


def retry_after(text: str) -> float | None:
    """Return the seconds until the time in a Retry-After header (seconds or a date), or None if it is neither."""
    text = text.strip()
    if text.isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    wait = (when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)
    return max(wait.total_seconds(), 0.0)


def _validator(response: requests.Response, name: str) -> str:
    """Return a header that is sent back next time, or "" where it holds what no client may send and no row hold."""
    value = response.headers.get(name, "")
    return value if value.isprintable() else ""


def _charset(content_type: str) -> str:
    """Return the first charset that the header names, or "". A quoted value is one value, whatever it contains."""
    values = (
        value.strip("\"'").lower() for name, value in PARAMETER.findall(content_type) if name.lower() == "charset"
    )
    return next(filter(None, values), "")


# --- The body -----------------------------------------------------------------------------------------


def _pieces(url: str, response: requests.Response, max_bytes: int) -> Iterator[bytes]:
    """Yield the decompressed body. Raise UnsupportedContent when it is too large, if possible before the first byte."""
    declared = response.headers.get("Content-Length", "")
    _check_size(url, int(declared) if declared.isdecimal() and len(declared) < 20 else 0, max_bytes)
    size = 0
    for piece in _unpacked(url, response):
        size += len(piece)
        _check_size(url, size, max_bytes)
        _check_ratio(url, size, response.raw.tell())
        yield piece


def _check_size(url: str, size: int, max_bytes: int) -> None:
    """Raise UnsupportedContent when ``size``, in bytes, is above ``max_bytes``."""
    if size > max_bytes:
        raise UnsupportedContent(
            f"{url} is larger than {max_bytes} bytes; exclude it or raise the limit (FETCH_MAX_BYTES for pages)"
        )


def _check_ratio(url: str, size: int, received: int) -> None:
    """Raise UnsupportedContent when ``size`` unpacked bytes are out of proportion to the ``received`` ones.

    That is above MAX_RATIO times as many; the first RATIO_FREE_BYTES are never too many.
    """
    if size > RATIO_FREE_BYTES and size > MAX_RATIO * received:
        raise UnsupportedContent(f"{url} unpacks to more than {MAX_RATIO} times its size; exclude it")


def _unpacked(url: str, response: requests.Response) -> Iterator[bytes]:
    """Return the decompressed body in pieces.

    urllib3's own decompression takes a body that ends early for a whole one, hands on an unknown coding as it is, and
    decompresses as many times as the server says.
    """
    packed: Iterator[bytes] = response.raw.stream(READ_BYTES, decode_content=False)
    codings = [coding.strip().lower() for coding in response.headers.get("Content-Encoding", "").split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if not codings:
        return packed
    if len(codings) > 1 or codings[0] not in CODINGS:
        raise UnsupportedContent(f"{url} is packed as {', '.join(codings)[:80]}, which was not asked for; exclude it")
    return _inflated(url, packed)


def _inflated(url: str, packed: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content of gzip of one or several members, zlib, or bare deflate.

    What follows the end is ignored, as browsers do.
    """
    stream = None
    try:
        for piece in packed:
            stream = stream or zlib.decompressobj(_window_bits(piece))
            while piece:
                yield stream.decompress(piece, READ_BYTES)
                piece = stream.unconsumed_tail
                if stream.eof and stream.unused_data.startswith(GZIP_START):
                    piece, stream = stream.unused_data, zlib.decompressobj(_window_bits(GZIP_START))
            if stream.eof and not GZIP_START.startswith(stream.unused_data):
                return
        yield stream.flush() if stream else b""
    except zlib.error as error:
        raise FetchFailed(f"{url}: the compressed body is damaged; it will be tried again") from error
    if stream and not stream.eof:
        raise FetchFailed(f"{url}: the compressed body ended before it was complete; it will be tried again")


def _window_bits(start: bytes) -> int:
    """Return zlib's argument ``wbits`` for data that begins like this: with the header of gzip or zlib, or without."""
    is_zlib = start[0] & 0x0F == 8 and (len(start) == 1 or int.from_bytes(start[:2]) % 31 == 0)
    has_header = is_zlib or GZIP_START.startswith(start[:2])
    return 32 + zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
