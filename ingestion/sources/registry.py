"""The kinds of sources: a module for each, all with one contract.

A kind lists the documents that a source holds now, says which links of a page lead to more of them, and fetches one.
Its module is registered in ``KINDS`` under the name that a Source row stores; the functions here find the module and
call it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from ingestion.exceptions import SourceError
from ingestion.sources.github import source as github
from ingestion.sources.local import files, jsonl, uploads
from ingestion.sources.web import sitemap, url_list, website
from ingestion.types import Listing, Page, SourceSpec, Validators

SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
SITEMAP = re.compile(r"sitemap[^/]*\.(xml|xml\.gz|txt)$|/robots\.txt$", re.IGNORECASE)
ACCEPTED = (
    "give the first page of a website (https://…), a sitemap's address, github:owner/repo[@ref][/path], a folder, "
    "a file, or a file of JSON lines (.jsonl)"
)


class Kind(Protocol):
    """The functions of a kind's module."""

    def normalise(self, target: str) -> str:
        """Return the normalised target. Raise SourceError or AddressRefused."""

    def list_documents(self, spec: SourceSpec) -> Listing:
        """Return the documents of a source, or the first ones, from which others are found."""

    def follow(self, spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
        """Return those of a page's links that are other documents of the source."""

    def fetch(self, spec: SourceSpec, url: str, known: Validators = ...) -> Page | None:
        """Return the page of a document, or None when it is the one that ``known`` describes."""


KINDS: dict[str, Kind] = {
    "website": website,
    "sitemap": sitemap,
    "github": github,
    "files": files,
    "urls": url_list,
    "jsonl": jsonl,
    "uploads": uploads,
}

# Kinds whose documents are downloaded all at once, and the function that does it: ``(spec) -> None``.
BULK = {"github": github.prepare}
# Kinds that keep files on this machine, and the function that deletes them: ``(target) -> None``.
KEEPERS = {"uploads": uploads.remove}


def detect_kind(target: str) -> str:
    """Return the kind of source that a target is written like; ``normalise`` checks whether it exists."""
    text = target.strip()
    scheme = SCHEME.match(text)
    if not text:
        raise SourceError(f"The target is empty; {ACCEPTED}.")
    if scheme is None or scheme[0].lower() == "file:" or Path(text).exists():
        return "jsonl" if text.lower().endswith((".jsonl", ".ndjson")) else "files"
    if scheme[0].lower() == "github:":
        return "github"
    if scheme[0].lower() not in ("http:", "https:"):
        raise SourceError(f"{text!r} is of no known kind; {ACCEPTED}.")
    try:
        parts = urlsplit(text)
    except ValueError:
        return "website"  # its normalise says what is wrong with it
    if parts.hostname in ("github.com", "www.github.com") and parts.path.strip("/").count("/") >= 1:
        return "github"
    if parts.path.lower().endswith("/llms.txt"):
        return "urls"
    return "sitemap" if SITEMAP.search(parts.path) else "website"


def normalise(kind: str, target: str) -> str:
    """Return the normalised target: an absolute path, or a canonical address. Raise SourceError or AddressRefused."""
    return _module(kind).normalise(target.strip())


def list_documents(spec: SourceSpec) -> Listing:
    """Return the documents that a source holds now."""
    return _module(spec.kind).list_documents(spec)


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """Return those of a page's links that are documents of the source, once each."""
    return _module(spec.kind).follow(spec, page_url, links)


def fetch(spec: SourceSpec, url: str, known: Validators = Validators()) -> Page | None:
    """Fetch one document, or return None while it is the version that ``known`` describes.

    Raise AddressRefused for an address that does not belong to the source.
    """
    return _module(spec.kind).fetch(spec, url, known)


def prepare(spec: SourceSpec) -> None:
    """Download what many documents share, such as an archive; it may take longer than one document may."""
    BULK[spec.kind](spec)


def forget(spec: SourceSpec) -> None:
    """Delete what is kept on this machine for a source that was deleted."""
    if spec.kind in KEEPERS:
        KEEPERS[spec.kind](spec.target)


def _module(kind: str) -> Kind:
    """Return the module of a kind of source. Raise SourceError when there is no kind of this name."""
    if kind not in KINDS:
        raise SourceError(f"{kind!r} is no kind of source; known are {', '.join(KINDS)}.")
    return KINDS[kind]
