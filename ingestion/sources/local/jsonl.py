"""A JSON-lines file as a source: one document per line, ``{"_id", "title", "text", "url"}``.

A document's address is the line's ``url`` when that is a web address and no earlier line has it, else
``jsonl:<file name>#<_id>``. The text of a line without text is its title (as in BEIR's corpora); other keys are
ignored. A line that cannot be used is listed under ``jsonl:<file name>?line=<number>``, and fetching it says what is
wrong. Globs apply to the ``url``, or to the ``_id`` of lines without one.

One line of a large file is found through an index of byte offsets, which each process builds when it first needs it and
again when the file has changed: 20 to 32 bytes per line, whatever the lines hold.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from django.conf import settings

from ingestion.exceptions import FetchFailed, SourceError, UnsupportedContent
from ingestion.fetching.urls import MAX_URL_CHARS
from ingestion.sources.globs import wanted
from ingestion.sources.local.files import existing_path, opened, saved_path, stamp
from ingestion.types import Listed, Listing, Page, SourceSpec, Validators

Integers = npt.NDArray[np.int64]
LineNumbers = npt.NDArray[np.int32]

LINK = re.compile(r"https?://[^\s\\<>\"]+", re.IGNORECASE)
# A heading, a fence, or a link with a target: none of them occurs in plain prose.
MARKDOWN = re.compile(r"^(?:#{1,6} +\S|```|~~~)|\]\((?:https?:|/|\.|#)", re.MULTILINE)
NOT_IN_TITLES = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # those in the text are removed by the extractor
SNIFF_CHARS = 64 * 1024  # a text whose first 64 Ki characters show no markup is read as plain text
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


def normalise(target: str) -> str:
    """Return the absolute path of an existing, uncompressed file. Raise SourceError."""
    path = existing_path(target)
    if not path.is_file():
        raise SourceError(f"{path} is no file; give the path of a file with one JSON object per line.")
    if path.suffix.lower() in COMPRESSED:
        raise SourceError(f"{path} is compressed; unpack it and give the path of the JSON-lines file.")
    return str(path)


def list_documents(spec: SourceSpec) -> Listing:
    """Return the lines of the file. Raise SourceError when none of them can be used."""
    normalise(spec.target)
    path = saved_path(spec.target)
    with _corpus(path) as corpus:
        corpus.require_usable()
        filled = corpus.index.filled
    capped = spec.max_pages and filled > spec.max_pages
    notes = (f"Only the first {spec.max_pages} of {filled} lines are taken (max_pages).",) if capped else ()
    return Listing(_documents(spec, path), complete=True, notes=notes)


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """Return nothing: lines are found by listing, never by links."""
    return []


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page:
    """Return the line as it is now; ``known`` is ignored."""
    with _corpus(saved_path(spec.target)) as corpus:
        record = corpus.find(url)
    return Page(
        url=url,
        body=record.text.encode(errors="replace"),
        content_type="text/markdown" if MARKDOWN.search(record.text[:SNIFF_CHARS]) else "text/plain",
        charset="utf-8",
        title=record.title,
    )


def _documents(spec: SourceSpec, path: Path) -> Iterator[Listed]:
    """Yield the documents of the file as it is read, no more than ``max_pages`` when the source has a bound.

    Raise FetchFailed when the file is not there or is written meanwhile.
    """
    with _corpus(path) as corpus:
        yield from islice(corpus.documents(spec), spec.max_pages or None)
        _require_unchanged(path, corpus.file, corpus.state)


# --- One line -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """A usable line. ``key`` is the address made from its ``_id``, ``link`` its web address; one of them may be ""."""

    name: str
    key: str
    link: str
    title: str
    text: str


def parse(file_name: str, line: bytes) -> Record:
    """Return the record of a line. Raise UnsupportedContent with what is wrong with it."""
    entry = _object(line)
    title, text = " ".join(NOT_IN_TITLES.sub(" ", _text(entry, "title")).split()), _text(entry, "text")
    given, link = entry.get("_id"), entry.get("url")
    name = str(given) if isinstance(given, str | int) and not isinstance(given, bool) else ""
    is_link = isinstance(link, str) and len(link) <= MAX_URL_CHARS and LINK.fullmatch(link) and link.isprintable()
    if not name and not is_link:
        raise UnsupportedContent("it has neither an _id (a text or a whole number) nor a url (http:// or https://)")
    if not (text.strip() or title):
        raise UnsupportedContent("it has no text")
    key = f"jsonl:{_quoted(file_name)}#{_quoted(name)}" if name else ""
    if len(key) > MAX_URL_CHARS:
        raise UnsupportedContent(
            f"its _id {name[:40]!r}… makes an address above {MAX_URL_CHARS} characters; shorten it"
        )
    return Record(name, key, str(link) if is_link else "", title, text if text.strip() else title)


def _object(line: bytes) -> dict[str, object]:
    """Return the JSON object in a line. A byte order mark before it is dropped.

    Raise UnsupportedContent when the line has more than FETCH_MAX_BYTES or is no UTF-8, no JSON or no object.
    """
    if len(line) > settings.FETCH_MAX_BYTES:
        raise UnsupportedContent(
            f"it is longer than {settings.FETCH_MAX_BYTES} bytes; split it or raise FETCH_MAX_BYTES"
        )
    try:
        entry = json.loads(line.removeprefix(BYTE_ORDER_MARK).decode())
    except UnicodeDecodeError as error:
        raise UnsupportedContent(f"it is not written in UTF-8 (byte {error.start + 1})") from error
    except (ValueError, RecursionError) as error:
        raise UnsupportedContent(f"it is no JSON ({error})") from error
    if not isinstance(entry, dict):
        raise UnsupportedContent('it is no JSON object; write {"_id": …, "title": …, "text": …}')
    return entry


def _text(entry: dict[str, object], key: str) -> str:
    """Return the text under a key, or "" when it is missing or null. Raise UnsupportedContent for another type."""
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise UnsupportedContent(f"its {key} is no text but {type(value).__name__}")
    return value or ""


def _quoted(text: str) -> str:
    """Return text with all but letters, digits and ``_.-~`` escaped for an address; half a character is, too."""
    return quote(text, safe="", errors="surrogatepass")


# --- The file -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """The lines of a file, counted from 1.

    ``starts`` are the byte offsets of the lines and of the file's end, ``filled`` is the number of lines that are not
    blank. ``numbers`` are the lines by the ``hashes`` of their addresses, sorted by hash, then by number.
    """

    starts: Integers
    filled: int
    hashes: Integers
    numbers: LineNumbers

    def candidates(self, address: str) -> LineNumbers:
        """Return the numbers of the lines that may have this address, in order."""
        key = np.int64(hash(address))
        first, last = np.searchsorted(self.hashes, key, "left"), np.searchsorted(self.hashes, key, "right")
        return self.numbers[first:last]


class _Corpus:
    """An open file with its index."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self.file = path, file
        self.state = stamp(os.fstat(file.fileno()))
        self._faults = f"jsonl:{_quoted(path.name)}?line="
        self.index = _index(path, self.state)

    def documents(self, spec: SourceSpec) -> Iterator[Listed]:
        """Yield the lines that the globs let through, and those that cannot be used."""
        for number, line in self._filled_lines():
            try:
                address, record = self._parsed(number, line)
            except UnsupportedContent:
                yield Listed(f"{self._faults}{number}")
                continue
            if wanted(spec, record.link or record.name):
                yield Listed(address, hashlib.blake2b(line.strip(), digest_size=16).hexdigest())

    def find(self, url: str) -> Record:
        """Return the record at an address. Raise UnsupportedContent with the reason when its line cannot be used."""
        suffix = url.removeprefix(self._faults)  # the number of a line that cannot be used
        if suffix == url:
            numbers = self.index.candidates(url).tolist()
        else:
            numbers = [int(suffix)] if suffix.isdecimal() and 0 < int(suffix) < len(self.index.starts) else []
        for number in numbers:
            address, record = self._parsed(number, self._line(number))
            if address == url:
                return record
        raise FetchFailed(
            f"{url} is not in {self._path} as it is now; the source's next run finds out what became of it"
        )

    def require_usable(self) -> None:
        """Raise SourceError when there are lines and none can be used."""
        if self.index.filled and not self.index.hashes.size:
            try:
                self._parsed(*next(self._filled_lines()))
            except UnsupportedContent as fault:
                raise SourceError(f"{self._path} is no JSON-lines file. {fault}") from fault

    def _filled_lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number, counted from 1, and the bytes of each line that is not blank."""
        lines = ((number, self._line(number)) for number in range(1, len(self.index.starts)))
        return ((number, line) for number, line in lines if line.strip())

    def _line(self, number: int) -> bytes:
        """Return the bytes of a line, counted from 1, with its line end if it has one.

        Of a line that is too long, return one byte more than the FETCH_MAX_BYTES that are allowed.
        """
        start, end = self.index.starts[number - 1 : number + 1].tolist()
        self.file.seek(start)
        return self.file.read(min(end - start, settings.FETCH_MAX_BYTES + 1))

    def _parsed(self, number: int, line: bytes) -> tuple[str, Record]:
        """Return the address and the record of a line. Raise UnsupportedContent with the line's number."""
        try:
            record = parse(self._path.name, line)
            return self._address(number, record), record
        except UnsupportedContent as fault:
            raise UnsupportedContent(f"Line {number} of {self._path} is left out: {fault}.") from fault

    def _address(self, number: int, record: Record) -> str:
        """Return the address of a record: its ``url`` if no earlier line has that, else the one made from its ``_id``.

        Raise UnsupportedContent when an earlier line has its ``_id``, or has its ``url`` and there is no ``_id``.
        """
        first = self._first(record.key) if record.key else number
        if first != number:
            raise UnsupportedContent(f"its _id {record.name[:40]!r} is also that of line {first}; give it another")
        if record.link and self._first(record.link) == number:
            return record.link
        if not record.key:
            raise UnsupportedContent("its url is that of an earlier line and it has no _id; give it one")
        return record.key

    def _first(self, address: str) -> int:
        """Return the number of the first line with this address; there is one."""
        found = self.index.candidates(address)
        if len(found) == 1:
            return int(found[0])
        return next(int(n) for n in found if address in _addresses(self._path.name, self._line(n)))


