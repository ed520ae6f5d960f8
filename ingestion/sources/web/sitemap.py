"""A sitemap as a source: its documents are the pages of its own host that it names.

The target is the address of a sitemap, of an index of sitemaps, of a feed, or of a robots.txt that names them. Pages on
other hosts are left out. A listing that was read to its end names everything that the source holds; otherwise the notes
say what could not be read or exceeds a limit, and the listing is not complete.
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
from ingestion.sources.web.url_scope import exclusion_reason, normalise_in_source, normalise_url, resolve_link
from ingestion.types import Listed, Listing, Page, SourceSpec, Validators

MAX_FILES = 100
MAX_DEPTH = 3  # an index of indexes of lists
# Addresses held at once; 100 000 of 100 characters are about 35 MB.
MAX_DOCUMENTS = 100_000
MAX_NOTES = 5  # about files that could not be read; a hundred would hide the rest
MAX_EXAMPLE_CHARS = 200
READING_SECONDS = 45.0  # half of what a task has by default


def normalise(target: str) -> str:
    """Return the normalised address of the sitemap."""
    return normalise_url(target)


def list_documents(spec: SourceSpec) -> Listing:
    """Return the pages that the sitemaps name. Raise the first error when nothing could be read."""
    roots: Sequence[str] = [spec.target]
    if urlsplit(spec.target).path == "/robots.txt":
        roots = crawler.sitemaps(spec.target)
        if not roots:
            raise UnsupportedContent(f"{spec.target} names no sitemap; give the sitemap's address, or the site's")
    reading = Reading(spec).read(roots)
    if not reading.documents and reading.errors:
        raise reading.errors[0]
    return Listing(listed_documents(reading.documents), complete=reading.complete, notes=reading.notes())


def listed_documents(documents: Mapping[str, str]) -> list[Listed]:
    """Return documents, given as address to version, for a listing."""
    return [Listed(url, version) for url, version in documents.items()]


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """Return nothing: the sitemap names all pages of the source."""
    return []


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page | None:
    """Return the page at ``url``, or None when it is the one that ``known`` describes."""
    return crawler.fetch(spec, url, known)


def bound_note(pages: int) -> str:
    """Return the note that a source has more pages than it may have."""
    return f"The source's bound of {pages} pages is reached (max_pages)."


class Reading:
    """The pages that a set of sitemaps names, as far as it has been read.

    ``errors`` are those of files that could not be read; after one, or at a limit, the reading is not ``complete``.
    """

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self.documents: dict[str, str] = {}  # address: version
        self.errors: list[IngestionError] = []
        self._limits: dict[str, None] = {}  # notes in their order, once each
        self._left_out: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._seen: set[str] = set()
        self._files = 0
        self._has_stopped = False
        self._until = time.monotonic() + READING_SECONDS
        self._room = min(spec.max_pages or MAX_DOCUMENTS, MAX_DOCUMENTS)

    @property
    def complete(self) -> bool:
        """Return whether all files were read to their end."""
        return not self.errors and not self._limits

    def read(self, files: Iterable[str]) -> Reading:
        """Read these files and those that they name, level by level. Return this reading."""
        level = list(files)
        for _ in range(MAX_DEPTH):
            level = [child for file in level for child in self._children(file)]
        if level:
            self._limits[f"Sitemaps nested more than {MAX_DEPTH} deep are left out (first: {level[0]})."] = None
        return self

    def notes(self, *, silent: Collection[str] = ()) -> tuple[str, ...]:
        """Return sentences that say what was left out and why; ``silent`` are reasons not to mention."""
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
        """Read one file. Return the addresses of the sitemaps that it names."""
        children: list[str] = []
        try:
            url = normalise_in_source(self.spec, address)
            if url not in self._seen and not self._is_over():
                self._seen.add(url)
                self._files += 1
                self._read_file(url, children)
        except HostBusy:
            if self._files <= 1:
                raise  # nothing is lost by starting again when the host has a free slot
            self._has_stopped = True
            self._limits[f"{address} and what follows is left out: the host is too busy just now."] = None
        except IngestionError as error:
            self.errors.append(error)
        return children

    def _is_over(self) -> bool:
        """Return whether no further file may be read, and note why."""
        if not self._has_stopped and self._files >= MAX_FILES:
            self._limits[f"Only the first {MAX_FILES} sitemaps are read; the rest is left out."] = None
            return True
        return self._has_stopped or self._is_late()

    def _is_late(self) -> bool:
        """Return whether the time for reading (READING_SECONDS) is over; if so, end the reading and note why."""
        late = time.monotonic() > self._until
        if late:
            self._has_stopped = True
            self._limits[f"Reading sitemaps took longer than {READING_SECONDS:g} s; the rest is left out."] = None
        return late

    def _read_file(self, url: str, children: list[str]) -> None:
        """Download one file and take its entries, until there is no room or no time for more.

        Add pages to ``documents``, and the addresses of further sitemaps to ``children``. Raise the errors of a
        download, and UnsupportedContent for a file that is no sitemap or damaged.
        """
        with tempfile.TemporaryDirectory(prefix="sitemap-") as folder:
            path = Path(folder) / "sitemap"
            request = partial(crawler.download, self.spec, url, path, max_bytes=sitemap_parser.MAX_FILE_BYTES)
            final = crawler.patiently(request)
            if final != url and final in self._seen:
                return
            self._seen.add(final)
            for entry in sitemap_parser.read(path, url):
                if not self._take(entry, final, children):
                    return

    def _take(self, entry: sitemap_parser.Entry, file: str, children: list[str]) -> bool:
        """Add one entry of ``file``. Return False when there is no room, or no time, for more entries."""
        if self._is_late():
            return False
        address = resolve_link(file, entry.address)
        if entry.kind == sitemap_parser.SITEMAPS:
            if len(children) <= MAX_FILES:
                children.append(address)
            return True
        if entry.kind == sitemap_parser.FEED:
            self._limits[f"{file} is a feed, which names the latest pages only; older ones are kept."] = None
        url, reason = self._checked(address)
        if reason:
            self._left_out[reason] += 1
            shown = "".join(char if char.isprintable() else "\ufffd" for char in address[:MAX_EXAMPLE_CHARS])
            self._examples.setdefault(reason, shown)
        elif len(self.documents) < self._room or url in self.documents:
            self.documents[url] = entry.version
        else:
            self._has_stopped = True
            self._limits[bound_note(self._room)] = None
            return False
        return True

    def _checked(self, address: str) -> tuple[str, str]:
        """Return the normalised address, and why it is left out or ""."""
        try:
            url = normalise_in_source(self.spec, address)
        except AddressRefused:
            return "", "that are no web addresses"
        reason = exclusion_reason(self.spec, url)
        return url, reason or ("that robots.txt forbids" if crawler.is_forbidden(url) else "")
