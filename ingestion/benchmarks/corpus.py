"""The documents that benchmarks read: a folder of pages, Django's documentation unless another is named.

A page is a .txt, .rst, .md or .html file. Fewer pages than the folder holds are taken evenly from all of it, so that
a small run has the same mixture of long and short pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from ingestion.benchmarks.django_docs import documentation
from ingestion.exceptions import SourceError
from ingestion.pipeline.report.preview import fetch_and_extract, split_into_chunks
from ingestion.types import SourceSpec, TextChunk, embedding_text

PAGES = {".txt", ".rst", ".md", ".html"}


def folder_of(docs: Path | None) -> Path:
    """Return the folder named, or that of Django's documentation, downloaded once from the package registry."""
    if docs is None:
        return documentation(Path(settings.DATA_DIR))
    if not docs.is_dir():
        raise SourceError(f"{docs} is no folder; --docs names one that holds {', '.join(sorted(PAGES))} files.")
    return docs.resolve()


def files(folder: Path, pages: int = 0) -> list[Path]:
    """Return the folder's pages in order, at most ``pages`` of them; 0: all."""
    found = sorted(file for file in folder.rglob("*") if file.suffix in PAGES)
    if not found:
        raise SourceError(f"{folder} holds no {', '.join(sorted(PAGES))} files.")
    wanted = min(pages, len(found)) if pages else len(found)
    return [found[index * len(found) // wanted] for index in range(wanted)]


def chunks(folder: Path, pages: int = 0) -> Iterator[list[TextChunk]]:
    """Yield the chunks of each page, as the pipeline cuts them."""
    spec = SourceSpec("files", str(folder))
    for file in files(folder, pages):
        yield split_into_chunks(fetch_and_extract(spec, file.resolve().as_uri()))


def texts(folder: Path, pages: int = 0) -> list[list[str]]:
    """Return what the model reads of each page, a text per chunk."""
    return [[embedding_text(chunk.heading, chunk.shown) for chunk in page] for page in chunks(folder, pages)]