@contextmanager
def _corpus(path: Path) -> Iterator[_Corpus]:
    """Yield the file, open for reading and with its index, and close it when the block ends.

    Raise FetchFailed when it is not there or cannot be read, PageRefused when its rights forbid it.
    """
    with opened(path, absence=partial(_absence, path)) as file:
        yield _Corpus(path, file)


# Four files of 100 000 lines take 10 MB.
@lru_cache(maxsize=4)
def _index(path: Path, state: str) -> Index:
    """Read the file once and return its index: 1.2 s for 100 000 lines of 1.5 KB."""
    starts, filled, hashes, numbers = array("q"), 0, array("q"), array("i")
    with opened(path, absence=partial(_absence, path)) as file:
        for start, line in _lines(file):
            starts.append(start)
            filled += bool(line.strip())
            known = _addresses(path.name, line)
            hashes.extend(map(hash, known))
            numbers.extend(len(starts) for _ in known)
        starts.append(file.tell())
        _require_unchanged(path, file, state)
    order = np.argsort(np.asarray(hashes), kind="stable")
    return Index(np.asarray(starts), filled, np.asarray(hashes)[order], np.asarray(numbers)[order])


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the byte offset and the bytes of each line; of a line that is too long, only its beginning."""
    limit, start = settings.FETCH_MAX_BYTES + 1, 0
    while line := file.readline(limit):
        yield start, line
        while line and not line.endswith(b"\n"):
            line = file.readline(limit)
        start = file.tell()


def _addresses(file_name: str, line: bytes) -> list[str]:
    """Return the addresses that a line may have, that of its ``_id`` first; none when it cannot be used."""
    try:
        record = parse(file_name, line)
    except UnsupportedContent:
        return []
    return [address for address in (record.key, record.link) if address]


def _require_unchanged(path: Path, file: BinaryIO, state: str) -> None:
    """Raise FetchFailed unless the open file still has the stamp ``state``."""
    if stamp(os.fstat(file.fileno())) != state:
        raise FetchFailed(f"{path} was written while it was read; it will be tried again")


def _absence(path: Path) -> FetchFailed:
    """Return the error for a file that is not there: it may come back, so that its lines are not gone."""
    return FetchFailed(f"{path} is not there; put it back or delete the source")
