"""The frozen dataclasses that stages hand to one another.

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
    """How fast requests may go to the hosts of a source; None stands for the settings' defaults."""

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
    """A document that a source names, before it is fetched.

    ``version`` changes with the document's content (a sitemap's lastmod, a blob's SHA); while it equals the stored one,
    nothing is fetched.
    """

    url: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """The documents that a source holds now.

    ``complete`` means that nothing else belongs to the source, so that links are not followed and documents that are
    not listed are gone. ``notes`` tell staff what was left out and why.
    """

    documents: Iterable[Listed]
    complete: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Validators:
    """The validators that a server sent with the stored version of a page; either may be empty."""

    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One fetched document as bytes.

    ``url`` is the final address (after redirects); ``content_type`` is a bare media type in lower case; ``charset`` is
    the one that the transport declared, or ""; ``title`` is the one that the source gives the document, or "";
    ``robots`` are the directives for crawlers that came beside the page, such as "noindex".
    """

    url: str
    body: bytes
    content_type: str
    charset: str = ""
    etag: str = ""
    last_modified: str = ""
    title: str = ""
    robots: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Dropped:
    """Words of a page that a named rule left out of its Markdown: how many, and the first of them."""

    rule: str
    words: int
    sample: str


@dataclass(frozen=True, slots=True)
class Extracted:
    """A page as Markdown.

    ``links`` are the absolute addresses in it, in order, without fragments, without the page's own translations and
    without links marked nofollow. ``anchors`` maps a heading path (``"Models › Fields"``) to the fragment that leads
    there; ``canonical`` is the absolute address that the page names as its own, or ""; a page that is not ``indexable``
    asks to be left out of answers; ``frames`` are the addresses of the pages that a frameset, which is no document,
    shows in its place; ``dropped`` names each rule that left words out.
    """

    title: str
    markdown: str
    links: tuple[str, ...] = ()
    anchors: dict[str, str] = field(default_factory=dict)
    canonical: str = ""
    indexable: bool = True
    frames: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A chunk of a document's Markdown before it is embedded: ``markdown[start:end] == text``.

    ``heading`` is the heading path joined by " › "; ``before`` and ``after`` are shown around the text of a piece of a
    table or a fence: the header rows, the lines that open and close it. ``tokens`` counts what the model will see.
    """

    text: str
    start: int
    end: int
    heading: str
    anchor: str
    tokens: int
    before: str = ""
    after: str = ""

    @property
    def shown(self) -> str:
        """Return what the model and readers see of the chunk below its heading path."""
        return f"{self.before}{self.text}{self.after}"


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of a text: dense (dimension,) float32 of unit length; sparse token ids uint32, weights float32."""

    dense: FloatArray
    indices: IndexArray
    weights: FloatArray


@dataclass(frozen=True, slots=True)
class TermWeights:
    """A sparse vector of words: hashes of terms uint32, weights float32."""

    terms: IndexArray = field(default_factory=lambda: np.empty(0, np.uint32))
    weights: FloatArray = field(default_factory=lambda: np.empty(0, np.float32))


NO_WORDS = TermWeights()


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """An embedding model.

    ``path`` is a folder or hub id, ``pooling`` ("cls" or "mean") says how the vector of a text is made from those of
    its tokens, and ``dimension`` is its length.
    """

    path: str
    pooling: str
    dimension: int


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """A chunk with its vectors and everything else that Milvus stores of it, as it travels through the buffer.

    ``context`` is stored nowhere; its words count as those of the text.
    ``collection`` is the name of the one that it was made for, or "" for whichever is written. ``words`` do not travel:
    the drain makes them of the text.
    """

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
    words: TermWeights = NO_WORDS
    context: str = ""


# What a search found: scores of stored chunks by their keys, best first. They grow with relevance and are comparable
# within one answer only.
Hits = dict[str, float]
Json = dict[str, Any]


def embedding_text(heading: str, text: str, context: str = "") -> str:
    """Return what the model reads of a chunk: heading path, sentence of context if it has one, text; blank lines."""
    return "\n\n".join([*filter(None, (heading, context)), text])
