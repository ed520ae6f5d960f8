"""A folder or a single file as a source; documents are ``file://`` addresses of text, notebook and PDF files.

Hidden entries, unknown formats and whatever lies outside the folder are skipped; linked folders are not entered (what
they lead to inside the folder is found at its own path). Only regular files are ever opened, and a symbolic link that
replaced something after its path was checked is not followed: neither in place of the folder, which was checked when
the source was saved, nor of anything in it. Globs apply to the path relative to the folder.

A document's version is made of its size and times: listing 10 000 files with it takes 0.5 s, reading and hashing them
3.5 s, and that before the cost of a task for each. No program can set a file's change time (ctime) back, so that new
content with the old size and modification time is noticed all the same.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path, PurePath
from typing import BinaryIO
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from django.conf import settings

from ingestion.exceptions import (
    AddressRefused,
    FetchFailed,
    IngestionError,
    PageGone,
    PageRefused,
    SourceError,
    StorageMissing,
    UnsupportedContent,
)
from ingestion.fetching.responses import refuse_binary
from ingestion.fetching.urls import MAX_URL_CHARS
from ingestion.media_types import BINARY, DATA, FORMATS, HEAD_BYTES, PDF, by_look, describes_interface
from ingestion.sources.globs import wanted
from ingestion.sources.local.nofollow import open_nofollow
from ingestion.types import Listed, Listing, Page, SourceSpec, Validators

PDF_MARK_BYTES = 1024  # readers look for the mark this far into a file
# Two writes within one tick of the file system's clock leave equal times: 4 ms on Linux, 2 s on FAT. A file that
# changed so recently has no version yet and is read.
SETTLED_NS = 2_500_000_000
EXAMPLES = 3  # names in a note; staff look at the folder for the rest


def normalise(target: str) -> str:
    """Return the absolute path of an existing folder, or of a file of a known format. Raise SourceError."""
    path = existing_path(target)
    if path.is_file():
        content_type_of(path.name, error=SourceError)
    elif not path.is_dir():
        raise SourceError(f"{path} does not exist or is no folder or file; check the path.")
    return str(path)


def list_documents(spec: SourceSpec) -> Listing:
    """Return the files of the folder, or the single file."""
    normalise(spec.target)
    root = saved_path(spec.target)
    if root.is_file():
        return Listing(documents=(Listed(file_url(str(root)), file_version(str(root))),), complete=True)
    return list_folder(spec, root, file_url)


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """Return nothing: files are found by listing, never by links."""
    return []


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page:
    """Return the file as it is now; ``known`` is ignored."""
    root = saved_path(spec.target)
    path = real_path(url)
    if not url.startswith("file:") or not path.is_relative_to(root):
        raise AddressRefused(f"{url} lies outside {spec.target}; add its folder as a source of its own")
    return read_page(root, path, url)


# --- Paths, also for other kinds that keep files --------------------------------------------------------


def existing_path(target: str) -> Path:
    """Return the absolute path, without links, of an existing file or folder. Raise SourceError.

    The path is valid Unicode, so that a row can store it.
    """
    try:
        path = (_from_uri(target) if target.startswith("file:") else Path(target)).expanduser().resolve()
        str(path).encode()
        path.stat()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, an unknown ~user, a NUL, no UTF-8
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{target!r} does not exist or is no usable path ({reason}); check it.") from error
    return path


def saved_path(target: str) -> Path:
    """Return the path of a source, which had no links when it was saved. Raise SourceError when it has some now.

    A link in place of the folder, or of one above it, would add files to the source that nobody allowed.
    """
    path = real_path(target)
    if path != (_from_uri(target) if target.startswith("file:") else Path(target)):
        raise SourceError(f"{target} leads to {printable(path)} by now; undo that, or make that a source of its own.")
    return path


def real_path(target: str) -> Path:
    """Return a path without its links; one whose links form a loop stays as it is, and is no file."""
    try:
        return Path(os.path.realpath(_from_uri(target) if target.startswith("file:") else target))
    except ValueError as error:
        raise AddressRefused(f"{target!r} is no usable path ({error}); delete the document") from error


def list_folder(spec: SourceSpec, root: Path, name: Callable[[str], str]) -> Listing:
    """Return the documents below ``root`` in the order of their paths; ``name`` turns a path into an address."""
    walk = _Walk(spec, str(root), name)
    cap = spec.max_pages or None
    paths = list(islice(walk.documents(), cap and cap + 1))
    return Listing(
        documents=(Listed(name(path), file_version(path)) for path in paths[:cap]),
        complete=not walk.unreadable,
        notes=tuple(walk.notes(capped=cap is not None and len(paths) > cap)),
    )


def read_page(root: Path, path: Path, url: str) -> Page:
    """Return a document below ``root`` as a page; ``path`` has no links."""
    content_type = content_type_of(path.name, error=UnsupportedContent)
    with opened(path, absence=partial(_absence, root, path)) as file:
        body = read_unchanged(path, file)
    if content_type == PDF and b"%PDF-" not in body[:PDF_MARK_BYTES]:
        raise UnsupportedContent(f"{printable(path)} is no PDF although its name says so; rename or exclude it")
    if content_type not in BINARY:
        refuse_binary(printable(path), body)
    return Page(url=url, body=body, content_type=by_look(path.name, content_type, body))


def content_type_of(name: str, *, error: type[SourceError | UnsupportedContent]) -> str:
    """Return the media type by a file's name. Raise ``error`` for an unknown format."""
    content_type = FORMATS.get(PurePath(name).suffix.lower())
    if content_type is None:
        raise error(f"{printable(name)} has no accepted format; accepted are {' '.join(FORMATS)}.")
    return content_type


