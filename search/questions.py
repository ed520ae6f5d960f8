"""What goes into a search and what comes out: a question, and passages with their addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, urldefrag, urlsplit

from django.urls import reverse

from search.access.caller import Caller
from search.passage_text import preview


@dataclass(frozen=True, slots=True)
class Question:
    """``source`` is a name, or empty for all that ``caller`` sees; ``mode`` is "hybrid", "dense", "sparse" or "words".

    ``version`` is one of a product's, ANY_VERSION, or empty for the newest of each product; ``path`` is what addresses
    begin with. ``again`` asks for a new answer where there is an earlier one. ``parts`` are questions that together ask
    the same; they are searched for, too. A ``follow_up`` was made to stand alone; its answer belongs to its
    conversation, and is shared with nobody. ``rerank``: a reranker, where there is one, may order the passages.
    """

    text: str
    caller: Caller
    source: str = ""
    limit: int = 5
    mode: str = "hybrid"
    again: bool = False
    version: str = ""
    path: str = ""
    parts: tuple[str, ...] = ()
    follow_up: bool = False
    rerank: bool = True


class Copy(NamedTuple):
    """Another document that says what a passage says."""

    url: str
    link: str
    title: str
    source: str
    version: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A stored chunk that answers; every field but ``score`` comes from the database.

    ``text`` may have grown by its neighbours; then ``excerpt`` is what was found. ``found_by`` is the text that found
    it, where that is not the question: a part of it, or what it may mean.
    """

    score: float
    title: str
    url: str
    heading: str
    anchor: str
    text: str
    document: int
    source: str
    position: int
    version: str = ""
    excerpt: str = ""
    copies: tuple[Copy, ...] = ()
    found_by: str = ""

    @classmethod
    def restored(cls, fields: dict[str, Any]) -> Passage:
        """Return the passage whose fields ``dataclasses.asdict`` returned."""
        return cls(**{**fields, "copies": tuple(Copy(*copy) for copy in fields.get("copies", ()))})

    @property
    def section(self) -> str:
        """Return the heading path without the title that many pages begin it with."""
        parts = self.heading.split(" › ")
        return " › ".join(parts[1:] if parts[0] == self.title else parts)

    @property
    def external(self) -> bool:
        """Return whether a browser may follow ``url``."""
        return is_web_address(self.url)

    @property
    def link(self) -> str:
        """Return the address of the section on the original page, or in our own copy of it."""
        if not self.external:
            return f"{reverse('document', args=[self.document])}#p{self.position}"
        page = urldefrag(self.url).url
        return f"{page}#{quote(self.anchor, safe=FRAGMENT_SAFE)}" if self.anchor else page

    def as_row(self) -> dict[str, Any]:
        """Return the fields for the command line, which may show the address of a file."""
        return {
            "score": self.score,
            "title": self.title,
            "url": self.url,
            "heading": self.heading,
            "text": self.text,
            "document": self.document,
            "source": self.source,
            "version": self.version,
            "position": self.position,
            "found_by": self.found_by,
            "also": [{"source": c.source, "version": c.version, "url": c.url} for c in self.copies],
        }

    def as_citation(self, number: int) -> dict[str, Any]:
        """Return the fields for browsers, which never learn the paths of files on the server."""
        return {
            **self.as_row(),
            "number": number,
            "section": self.section,
            "preview": preview(self.excerpt or self.text),
            "also": [{"source": c.source, "version": c.version, "link": c.link} for c in self.copies],
            "url": self.url if self.external else "",
            "link": self.link,
            "external": self.external,
        }


def is_web_address(url: str) -> bool:
    """Return whether a browser may follow an address: anything but http(s) could run code or tell of the server."""
    try:
        parts = urlsplit(url)
    except ValueError:  # as of "http://[docs]/"
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def other_texts(passages: Iterable[Passage]) -> str:
    """Return a sentence on texts other than the question that passages were found by; empty without any."""
    texts = dict.fromkeys(passage.found_by for passage in passages if passage.found_by)
    return f"Searched for {', '.join(f'“{text}”' for text in texts)}." if texts else ""


# The version that stands for all of them.
ANY_VERSION = "all"
# What RFC 3986 allows in a fragment besides letters and digits; "%" stays for anchors quoted already.
FRAGMENT_SAFE = "!$&'()*+,;=:@/?-._~%"
