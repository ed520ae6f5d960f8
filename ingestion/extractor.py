"""Page → Extracted: the main text of one document as Markdown, with its title, links and anchors.

In: a ``Page`` as fetched (bytes). Out: an ``Extracted``. Bytes become text in the order byte order mark,
transport's charset, the page's own declaration, detection; what cannot be decoded becomes U+FFFD.
Raises ``UnsupportedContent`` for a format nobody reads here, a binary, and a page without text.
Does not fetch, chunk or store.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

from bs4.dammit import EncodingDetector, UnicodeDammit

from ingestion.exceptions import UnsupportedContent
from ingestion.extractors import hypertext, markdown, plain, restructuredtext
from ingestion.extractors.characters import clean, looks_binary
from ingestion.types import Extracted, Page

READERS: dict[str, Callable[[str, str], Extracted]] = {
    "text/html": hypertext.read,
    "application/xhtml+xml": hypertext.read,
    "text/markdown": markdown.read,
    "text/x-markdown": markdown.read,
    "text/x-rst": restructuredtext.read,
    "text/prs.fallenstein.rst": restructuredtext.read,
    "text/plain": plain.read,
}
HTML_TYPES = ("text/html", "application/xhtml+xml")

# Longest first: UTF-32's mark begins with UTF-16's.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Codecs that no page is written in and that are slow, or run escapes, on hostile input.
REFUSED_CODECS = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7"}
# What servers declare when they do not know; a body that is valid UTF-8 proves them wrong.
VAGUE_CODECS = {"ascii", "iso8859-1", "cp1252"}
# A detector needs no more than this, and charset detection of megabytes takes seconds.
SAMPLE_BYTES = 64 * 1024


def extract(page: Page) -> Extracted:
    """The page's text, or UnsupportedContent with the address and the reason."""
    reader = READERS.get(page.content_type)
    if reader is None:
        raise UnsupportedContent(f"{page.content_type or 'no content type'} is no format we read: {page.url}")
    text = decode(page.body, page.charset, is_html=page.content_type in HTML_TYPES)
    if looks_binary(text):
        raise UnsupportedContent(f"a binary file declared as {page.content_type}: {page.url}")
    extracted = reader(page.url, clean(text))
    if not extracted.markdown.strip():
        raise UnsupportedContent(f"no text in {page.url}")
    return extracted


def decode(body: bytes, charset: str = "", *, is_html: bool = False) -> str:
    """Bytes → text, never failing."""
    encoding = _by_mark(body) or _declared(body, charset, is_html) or _detected(body)
    return body.decode(encoding, "replace")


def _by_mark(body: bytes) -> str:
    return next((name for mark, name in BYTE_ORDER_MARKS if body.startswith(mark)), "")


def _declared(body: bytes, charset: str, is_html: bool) -> str:
    in_page = EncodingDetector.find_declared_encoding(body[:SAMPLE_BYTES], is_html=is_html) if is_html else ""
    name = _usable(charset) or _usable(in_page or "")
    if name in VAGUE_CODECS:
        return "utf-8" if _is_utf8(body) else "cp1252"
    return name


def _usable(charset: str) -> str:
    """The codec's own name, or an empty string for one that is unknown, refused or not of text."""
    try:
        name = codecs.lookup(charset.strip(" \"'")).name if charset else ""
        b"a".decode(name or "utf-8", "ignore")  # refuses codecs that do not make text
    except (LookupError, ValueError):
        return ""
    return "" if name in REFUSED_CODECS else name


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _detected(body: bytes) -> str:
    if _is_utf8(body):
        return "utf-8"
    guess = UnicodeDammit(body[:SAMPLE_BYTES]).original_encoding
    return _usable(guess or "") or "cp1252"
