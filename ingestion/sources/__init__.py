"""One module per kind of source, one contract.

A kind lists the addresses of its documents, says which links of a page lead to more of them, and
fetches one. Its module is registered in ``KINDS`` under the name that a Source row stores; the
functions here find the module and call it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ingestion.exceptions import SourceError
from ingestion.sources import files, website
from ingestion.types import Page, SourceSpec

SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
ACCEPTED = "give a folder, a file, or the first page of a website (https://…)"


class Kind(Protocol):
    """What the module of a kind offers."""

    def normalise(self, target: str) -> str: ...

    def list_documents(self, spec: SourceSpec) -> Iterator[str]: ...

    def follow(self, spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]: ...

    def fetch(self, spec: SourceSpec, url: str) -> Page: ...


KINDS: dict[str, Kind] = {"files": files, "website": website}


def detect_kind(target: str) -> str:
    """The kind of source that ``target`` is written like; whether it exists is for ``normalise``."""
    text = target.strip()
    scheme = SCHEME.match(text)
    if not text:
        raise SourceError(f"The target is empty; {ACCEPTED}.")
    if scheme is None or scheme[0].lower() == "file:" or Path(text).exists():
        return "files"
    if scheme[0].lower() in ("http:", "https:"):
        return "website"
    raise SourceError(f"{text!r} is of no known kind; {ACCEPTED}.")


def normalise(kind: str, target: str) -> str:
    """The one spelling of a target: an absolute path, or a canonical address."""
    return _module(kind).normalise(target.strip())


def list_documents(spec: SourceSpec) -> Iterator[str]:
    """Addresses of the documents that can be named without fetching any, one at a time."""
    return _module(spec.kind).list_documents(spec)


def follow(spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
    """Those of a page's links that are documents of the source, once each."""
    return _module(spec.kind).follow(spec, page_url, links)


def fetch(spec: SourceSpec, url: str) -> Page:
    """One document; refuses an address that is not the source's."""
    return _module(spec.kind).fetch(spec, url)


def _module(kind: str) -> Kind:
    if kind not in KINDS:
        raise SourceError(f"{kind!r} is no kind of source; known are {', '.join(KINDS)}.")
    return KINDS[kind]
