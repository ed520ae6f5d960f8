"""A sitemap as a source: its documents are the pages of its own host that it names.

The target is the address of a sitemap, of an index of sitemaps, of a feed, or of a robots.txt that names
them. Pages on other hosts are left out. A list that was read to its end names everything that the source
holds; what could not be read, or is over a limit, is told in the notes, and the list is not complete.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from ingestion.exceptions import AddressRefused, HostBusy, IngestionError, UnsupportedContent
from ingestion.sources.web import crawler, sitemap_parser
from ingestion.sources.web.url_scope import as_in_source, joined, objection, spelled
from ingestion.types import Listed, Listing, Page, SourceSpec, Validators

MAX_FILES = 100
MAX_DEPTH = 3  # an index of indexes of lists
# Addresses held at once; 100 000 of 100 characters are about 35 MB.
MAX_DOCUMENTS = 100_000
MAX_NOTES = 5  # of files that could not be read; a hundred would hide the rest
MAX_EXAMPLE_CHARS = 200
READING_SECONDS = 45.0  # half of what a task has by default


def normalise(target: str) -> str:
    return spelled(target)


def list_documents(spec: SourceSpec) -> Listing:
    """Raises when nothing could be read, so that the listing is tried again or fails with its reason."""
    reading = Reading(spec).read(_roots(spec))
    if not reading.documents and reading.errors:
        raise reading.errors[0]
    return Listing(listed(reading.documents), complete=reading.complete, notes=reading.notes())


def listed(documents: Mapping[str, str]) -> list[Listed]:
    return [Listed(url, version) for url, version in documents.items()]


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """The sitemap names what belongs to the source; links add nothing."""
    return []


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page | None:
    return crawler.fetch(spec, url, known)


def _roots(spec: SourceSpec) -> Sequence[str]:
    if urlsplit(spec.target).path != "/robots.txt":
        return [spec.target]
    named = crawler.sitemaps(spec.target)
    if not named:
        raise UnsupportedContent(f"{spec.target} names no sitemap; give the sitemap's address, or the site's")
    return named


def bound_note(pages: int) -> str:
    return f"The source's bound of {pages} pages is reached (max_pages)."


class Reading:
    """What a set of sitemaps names, as far as it has been read. ``errors`` are files that could not be read;
    after one, or at a limit, it is not ``complete``."""

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self.documents: dict[str, str] = {}  # address: version
        self.errors: list[IngestionError] = []
        self._limits: dict[str, None] = {}  # in their order, once each
        self._left_out: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._seen: set[str] = set()
        self._files = 0
        self._has_stopped = False
        self._until = time.monotonic() + READING_SECONDS
        self._room = min(spec.max_pages or MAX_DOCUMENTS, MAX_DOCUMENTS)

    @property
    def complete(self) -> bool:
        return not self.errors and not self._limits

    def read(self, files: Iterable[str]) -> Reading:
        """Read these files and what they name, level by level."""
        level = list(files)
        for _ in range(MAX_DEPTH):
            level = [child for file in level for child in self._children(file)]
        if level:
            self._limits[f"Sitemaps nested more than {MAX_DEPTH} deep are left out (first: {level[0]})."] = None
        return self

    def notes(self, *, silent: Collection[str] = ()) -> tuple[str, ...]:
        """What was left out and why, in sentences; ``silent`` are reasons that go without saying."""
        counted = (
            f"{number} addresses {reason} are left out, for example {self._examples[reason]}."
            for reason, number in self._left_out.items()
            if reason not in silent
        )
        failed = [f"Sitemap: {error}." for error in self.errors[:MAX_NOTES]]
        if len(self.errors) > MAX_NOTES:
            failed.append(f"{len(self.errors) - MAX_NOTES} more sitemaps could not be read.")
        return (*self._limits, *failed, *counted)

    # --- One file -------------------------------------------------------------------------------------

    def _children(self, address: str) -> list[str]:
        """Read one file; returns the sitemaps that it names."""
        children: list[str] = []
        try:
            url = self._opened(address)
            if url:
                self._read_file(url, children)
        except HostBusy:
            if self._files <= 1:
                raise  # nothing is lost by starting again when it is our turn
            self._has_stopped = True
            self._limits[f"{address} and what follows is left out: the host is too busy just now."] = None
        except IngestionError as error:
            self.errors.append(error)
        return children

    def _opened(self, address: str) -> str:
        """The spelling of a file's address that is to be read now; empty when it is not."""
        url = as_in_source(self.spec, address)
        if url in self._seen or self._is_over():
            return ""
        self._seen.add(url)
        self._files += 1
        return url

    def _is_over(self) -> bool:
        if self._has_stopped:
            return True
        if self._files >= MAX_FILES:
            self._limits[f"Only the first {MAX_FILES} sitemaps are read; the rest is left out."] = None
        else:
            return self._is_late()
        return True

    def _is_late(self) -> bool:
        late = time.monotonic() > self._until
        if late:
            self._has_stopped = True
            self._limits[f"Reading sitemaps took longer than {READING_SECONDS:g} s; the rest is left out."] = None
        return late

    def _read_file(self, url: str, children: list[str]) -> None:
        with tempfile.TemporaryDirectory(prefix="sitemap-") as folder:
            path = Path(folder) / "sitemap"
            request = partial(crawler.download, self.spec, url, path, max_bytes=sitemap_parser.MAX_FILE_BYTES)
            final = crawler.patiently(request)
            self._seen.add(final)
            for entry in sitemap_parser.read(path, url):
                if not self._take(entry, final, children):
                    return

    def _take(self, entry: sitemap_parser.Entry, file: str, children: list[str]) -> bool:
        """Sort one entry in. False: there is no room, or no time, for more."""
        if self._is_late():
            return False
        address = joined(file, entry.address)
        if entry.kind == sitemap_parser.SITEMAPS:
            if len(children) <= MAX_FILES:
                children.append(address)
            return True
        if entry.kind == sitemap_parser.FEED:
            self._limits[f"{file} is a feed, which names the latest pages only; older ones are kept."] = None
        return self._take_page(address, entry.version)

    def _take_page(self, address: str, version: str) -> bool:
        url, reason = self._judged(address)
        if reason:
            self._left_out[reason] += 1
            self._examples.setdefault(reason, address[:MAX_EXAMPLE_CHARS])
        elif len(self.documents) < self._room or url in self.documents:
            self.documents[url] = version
        else:
            self._has_stopped = True
            self._limits[bound_note(self._room)] = None
            return False
        return True

    def _judged(self, address: str) -> tuple[str, str]:
        try:
            url = as_in_source(self.spec, address)
        except AddressRefused:
            return "", "that are no web addresses"
        reason = objection(self.spec, url)
        return url, reason or ("that robots.txt forbids" if crawler.is_forbidden(url) else "")
