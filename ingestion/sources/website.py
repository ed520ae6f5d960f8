"""A website as a source: its first page, and what that leads to on the same host below the same path.

The scope is the target up to its last slash; http and https count as one. Addresses out of scope, far
too long, with many parameters, or of pictures, archives and the like are not followed. A redirect is
held to the scope and to robots.txt like any link. Globs apply to the whole address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from ingestion import fetcher, politeness
from ingestion.exceptions import AddressRefused
from ingestion.sources.globs import wanted
from ingestion.types import Page, SourceSpec

MAX_QUERY_PARAMETERS = 4  # more are filters and calendars, which multiply without end
# Named rather than fetched and refused: each spared request is a round trip to somebody else's server.
# fmt: off
BINARY_SUFFIXES = frozenset(
    {
        ".7z", ".avi", ".bin", ".bmp", ".bz2", ".css", ".csv", ".deb", ".dmg", ".doc", ".docx", ".eot",
        ".epub", ".exe", ".gif", ".gz", ".ico", ".iso", ".jar", ".jpeg", ".jpg", ".js", ".json", ".m4a",
        ".map", ".mjs", ".mov", ".mp3", ".mp4", ".ogg", ".otf", ".pdf", ".png", ".ppt", ".pptx", ".rar",
        ".rpm", ".svg", ".tar", ".tgz", ".tif", ".tiff", ".ttf", ".wasm", ".wav", ".webm", ".webp",
        ".whl", ".woff", ".woff2", ".xls", ".xlsx", ".xml", ".xz", ".zip",
    }
)
# fmt: on


def normalise(target: str) -> str:
    return fetcher.canonical(target)


def list_documents(spec: SourceSpec) -> Iterator[str]:
    """Only the first page is known before anything is fetched."""
    yield fetcher.canonical(spec.target)


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    found = dict.fromkeys(filter(None, map(_canonical_or_nothing, links)))
    return [url for url in found if url != page_url and _is_document(spec, url)]


def fetch(spec: SourceSpec, url: str) -> Page:
    return fetcher.fetch(url, permit=partial(_permit, spec))


def _canonical_or_nothing(link: str) -> str:
    try:
        return fetcher.canonical(link)
    except AddressRefused:
        return ""


def _is_document(spec: SourceSpec, url: str) -> bool:
    parts = urlsplit(url)
    return (
        _in_scope(spec, url)
        and parts.query.count("&") < MAX_QUERY_PARAMETERS
        and PurePosixPath(parts.path.rpartition("/")[2]).suffix.lower() not in BINARY_SUFFIXES
        and wanted(spec, url)
    )


def _in_scope(spec: SourceSpec, url: str) -> bool:
    target, parts = urlsplit(fetcher.canonical(spec.target)), urlsplit(url)
    prefix = target.path.rpartition("/")[0] + "/"
    return parts.netloc == target.netloc and parts.path.startswith(prefix)


def _permit(spec: SourceSpec, url: str) -> None:
    """Refuse an address that the source does not cover or whose site wants to be left alone there."""
    if not _in_scope(spec, url):
        raise AddressRefused(
            f"{url} lies outside {spec.target}; if the documentation has moved there, make it the target"
        )
    if not politeness.allowed(url, fetch=partial(fetcher.fetch, content_types=())):
        raise AddressRefused(f"robots.txt forbids {url}; ask the site's owner or exclude it")