def is_other_data(path: Path) -> bool:
    """Return whether a file is YAML or JSON by its suffix, but no description of an API by its first bytes."""
    if path.suffix.lower() not in DATA:
        return False
    try:
        with os.fdopen(open_nofollow(real_path(str(path)), os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return not describes_interface(file.read(HEAD_BYTES))
    except OSError:
        return False  # reading it will say why


@contextmanager
def opened(path: Path, *, absence: Callable[[], IngestionError]) -> Iterator[BinaryIO]:
    """Yield a regular file, open for reading. Raise the error that ``absence`` makes when there is none.

    Should a pipe or a link replace it, or a folder above it, at the last moment, opening neither waits nor follows.
    """
    try:
        if not path.is_file():
            raise absence()
        with os.fdopen(open_nofollow(real_path(str(path)), os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FetchFailed(f"{printable(path)} has become something else than a file; it will be tried again")
            yield file
    except PermissionError as error:
        raise PageRefused(f"{printable(path)} may not be read; give the worker's user the right to") from error
    except OSError as error:
        raise FetchFailed(f"{printable(path)} cannot be read ({error.strerror}); it will be tried again") from error


def read_unchanged(path: Path, file: BinaryIO) -> bytes:
    """Return the whole file. Raise FetchFailed when it changes meanwhile, UnsupportedContent when it is too large."""
    before = os.fstat(file.fileno())
    if before.st_size > settings.FETCH_MAX_BYTES:
        raise UnsupportedContent(
            f"{printable(path)} is larger than {settings.FETCH_MAX_BYTES} bytes; exclude it or raise FETCH_MAX_BYTES"
        )
    body = file.read(before.st_size)
    if stamp(os.fstat(file.fileno())) != stamp(before):
        raise FetchFailed(f"{printable(path)} was written while it was read; it will be tried again")
    return body


def stamp(status: os.stat_result) -> str:
    """Return a text that differs whenever the content may differ."""
    return f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"


def file_version(path: str) -> str:
    """Return the stamp of a file, or "" (it has to be read) when it changed so recently that it may change again."""
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    return stamp(status) if changed < time.time_ns() - SETTLED_NS else ""


def file_url(path: str) -> str:
    """Return the ``file://`` address of an absolute path."""
    return f"file://{quote_from_bytes(os.fsencode(path))}"


def printable(path: str | Path) -> str:
    """Return a path for messages; names may hold any bytes, while rows and logs hold text."""
    return os.fsencode(path).decode(errors="replace")


# --- Walking ------------------------------------------------------------------------------------------


class _Walk:
    """One pass over a folder, with the paths that had to be left out."""

    def __init__(self, spec: SourceSpec, root: str, name: Callable[[str], str]) -> None:
        self.unreadable: list[str] = []
        self._too_long: list[str] = []
        self._spec, self._root, self._name = spec, root, name

    def documents(self) -> Iterator[str]:
        """Yield the paths of documents in order, while the names of one folder per level are held."""
        waiting = [(self._root, True)]
        while waiting:
            path, is_folder = waiting.pop()
            # What lies below a folder has a longer address than the folder's own bytes.
            if len(os.fsencode(path) if is_folder else self._name(path)) > MAX_URL_CHARS:
                self._too_long.append(path)
            elif is_folder:
                waiting += self._entries(path)
            else:
                yield path

    def notes(self, *, capped: bool) -> Iterator[str]:
        """Yield sentences that say what was left out."""
        if capped:
            yield f"Only the first {self._spec.max_pages} documents are taken (max_pages)."
        if self.unreadable:
            yield f"Folders that cannot be read are left out, and nothing is removed: {_some(self.unreadable)}."
        if self._too_long:
            yield f"Addresses above {MAX_URL_CHARS} characters are left out: {_some(self._too_long)}."

    def _entries(self, folder: str) -> list[tuple[str, bool]]:
        """Return the folders (True) and documents of a folder, last first."""
        try:
            return sorted(self._scan(folder), reverse=True)
        except OSError:
            self.unreadable.append(folder)
            return []

    def _scan(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the path of each folder (True) and each document (False) directly in a folder, in no order.

        Hidden names and linked folders are passed over. Raise OSError when the folder cannot be read, or when a link is
        in its path by now.
        """
        descriptor = open_nofollow(Path(folder))
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    path, is_folder = str(Path(folder, entry.name)), entry.is_dir(follow_symlinks=False)
                    if not entry.name.startswith(".") and (is_folder or self._is_document(entry, path)):
                        yield path, is_folder
        finally:
            os.close(descriptor)

    def _is_document(self, entry: os.DirEntry[str], path: str) -> bool:
        """Return whether an entry, which lies at ``path``, is a document of the source.

        That is a regular file, or a link to one below the root, of a known format that the globs want; JSON and YAML
        count only when they describe an API.
        """
        if PurePath(entry.name).suffix.lower() not in FORMATS:
            return False
        if not wanted(self._spec, path.removeprefix(self._root).lstrip("/")):
            return False
        if not entry.is_file(follow_symlinks=False):
            target = real_path(path) if entry.is_symlink() else None
            if target is None or not target.is_relative_to(self._root) or not target.is_file():
                return False
        return not is_other_data(Path(path))


def _some(paths: list[str]) -> str:
    """Return the first EXAMPLES paths for a note, 200 characters of each at most, and how many more there are."""
    more = f" and {len(paths) - EXAMPLES} more" if len(paths) > EXAMPLES else ""
    return ", ".join(printable(path)[:200] for path in paths[:EXAMPLES]) + more


# --- Reading ------------------------------------------------------------------------------------------


def _from_uri(url: str) -> Path:
    """Return the path in a ``file:`` address, whose names may hold any bytes. Raise ValueError when it is malformed."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(url).path)))


def _absence(root: Path, path: Path) -> PageGone | StorageMissing:
    """Return the error for a file that is not there.

    When its whole folder vanished, a disk is not mounted rather than the document deleted.
    """
    if path != root and not root.is_dir():
        return StorageMissing(f"{printable(root)} is not there; mount it or delete the source")
    return PageGone(f"{printable(path)} does not exist any more, or is no regular file")
