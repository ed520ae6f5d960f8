"""Passages and stored pages → what the tools return of them: bounded, with absolute addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

from django.urls import reverse

from ingestion.models import Chunk, Document
from search.api.links import absolute
from search.api.mcp_server.results import Citation, FoundPassage, Page, Result
from search.questions import Passage, is_web_address

# A chunk of 320 tokens has about 1 300 characters; ten passages of this are 60 KB.
PASSAGE_CHARS = 6_000
# About 5 000 tokens: few pages of documentation are longer, and a client's context holds some of them.
PAGE_CHARS = 20_000


class Place(TypedDict):
    """Where a passage stands."""

    title: str
    section: str
    url: str
    source: str
    page: str
    position: int


def quoted(passage: Passage, site: str) -> FoundPassage:
    """Return a passage as tools return it: its place and at most PASSAGE_CHARS of its text."""
    text = passage.text
    return FoundPassage(
        **place_of(passage, site), text=text if len(text) <= PASSAGE_CHARS else text[:PASSAGE_CHARS] + "…"
    )


def cited(passage: Passage, number: int, site: str) -> Citation:
    """Return the citation with this number: the passage's title, section, address and page."""
    return Citation(number=number, **place_of(passage, site))


def place_of(passage: Passage, site: str) -> Place:
    """Return a passage's title, section, address, source, page and position in it."""
    return Place(
        title=passage.title,
        section=passage.section,
        url=absolute(passage.link, site),
        source=passage.source,
        page=str(passage.document),
        position=passage.position,
    )


def pages_of(passages: Sequence[Passage], site: str) -> Iterator[Result]:
    """Yield each page once, in the order of its best passage.

    The result's id names that passage's position, where ``fetch`` begins if the page is long.
    """
    first = {passage.document: passage for passage in reversed(passages)}
    for passage in sorted(first.values(), key=passages.index):
        title = " › ".join(filter(None, [passage.title, passage.section]))
        yield Result(id=f"{passage.document}.{passage.position}", title=title, url=absolute(passage.link, site))


def page_of(document: Document, chunks: Sequence[Chunk], site: str, start: int) -> Page:
    """Return as many whole chunks from position ``start`` on as PAGE_CHARS allow, at least one, which may be cut.

    A page that fits as a whole is returned as a whole.
    """
    if len(text_of(chunks)) <= PAGE_CHARS:
        start = 0
    rest = [chunk for chunk in chunks if chunk.position >= start] or list(chunks[-1:])
    shown = 1
    while shown < len(rest) and len(text_of(rest[: shown + 1])) <= PAGE_CHARS:
        shown += 1
    return Page(
        title=str(document),
        url=address_of(document, site),
        source=document.source.name,
        page=str(document.pk),
        text=text_of(rest[:shown])[:PAGE_CHARS],
        next_position=rest[shown].position if shown < len(rest) else None,
    )


def text_of(chunks: Sequence[Chunk]) -> str:
    """Return the chunks as Markdown, each heading above the first that stands under it."""
    parts, heading = [], ""
    for chunk in chunks:
        if chunk.heading != heading:
            heading = chunk.heading
            parts.append(f"## {heading}")
        parts.append(chunk.text)
    return "\n\n".join(parts)


def address_of(document: Document, site: str) -> str:
    """Return where the page was published, or the address of our copy where that is no web address."""
    if is_web_address(document.url):
        return document.url
    return absolute(reverse("document", args=[document.pk]), site)
