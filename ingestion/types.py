"""What the stages hand to one another: frozen dataclasses, nothing else.

A stage receives one of these and returns another; no stage sees a database row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class CrawlPolicy:
    """How the hosts of a source are to be treated; None means the settings' defaults."""

    delay_seconds: float | None = None  # between the starts of two requests to one host
    connections: int | None = None  # requests in flight to one host; 0: no bound


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Where documents come from; the part of a Source row that the source modules need."""

    kind: str
    target: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_pages: int = 0
    max_depth: int = 0
    crawl_policy: CrawlPolicy = CrawlPolicy()


@dataclass(frozen=True, slots=True)
class Listed:
    """A document that a source names before it is fetched. ``version`` changes with its content (a
    sitemap's lastmod, a blob's SHA); while it is the stored one, nothing is fetched."""

    url: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds now. ``complete``: nothing else belongs to it, so that links are not followed
    and what is not named is gone. ``notes`` tell staff what was left out and why."""

    documents: Iterable[Listed]
    complete: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server said of the version that is stored; either may be empty."""

    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One fetched document as bytes.

    ``url`` is the final address (after redirects); ``content_type`` is a bare media type in
    lower case; ``charset`` is what the transport declared, or an empty string; ``title`` is what
    the source calls the document, if it says so.
    """

    url: str
    body: bytes
    content_type: str
    charset: str = ""
    etag: str = ""
    last_modified: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A page as Markdown; ``links`` are absolute addresses found in it, in order, without fragments,
    without the page's own translations and without those that nobody is meant to follow.

    ``anchors`` maps a heading path (``"Models › Fields"``) to the fragment that leads there;
    ``canonical`` is the absolute address that the page names as its own, if it names one; a page that
    is not ``indexable`` asks to be left out of answers.
    """

    title: str
    markdown: str
    links: tuple[str, ...] = ()
    anchors: dict[str, str] = field(default_factory=dict)
    canonical: str = ""
    indexable: bool = True


@dataclass(frozen=True, slots=True)
class TextChunk:
    """``markdown[start:end] == text``; ``heading`` is the path joined by " › "; ``tokens`` counts the
    text as the model will see it, heading path included."""

    text: str
    start: int
    end: int
    heading: str
    anchor: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Vectors:
    """Dense: (dimension,) float32, unit length. Sparse: token ids (uint32) and weights (float32)."""

    dense: FloatArray
    indices: IndexArray
    weights: FloatArray


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """An embedding model: a folder or hub id, how a text's vector is taken from its tokens ("cls" or "mean"), and
    the vector's length."""

    path: str
    pooling: str
    dimension: int


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """What travels through the Redis list: everything that Milvus stores of one chunk, and the name of the collection
    that it was made for (empty: whichever is written)."""

    key: str
    chunk_id: int
    document_id: int
    source_id: int
    url: str
    title: str
    heading: str
    position: int
    text: str
    vectors: Vectors
    collection: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result; ``score`` grows with relevance and is comparable within one answer only."""

    key: str
    score: float
    document_id: int
    source_id: int
    url: str
    title: str
    heading: str
    position: int
    text: str


Json = dict[str, Any]


def embedding_text(heading: str, text: str) -> str:
    """What the model reads of a chunk: its heading path, a blank line, its text."""
    return f"{heading}\n\n{text}" if heading else text
