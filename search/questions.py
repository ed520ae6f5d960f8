"""What goes into a search and what comes out: a question, and passages with their addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urldefrag, urlsplit

from django.urls import reverse

from search.access.caller import Caller
from search.passage_text import preview


@dataclass(frozen=True, slots=True)
class Question:
    """``source`` is a name, or empty for all that ``caller`` sees; ``mode`` is "hybrid", "dense", "sparse" or "words".

    ``again`` asks for a new answer where there is an earlier one.
    """

    text: str
    caller: Caller
    source: str = ""
    limit: int = 5
    mode: str = "hybrid"
    again: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """A stored chunk that answers; every field but ``score`` comes from the database."""

    score: float
    title: str
    url: str
    heading: str
    anchor: str
    text: str
    document: int
    source: str
    position: int
    # The line of the fence that is open where the passage begins, for a block of code that was cut.
    fence: str = ""

    @property
    def markdown(self) -> str:
        """Return the text as Markdown that stands alone, with its fence."""
        return f"{self.fence}\n{self.text}" if self.fence else self.text

    @property
    def section(self) -> str:
        """Return the heading path without the title that many pages begin it with."""
        parts = self.heading.split(" › ")
        return " › ".join(parts[1:] if parts[0] == self.title else parts)

    @property
    def external(self) -> bool:
        """Return whether a browser may follow ``url``: anything but http(s) could run code or tell of the server."""
        parts = urlsplit(self.url)
        return parts.scheme in ("http", "https") and bool(parts.netloc)

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
            "position": self.position,
        }

    def as_citation(self, number: int) -> dict[str, Any]:
        """Return the fields for browsers, which never learn the paths of files on the server."""
        return {
            **self.as_row(),
            "number": number,
            "section": self.section,
            "preview": preview(self.text, self.fence),
            "url": self.url if self.external else "",
            "link": self.link,
            "external": self.external,
        }


# What RFC 3986 allows in a fragment besides letters and digits; "%" stays for anchors quoted already.
FRAGMENT_SAFE = "!$&'()*+,;=:@/?-._~%"
