"""Page → Extracted: the main text of one document as Markdown, with its title, links and anchors.

In: a ``Page`` as fetched (bytes). Out: an ``Extracted``. ``encoding`` makes text of the bytes, the reader of the format
makes Markdown of the text.
Raises ``UnsupportedContent`` for a format that no reader is for, a binary, a placeholder that a tool for large files
left, and a page without text.
Does not fetch, chunk or store.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ingestion import robots_directives
from ingestion.exceptions import UnsupportedContent
from ingestion.extraction import notebook, plain
from ingestion.extraction.encoding import decode
from ingestion.extraction.html import reader as html
from ingestion.extraction.markdown import reader as markdown
from ingestion.extraction.openapi import reader as openapi
from ingestion.extraction.pandoc import reader as pandoc
from ingestion.extraction.pandoc import spreadsheet
from ingestion.extraction.pdf import reader as pdf
from ingestion.extraction.rst import reader as rst
from ingestion.extraction.sanitize import clean, looks_binary
from ingestion.types import Extracted, Page

asciidoc = partial(pandoc.read_text, markup="asciidoc")
org = partial(pandoc.read_text, markup="org")
READERS: dict[str, Callable[[str, str], Extracted]] = {
    "text/html": html.read,
    "application/xhtml+xml": html.read,
    "text/markdown": markdown.read,
    "text/x-markdown": markdown.read,
    "text/x-rst": rst.read,
    "text/prs.fallenstein.rst": rst.read,
    "text/asciidoc": asciidoc,
    "text/x-asciidoc": asciidoc,
    "text/x-org": org,
    "text/plain": plain.read,
    "application/x-ipynb+json": notebook.read,
    "application/vnd.oai.openapi": openapi.read,
    "application/vnd.oai.openapi+json": openapi.read,
    "application/json": openapi.read,
    "application/yaml": openapi.read,
    "application/x-yaml": openapi.read,
    "text/yaml": openapi.read,
    "text/x-yaml": openapi.read,
}
BINARY_READERS: dict[str, Callable[[str, bytes], Extracted]] = {
    "application/pdf": pdf.read,
    "application/rtf": pandoc.read_rtf,
    "text/rtf": pandoc.read_rtf,
    "application/epub+zip": partial(pandoc.read_archive, markup="epub"),
    "application/vnd.oasis.opendocument.text": partial(pandoc.read_archive, markup="odt"),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": partial(
        pandoc.read_archive, markup="docx"
    ),
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": partial(
        pandoc.read_archive, markup="pptx"
    ),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": spreadsheet.read,
}
MARKUP = (markdown.read, rst.read, asciidoc, org)  # readers that take time per line
# What a checkout without the large files holds in the place of each: of Git LFS, and of git-annex.
PLACEHOLDER = re.compile(
    rb"(?:\xef\xbb\xbf)?version https://(?:git-lfs|hawser)\.github\.com/spec/|(?:\S{0,200}/)?annex/objects/\S+\s*\Z"
)
MAX_PLACEHOLDER_BYTES = 1024  # by the specification of Git LFS
HTML_TYPES = ("text/html", "application/xhtml+xml")


def extract(page: Page) -> Extracted:
    """Return the page's main text as Markdown. Raises UnsupportedContent with the address and the reason."""
    if len(page.body) <= MAX_PLACEHOLDER_BYTES and PLACEHOLDER.match(page.body):
        raise UnsupportedContent(
            f"{page.url} is a placeholder for a large file that is kept elsewhere; get the file itself (git lfs pull, "
            f"git annex get) or exclude it"
        )
    binary_reader = BINARY_READERS.get(page.content_type)
    extracted = binary_reader(page.url, page.body) if binary_reader else read_text(page)
    is_indexable = extracted.indexable and not page.robots & robots_directives.NO_INDEX
    links = () if page.robots & robots_directives.NO_FOLLOW else extracted.links
    return replace(extracted, indexable=is_indexable, links=links) if page.robots else extracted


def read_text(page: Page) -> Extracted:
    """Return the main text of a page in a format that is text.

    Raise UnsupportedContent for another format, for binary data, and for a page without text.
    """
    reader = READERS.get(page.content_type)
    if reader is None:
        raise UnsupportedContent(f"{page.content_type or 'no content type'} is no format we read: {page.url}")
    text = decode(page.body, page.charset, is_html=page.content_type in HTML_TYPES)
    if looks_binary(text):
        raise UnsupportedContent(f"a binary file declared as {page.content_type}: {page.url}")
    text = clean(text)
    if reader in MARKUP and plain.has_too_many_lines(text):
        reader = plain.read
    extracted = reader(page.url, text)
    if not extracted.markdown.strip() and not extracted.frames:
        raise UnsupportedContent(f"no text in {page.url}")
    return extracted
