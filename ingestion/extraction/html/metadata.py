"""What a page says of itself: its title, address, generator, and whether to index it or follow its links."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ingestion.extraction.html.parser import Node
from ingestion.extraction.links import absolute
from ingestion.extraction.sanitize import clean

MAX_TITLE_CHARS = 300
# The names under which robots are spoken to; other crawlers' own rules are not for us.
ROBOTS = ("robots", "googlebot")
_SEPARATOR = re.compile(r"[,;\s]+")


@dataclass
class Head:
    url: str
    title: str = ""
    language: str = ""
    generator: str = ""
    robots: set[str] = field(default_factory=set)
    _base: str | None = None
    _canonical: str = ""
    _alternates: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        """What references start from; the element counts wherever it stands."""
        return _resolve(self.url, self._base) or self.url if self._base else self.url

    @property
    def canonical(self) -> str:
        return _resolve(self.base, self._canonical)

    @property
    def translations(self) -> set[str]:
        found = set(absolute(self.base, self._alternates)) if self._alternates else set()
        return found - {self.url, self.canonical}

    @property
    def indexable(self) -> bool:
        return not self.robots & {"noindex", "none"}

    @property
    def follows(self) -> bool:
        return not self.robots & {"nofollow", "none"}

    def note(self, node: Node) -> None:
        """Of an element with one of ``HEAD_TAGS``."""
        _READERS[node.tag](self, node)

    def _note_html(self, node: Node) -> None:
        self.language = self.language or language(node.get("lang") or node.get("xml:lang"))

    def _note_base(self, node: Node) -> None:
        self._base = node.attributes.get("href") if self._base is None else self._base

    def _note_title(self, node: Node) -> None:
        self.title = self.title or " ".join(clean(node.text()).split())[:MAX_TITLE_CHARS]

    def _note_meta(self, node: Node) -> None:
        name, content = node.get("name").strip().lower(), node.get("content").lower()
        if name in ROBOTS:
            self.robots.update(_SEPARATOR.split(content.strip()))
        elif name == "generator":
            self.generator = self.generator or content.strip()

    def _note_link(self, node: Node) -> None:
        relations = node.get("rel").lower().split()
        if "canonical" in relations:
            self._canonical = self._canonical or node.get("href")
        if "alternate" in relations and "hreflang" in node.attributes:
            self._alternates.append(node.get("href"))


_READERS = {
    "html": Head._note_html,
    "base": Head._note_base,
    "title": Head._note_title,
    "meta": Head._note_meta,
    "link": Head._note_link,
}
HEAD_TAGS = frozenset(_READERS)


def language(code: str) -> str:
    return code.strip().lower().replace("_", "-").partition("-")[0]


def _resolve(base: str, reference: str) -> str:
    return next(iter(absolute(base, [reference])), "") if reference.strip() else ""


def links(head: Head, anchors: list[Node]) -> tuple[str, ...]:
    """Addresses of the whole page, navigation included, that a crawler is meant to follow."""
    if not head.follows:
        return ()
    found = absolute(head.base, [node.get("href") for node in anchors if _is_followed(node, head.language)])
    others = head.translations
    return tuple(link for link in found if link not in others) if others else found


def _is_followed(node: Node, page_language: str) -> bool:
    if "rel" in node.attributes and "nofollow" in node.get("rel").lower().split():
        return False
    other = language(node.get("hreflang")) if "hreflang" in node.attributes else ""
    return not other or not page_language or other == page_language
