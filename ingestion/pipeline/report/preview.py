"""Targets -> what their documents become, without rows and without services.

A file, or a web page, is one document; a folder, a list of addresses, a sitemap, a repository or a file of JSON lines
is as many as it names. Every document gives one ``Reading``, which holds an error if the document cannot be read; the
others are read all the same. Only web targets need Redis, which keeps the pace of requests for all processes.
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
    """One document; ``target`` is its name for people. Without ``extracted`` there is an ``error``."""

    target: str
    extracted: Extracted | None = None
    error: str = ""


def read(
    targets: Iterable[str], *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = (), max_pages: int = 0
) -> Iterator[Reading]:
    """Yield the documents of the targets in order, at most ``max_pages`` of each; 0: all."""
    for target in targets:
        try:
            kind = detect_kind(target)
            spec = SourceSpec(kind, normalise(kind, target), include, exclude, max_pages)
            for url, name in _documents(spec, target):
                yield _read(spec, url, name)
        except Exception as error:  # of the listing: those of a document are in its reading
            yield Reading(target, error=_reason(error, target))


def fetch_and_extract(spec: SourceSpec, url: str) -> Extracted:
    """Return what the document at ``url`` says, after sleeping for as long as its host must not be asked."""
    while True:
        try:
            page = fetch(spec, url)
        except HostBusy as busy:
            time.sleep(max(busy.retry_after or 0.0, 0.01))
        else:
            return extract(page) if page else Extracted("", "")


def split_into_chunks(extracted: Extracted) -> list[TextChunk]:
    """Return the chunks that the pipeline would make. Raises ModelError without the model's tokenizer."""
    return chunk(extracted, tokenizer=load_tokenizer(settings.MODEL_PATH), max_tokens=settings.CHUNK_TOKENS)


def _documents(spec: SourceSpec, target: str) -> Iterator[tuple[str, str]]:
    """Yield the address and the name of each document; a file of a folder is named as the folder was."""
    root = Path(spec.target)
    if spec.kind == "website":
        yield spec.target, target
        return
    if spec.kind == "files" and root.is_file():
        yield root.as_uri(), target
        return
    for each in islice(list_documents(spec).documents, spec.max_pages or None):
        path = Path(unquote(urlsplit(each.url).path))
        below = spec.kind == "files" and path.is_relative_to(root)
        yield each.url, str(Path(target) / path.relative_to(root)) if below else each.url


def _read(spec: SourceSpec, url: str, name: str) -> Reading:
    """Return what the document at ``url`` says as a reading named ``name``, or one with the error that it met.

    Any Exception is such an error, and is not raised.
    """
    try:
        return Reading(name, fetch_and_extract(spec, url))
    except Exception as error:  # whatever a document provokes is its own error
        return Reading(name, error=_reason(error, url))


def _reason(error: Exception, address: str) -> str:
    """Return the sentence that tells people of an error.

    Log one that is no IngestionError, with ``address`` and its traceback.
    """
    if isinstance(error, BufferUnavailable):
        return f"{error} The pace of requests to web sites is kept in Redis: start it (manage.py up) or set REDIS_URL."
    if isinstance(error, IngestionError):
        return str(error)
    logger.error("%s: unexpected error", address, exc_info=error)
    return f"Unexpected {type(error).__name__}: {error}."
