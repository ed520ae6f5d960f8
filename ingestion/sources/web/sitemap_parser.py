"""One sitemap file -> its entries: XML, a feed (RSS, Atom), or text with one address a line; gzip or not.

In: a file on disk. Out: entries in their order, one at a time, so that memory does not grow with the file. Element
names are compared without their namespace, which is often wrong in sitemaps; only children of an entry count, which
leaves out the addresses of pictures and videos. A file that cannot be read to its end yields the entries before the
fault and then raises UnsupportedContent. Entities are never expanded: a file with a document type is refused.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from ingestion.exceptions import UnsupportedContent
from ingestion.fetching.urls import MAX_URL_CHARS

# The sitemap protocol's own limits (sitemaps.org/protocol.html).
MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_ENTRIES = 50_000
PIECE_BYTES = 64 * 1024
MAX_NESTING = 20  # a video's tag inside a page inside the list is at 4
# Expat 2.5 scans an unfinished tag again with every piece: 50 MB of one attribute would take minutes.
MAX_TAG_BYTES = 256 * 1024
GZIP_START = b"\x1f\x8b"

PAGES, SITEMAPS, FEED = "url", "sitemap", "feed"
ENTRIES = {"url": PAGES, "sitemap": SITEMAPS, "item": FEED, "entry": FEED}
ROOTS = {"urlset", "sitemapindex", "rss", "feed", "rdf", *ENTRIES}
FIELDS = {"loc", "lastmod", "link", "updated"}

HTML = re.compile(r"<(?:!doctype\s+)?html\b", re.IGNORECASE)
ADDRESS = re.compile(r"https?://", re.IGNORECASE)
WESTERN = re.compile(r"iso-?8859-?1?\d|latin-?1|windows-125\d")
DECLARED = re.compile(rb"""^<\?xml[^>]{0,100}?encoding\s*=\s*["']([\w.:-]{1,40})["']""")
BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});)")
UNFINISHED_REFERENCE = re.compile(r"&[#\w]{0,8}\Z")
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LASTMOD = re.compile(r"(\d{4}-\d\d-\d\d)([T ]\d\d:\d\d[\d:.,]*\s*(?:Z|[+-]\d\d:?\d\d)?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One address in a sitemap file.

    ``kind`` is PAGES, SITEMAPS (the address is that of another file) or FEED (a page in a list of the latest ones).
    """

    kind: str
    address: str
    version: str = ""


def read(path: Path, name: str) -> Iterator[Entry]:
    """Yield the entries of a file, which came from the address ``name``. Raise UnsupportedContent where it is wrong."""
    try:
        with path.open("rb") as file:
            yield from _bounded(_parse(_pieces(_unpacked(file), name), name), name)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnsupportedContent(f"{name} is damaged (gzip: {error})") from error


def _bounded(entries: Iterable[Entry], name: str) -> Iterator[Entry]:
    """Yield the first MAX_ENTRIES entries. Raise UnsupportedContent when there are more."""
    for number, entry in enumerate(entries):
        if number >= MAX_ENTRIES:
            raise UnsupportedContent(f"{name} names more than {MAX_ENTRIES} addresses; the rest is left out")
        yield entry


# --- Bytes to characters --------------------------------------------------------------------------------


def _unpacked(file: BinaryIO) -> BinaryIO:
    """Return the decompressed file, told by its first bytes: neither its name nor the server's headers are reliable."""
    packed = file.read(2) == GZIP_START
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[return-value]


def _pieces(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield the bytes of an unpacked file, PIECE_BYTES at a time at most.

    Raise UnsupportedContent when there are more than MAX_FILE_BYTES of them, and gzip's errors when it is damaged.
    """
    size = 0
    while piece := file.read(PIECE_BYTES):
        size += len(piece)
        if size > MAX_FILE_BYTES:
            raise UnsupportedContent(
                f"{name} is larger than {MAX_FILE_BYTES} bytes when unpacked; the rest is left out"
            )
        yield piece


# --- Characters to entries ------------------------------------------------------------------------------


def _parse(pieces: Iterator[bytes], name: str) -> Iterator[Entry]:
    """Return the entries of a file in pieces, as an iterator: XML when it begins with "<", else one address a line.

    Read it as UTF-16, as the Western encoding that it declares, or else as UTF-8. Raise UnsupportedContent at once for
    an HTML page; the iterator raises it where the rest is no sitemap.
    """
    start = next(pieces, b"")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    else:  # UTF-8, as the protocol demands, unless the file declares another encoding that does occur
        declared = DECLARED.match(start.removeprefix(codecs.BOM_UTF8).lstrip())
        encoding = declared[1].decode().lower() if declared else ""
        encoding = encoding if WESTERN.fullmatch(encoding) and is_known(encoding) else "utf-8-sig"
    texts: Iterator[str] = codecs.iterdecode(chain([start], pieces), encoding, "replace")
    first = next(filter(None, map(str.lstrip, texts)), "")
    texts = chain([first], texts)
    if HTML.match(first):
        raise UnsupportedContent(f"{name} is no sitemap but an HTML page")
    return _elements(texts, name) if first.startswith("<") else _lines(texts, name)


def is_known(encoding: str) -> bool:
    """Return whether Python knows an encoding of this name; there is no ISO-8859-12."""
    try:
        return bool(codecs.lookup(encoding))
    except LookupError:
        return False


def _lines(texts: Iterable[str], name: str) -> Iterator[Entry]:
    """Yield one entry a line. The first line must be an address; later lines that are none are skipped."""
    lines = filter(None, map(str.strip, _cut(texts)))
    first = next(lines, "")
    if not ADDRESS.match(first):
        raise UnsupportedContent(f"{name} is no sitemap: it is neither XML nor a list of addresses")
    for line in chain([first], lines):
        if ADDRESS.match(line):
            yield Entry(PAGES, line)


def _cut(texts: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a text that comes in pieces, without their line feeds; the last one may be empty.

    An unfinished line is cut to 2 * MAX_URL_CHARS characters before the next piece is added to it.
    """
    rest = ""
    for text in texts:
        *lines, rest = (rest + text).split("\n")
        yield from lines
        rest = rest[: 2 * MAX_URL_CHARS]  # far too long for an address already
    yield rest


def _elements(texts: Iterable[str], name: str) -> Iterator[Entry]:
    """Yield the entries of an XML file whose text comes in pieces.

    Raise UnsupportedContent, after the entries before it, where the XML is malformed, is no sitemap, has a document
    type, or goes beyond a limit.
    """
    reader = _Reader(name)
    try:
        for text in _well_formed(texts):
            reader.feed(text)
            yield from reader.taken()
        reader.close()
    except UnsupportedContent:
        yield from reader.taken()
        raise
    except expat.ExpatError as error:
        yield from reader.taken()
        raise UnsupportedContent(f"{name} is malformed ({error}); what follows is left out") from error


def _well_formed(texts: Iterable[str]) -> Iterator[str]:
    """Repair what generators of sitemaps get wrong most: bare ampersands and control characters."""
    rest = ""
    for text in texts:
        text = rest + text
        cut = UNFINISHED_REFERENCE.search(text)
        text, rest = (text[: cut.start()], text[cut.start() :]) if cut else (text, "")
        yield _repaired(text)
    yield _repaired(rest)


def _repaired(text: str) -> str:
    """Return text with each bare "&" written as "&amp;" and without the characters that XML forbids."""
    return BARE_AMPERSAND.sub("&amp;", NOT_IN_XML.sub("", text))


class _Reader:
    """Expat's callbacks, which collect the fields of the one entry that is open, and nothing else."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: list[Entry] = []
        self._open: list[str] = []
        self._entry_depth = 0  # 0: no entry is open
        self._fields: dict[str, str] = {}
        self._fed = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def feed(self, text: str) -> None:
        """Parse the next piece of the file."""
        self._parser.Parse(text, False)
        self._fed += len(text.encode())
        if self._fed - self._parser.CurrentByteIndex > MAX_TAG_BYTES:
            raise UnsupportedContent(f"{self._name} has a tag of more than {MAX_TAG_BYTES} bytes; it is no sitemap")

    def close(self) -> None:
        """Parse the end of the file."""
        self._parser.Parse("", True)

    def taken(self) -> list[Entry]:
        """Return the entries that were completed since the last call."""
        found, self._found = self._found, []
        return found

    def _doctype(self, *_: object) -> None:
        """Raise UnsupportedContent: a document type may declare entities."""
        raise UnsupportedContent(f"{self._name} has a document type and may declare entities, which is refused")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take the start of an element: open an entry or one of its fields, or note where its link leads.

        Raise UnsupportedContent for an outermost element of another format, and beyond MAX_NESTING open elements.
        """
        tag = tag.rpartition(":")[2].lower()
        self._open.append(tag)
        if len(self._open) == 1 and tag not in ROOTS:
            raise UnsupportedContent(f"{self._name} is no sitemap: its outermost element is <{tag[:40]}>")
        if len(self._open) > MAX_NESTING:
            raise UnsupportedContent(f"{self._name} nests more than {MAX_NESTING} elements; it is no sitemap")
        if tag in ENTRIES and not self._entry_depth:
            self._entry_depth, self._fields = len(self._open), {}
        elif tag == "link" and self._in_entry() and attributes.get("rel", "alternate") == "alternate":
            self._fields.setdefault("href", attributes.get("href", ""))
        if tag in FIELDS and self._in_entry() and "href" not in attributes:
            self._fields[tag] = ""

    def _text(self, text: str) -> None:
        """Add text to the open field, up to 2 * MAX_URL_CHARS characters; elsewhere, drop it."""
        field = self._open[-1]
        if field in FIELDS and self._in_entry():
            self._fields[field] = (self._fields.get(field, "") + text)[: 2 * MAX_URL_CHARS]

    def _end(self, tag: str) -> None:
        """Take the end of the innermost element; if it is the open entry, keep what was found in it."""
        if len(self._open) == self._entry_depth:
            self._found += self._entry(ENTRIES[self._open[-1]])
            self._entry_depth = 0
        self._open.pop()

    def _in_entry(self) -> bool:
        """Return whether a direct child of an entry is open, rather than the entry or a child of its pictures."""
        return bool(self._entry_depth) and len(self._open) == self._entry_depth + 1

    def _entry(self, kind: str) -> Iterator[Entry]:
        """Yield the entry of the fields that were collected, as one of this kind; nothing when it has no address."""
        fields = self._fields
        named = fields.get("loc") if kind != FEED else fields.get("href") or fields.get("link")
        address = (named or "").strip().replace("&amp;", "&")  # escaped twice
        if address:
            yield Entry(kind, address, version_of(fields.get("lastmod") or fields.get("updated") or ""))


def version_of(lastmod: str) -> str:
    """Return a lastmod by which a change can be recognised, or "".

    A date without the time of day is none as long as the day lasts anywhere on Earth: the page may change again.
    """
    found = LASTMOD.fullmatch(lastmod.strip())
    if not found:
        return ""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    return "" if not found[2] and found[1] >= yesterday else found[0]
