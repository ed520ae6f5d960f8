"""Targets -> what their documents become, without rows and without services.

A file, or a web page, is one document; a folder, a list of addresses, a sitemap, a repository or a file of
JSON lines is as many as it names. Every document gives one ``Reading``, one that cannot be read an error in
its place, and none keeps the others from being read. Only web targets need Redis, which keeps the pace of
requests for all processes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings

from ingestion.chunking.chunker import chunk, load_tokenizer
from ingestion.exceptions import BufferUnavailable, HostBusy, IngestionError
from ingestion.extraction.extract import extract
from ingestion.sources.registry import detect_kind, fetch, list_documents, normalise
from ingestion.types import Extracted, SourceSpec, TextChunk

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """``target`` is what was asked for, or the document of it; without ``extracted`` there is an error."""

    target: str
    extracted: Extracted | None = None
    error: str = ""


def read(
    targets: Iterable[str], *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = (), max_pages: int = 0
) -> Iterator[Reading]:
    """The documents of the targets, in order."""
    for target in targets:
        try:
            kind = detect_kind(target)
            spec = SourceSpec(kind, normalise(kind, target), include, exclude, max_pages)
            yield from _documents(spec, target)
        except Exception as error:  # of the listing: those of a document are its own
            yield Reading(target, error=_reason(error, target))


def cut(extracted: Extracted) -> list[TextChunk]:
    """The chunks that the pipeline would make of it. Raises ModelError without the model's tokenizer."""
    return chunk(extracted, tokenizer=load_tokenizer(settings.MODEL_PATH), max_tokens=settings.CHUNK_TOKENS)


def _documents(spec: SourceSpec, target: str) -> Iterator[Reading]:
    if spec.kind == "website" or (spec.kind == "files" and Path(spec.target).is_file()):
        address = spec.target if spec.kind == "website" else Path(spec.target).as_uri()
        yield _read(spec, address, target)
        return
    listing = list_documents(spec)
    for each in islice(listing.documents, spec.max_pages or None):
        yield _read(spec, each.url, _shown(spec, each.url, target))


def _shown(spec: SourceSpec, url: str, target: str) -> str:
    """A file of a folder under the name by which the folder was given."""
    if spec.kind != "files":
        return url
    path = Path(unquote(urlsplit(url).path))
    return str(Path(target) / path.relative_to(spec.target)) if path.is_relative_to(spec.target) else url


def _read(spec: SourceSpec, url: str, target: str) -> Reading:
    try:
        return Reading(target, extracted_of(spec, url))
    except Exception as error:  # the border: whatever a document provokes is its own error
        return Reading(target, error=_reason(error, url))


def extracted_of(spec: SourceSpec, url: str) -> Extracted:
    """Waits for the turn of the document's host: nobody else is held up by this process."""
    while True:
        try:
            page = fetch(spec, url)
        except HostBusy as busy:
            time.sleep(max(busy.retry_after or 0.0, 0.01))
        else:
            return extract(page) if page else Extracted("", "")


def _reason(error: Exception, address: str) -> str:
    if isinstance(error, BufferUnavailable):
        return f"{error} The pace of requests to web sites is kept in Redis: start it (manage.py up) or set REDIS_URL."
    if isinstance(error, IngestionError):
        return str(error)
    logger.error("%s: unexpected error", address, exc_info=error)
    return f"Unexpected {type(error).__name__}: {error}."
