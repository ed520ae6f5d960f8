"""An HTTP response -> Page, file or error: status, type, size and encoding of what a server sent.

In: a response whose body is unread. Out: all of the body, decoded, or an error; a body that ends early, grows
beyond its cap or unpacks out of proportion is never handed on. Only ``fetcher`` imports this.
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

from ingestion.exceptions import FetchFailed, PageGone, PageRefused, Throttled, UnsupportedContent
from ingestion.types import Page

READABLE = frozenset({"text/html", "application/xhtml+xml", "text/plain", "text/markdown", "text/x-rst"})
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
    judge_status(url, response)
    declared = response.headers.get("Content-Type", "")
    content_type = declared.partition(";")[0].strip().lower()
    if content_types and content_type not in content_types:
        raise UnsupportedContent(
            f"{url} has the content type {content_type or '(none)'}; accepted are {', '.join(sorted(content_types))}"
        )
    body = b"".join(_pieces(url, response, max_bytes))
    if not content_types or _is_text(content_type):
        refuse_binary(url, body)
    return Page(
        url=url,
        body=body,
        content_type=content_type,
        charset=_charset(declared),
        etag=response.headers.get("ETag", ""),
        last_modified=response.headers.get("Last-Modified", ""),
    )


def save(url: str, response: requests.Response, path: Path, max_bytes: int) -> None:
    """Write the body beside ``path`` and give it the name once it is whole."""
    judge_status(url, response)
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


def refuse_binary(name: str, body: bytes) -> None:
    """Raise UnsupportedContent when the first KiB is no text, whatever its type claims to be."""
    start = body[:SNIFF_BYTES]
    if start.startswith(BINARY_STARTS) or (b"\0" in start and not start.startswith(UTF16_MARKS)):
        raise UnsupportedContent(f"{name} is a binary file; only text can be indexed, so exclude it")


def reason(error: Exception) -> str:
    """Which kind of failure, without the library's text, which may hold addresses."""
    if isinstance(error, requests.exceptions.SSLError):
        fault = CERTIFICATE_FAULT.search(str(error))
        return f"TLS failed ({fault[1].strip() if fault else 'no common protocol or a broken handshake'})"
    if isinstance(error, ProtocolError):
        return "the connection ended before the page was complete"
    if isinstance(error, requests.exceptions.Timeout | TimeoutError) or "timed out" in str(error):
        return f"no answer within {settings.FETCH_TIMEOUT_SECONDS:g} s"
    return "the connection broke"


# --- What the server says of the answer ---------------------------------------------------------------


def judge_status(url: str, response: requests.Response) -> None:
    status = response.status_code
    if status == 200:
        return
    if status in (404, 410):
        raise PageGone(f"{url} does not exist (HTTP {status})")
    wish = _wish(response)
    if status in THROTTLING_STATUSES or (status == 403 and wish is not None):
        raise Throttled(f"{url} asks for fewer requests (HTTP {status}); it will be tried again", retry_after=wish)
    if status >= 500 or status in RETRY_STATUSES:
        raise FetchFailed(f"{url} answered HTTP {status}; it will be tried again", retry_after=wish)
    if status in (401, 403):
        raise PageRefused(f"{url} needs a permission that this crawler lacks (HTTP {status}); open it or exclude it")
    raise PageRefused(f"{url} answered HTTP {status}, which gives no page; check the address or exclude it")


def _wish(response: requests.Response) -> float | None:
    """For how long the server wants to be left alone, if it says so in either of two ways."""
    wishes = [_retry_after(response.headers.get("Retry-After", "")), _until_reset(response)]
    said = [wish for wish in wishes if wish is not None]
    return min(max(said), MAX_RETRY_AFTER_SECONDS) if said else None


def _retry_after(text: str) -> float | None:
    """Seconds or a date; None when it is neither."""
    text = text.strip()
    if text.isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    wait = (when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)
    return max(wait.total_seconds(), 0.0)


def _until_reset(response: requests.Response) -> float | None:
    """A spent allowance as GitHub and many others tell it: nothing remains until a point in time."""
    reset = response.headers.get("X-RateLimit-Reset", "")
    if response.headers.get("X-RateLimit-Remaining", "") != "0" or not reset.isdecimal():
        return None
    return max(float(reset) - time.time(), 0.0)


def _charset(content_type: str) -> str:
    """What the header names first. A quoted value is one value, whatever stands in it."""
    values = (
        value.strip("\"'").lower() for name, value in PARAMETER.findall(content_type) if name.lower() == "charset"
    )
    return next(filter(None, values), "")


# --- The body -----------------------------------------------------------------------------------------


def _pieces(url: str, response: requests.Response, max_bytes: int) -> Iterator[bytes]:
    """The unpacked body; a declared length above the cap is refused before the first byte."""
    declared = response.headers.get("Content-Length", "")
    _judge_size(url, int(declared) if declared.isdecimal() and len(declared) < 20 else 0, max_bytes)
    size = 0
    for piece in _unpacked(url, response):
        size += len(piece)
        _judge_size(url, size, max_bytes)
        _judge_ratio(url, size, response.raw.tell())
        yield piece


def _judge_size(url: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise UnsupportedContent(
            f"{url} is larger than {max_bytes} bytes; exclude it or raise the limit (FETCH_MAX_BYTES for pages)"
        )


def _judge_ratio(url: str, size: int, received: int) -> None:
    if size > RATIO_FREE_BYTES and size > MAX_RATIO * received:
        raise UnsupportedContent(f"{url} unpacks to more than {MAX_RATIO} times its size; exclude it")


def _unpacked(url: str, response: requests.Response) -> Iterator[bytes]:
    """Unpacked here, because urllib3 takes a packed body that ends early for a whole one, hands on a coding
    that it does not know as it is, and obeys a server that says it packed five times."""
    packed: Iterator[bytes] = response.raw.stream(READ_BYTES, decode_content=False)
    codings = [coding.strip().lower() for coding in response.headers.get("Content-Encoding", "").split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if not codings:
        return packed
    if len(codings) > 1 or codings[0] not in CODINGS:
        raise UnsupportedContent(f"{url} is packed as {', '.join(codings)[:80]}, which was not asked for; exclude it")
    return _inflated(url, packed)


def _inflated(url: str, packed: Iterator[bytes]) -> Iterator[bytes]:
    """gzip of one or several members, zlib, or bare deflate; what follows the end is ignored, as browsers do."""
    stream = None
    try:
        for piece in packed:
            stream = stream or zlib.decompressobj(_window(piece))
            while piece:
                yield stream.decompress(piece, READ_BYTES)
                piece = stream.unconsumed_tail
                if stream.eof and stream.unused_data.startswith(GZIP_START):
                    piece, stream = stream.unused_data, zlib.decompressobj(_window(GZIP_START))
            if stream.eof and not GZIP_START.startswith(stream.unused_data):
                return
        yield stream.flush() if stream else b""
    except zlib.error as error:
        raise FetchFailed(f"{url}: the compressed body is damaged; it will be tried again") from error
    if stream and not stream.eof:
        raise FetchFailed(f"{url}: the compressed body ended before it was complete; it will be tried again")


def _window(start: bytes) -> int:
    """The argument of zlib for what starts like this: with the header of gzip or zlib, or with none."""
    is_zlib = start[0] & 0x0F == 8 and (len(start) == 1 or int.from_bytes(start[:2]) % 31 == 0)
    has_header = is_zlib or GZIP_START.startswith(start[:2])
    return 32 + zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


def _is_text(content_type: str) -> bool:
    return content_type in READABLE or content_type.startswith("text/")
