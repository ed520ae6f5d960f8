"""A folder or a single file as a source; documents are ``file://`` addresses of text files.

Hidden entries, unknown formats and whatever lies outside the folder are passed over; linked folders
are not entered (what they show inside the folder is found at its own place). Globs apply to the path
relative to the folder.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from django.conf import settings

from ingestion.exceptions import (
    AddressRefused,
    FetchFailed,
    PageGone,
    PageRefused,
    SourceError,
    UnsupportedContent,
)
from ingestion.fetcher import MAX_URL_CHARS, refuse_binary
from ingestion.sources.globs import wanted
from ingestion.types import Page, SourceSpec

logger = logging.getLogger(__name__)

FORMATS = {
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "text/html",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".rst": "text/x-rst",
    ".txt": "text/plain",
}
# reStructuredText in a .txt file, as Django's own documentation has it: a directive, a hyperlink target,
# or a line of text with at least three equal marks below it. Dots and backquotes, which reStructuredText
# allows too, would take an ellipsis or a Markdown fence for a heading.
RST = re.compile(
    rb"""^\.\.[ ](?:[\w:+.-]+::|_[^\n]+:) | ^[^\s][^\n]*\n([=\-~^"'*+\#])\1{2,}[ \t\r]*$""",
    re.MULTILINE | re.VERBOSE,
)
SNIFF_BYTES = 64 * 1024  # a document whose first 64 KiB show no markup is read as plain text


def normalise(target: str) -> str:
    """The absolute path of an existing folder, or of a file of a known format."""
    path = _resolved(target)
    if path.is_file():
        _format_of(path, SourceError)
    elif not path.is_dir():
        raise SourceError(f"{path} does not exist or is no folder or file; check the path.")
    return str(path)


def list_documents(spec: SourceSpec) -> Iterator[str]:
    root = Path(normalise(spec.target))
    addresses = filter(_fits, map(Path.as_uri, _documents(spec, root)))
    return islice(addresses, spec.max_pages or None)


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """Files are found by listing, never by their links."""
    return []


def fetch(spec: SourceSpec, url: str) -> Page:
    path = _path_of(spec, url)
    content_type = _format_of(path, UnsupportedContent)
    body = _read(_resolved(spec.target), path)
    refuse_binary(str(path), body)
    if content_type == "text/plain" and RST.search(body[:SNIFF_BYTES]):
        content_type = "text/x-rst"
    return Page(url=url, body=body, content_type=content_type)


def _resolved(target: str) -> Path:
    try:
        path = _from_uri(target) if target.startswith("file:") else Path(target)
        return path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, an unknown ~user, a NUL
        raise SourceError(f"{target!r} is no usable path ({error}); check it.") from error


def _from_uri(url: str) -> Path:
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(url).path)))


def _format_of(path: Path, error: type[SourceError | UnsupportedContent]) -> str:
    content_type = FORMATS.get(path.suffix.lower())
    if content_type is None:
        raise error(f"{path} has no accepted format; accepted are {' '.join(FORMATS)}.")
    return content_type


def _documents(spec: SourceSpec, root: Path) -> Iterator[Path]:
    if root.is_file():
        return iter([root])
    return (path for path in _walk(root) if _is_document(spec, root, path))


def _walk(root: Path) -> Iterator[Path]:
    """Files in the order of their paths, holding one folder's names per level."""
    waiting = [root]
    while waiting:
        path = waiting.pop()
        if path.is_dir() and (path == root or not path.is_symlink()):
            waiting += sorted(_children(path), reverse=True)
        else:
            yield path


def _children(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        logger.warning("folder %s is left out: %s", folder, error.strerror)
        return []


def _is_document(spec: SourceSpec, root: Path, path: Path) -> bool:
    return (
        path.suffix.lower() in FORMATS
        and wanted(spec, path.relative_to(root).as_posix())
        and path.is_file()
        and path.resolve().is_relative_to(root)
    )


def _fits(url: str) -> bool:
    if len(url) <= MAX_URL_CHARS:
        return True
    logger.warning("file %s… is left out: its address has more than %d characters", url[:200], MAX_URL_CHARS)
    return False


def _path_of(spec: SourceSpec, url: str) -> Path:
    path = _resolved(url)
    if not url.startswith("file:") or not path.is_relative_to(_resolved(spec.target)):
        raise AddressRefused(f"{url} lies outside {spec.target}; add its folder as a source of its own")
    return path


def _read(root: Path, path: Path) -> bytes:
    if not path.is_file():
        raise _absence(root, path)
    try:
        with path.open("rb") as file:
            body = file.read(settings.FETCH_MAX_BYTES + 1)
    except PermissionError as error:
        raise PageRefused(f"{path} may not be read; give the worker's user the right to") from error
    except OSError as error:
        raise FetchFailed(f"{path} cannot be read ({error.strerror}); it will be tried again") from error
    if len(body) > settings.FETCH_MAX_BYTES:
        raise UnsupportedContent(
            f"{path} is larger than {settings.FETCH_MAX_BYTES} bytes; exclude it or raise FETCH_MAX_BYTES"
        )
    return body


def _absence(root: Path, path: Path) -> PageGone | FetchFailed:
    """A folder that vanished as a whole is a disk not mounted rather than documents deleted."""
    if path != root and not root.is_dir():
        return FetchFailed(f"{root} is not there; mount it or delete the source")
    return PageGone(f"{path} does not exist any more")
