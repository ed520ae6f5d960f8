"""What a page says of itself: title, address, generator, frames, and whether to index it or follow its links."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingestion import robots_directives
from ingestion.extraction.html.parser import Node
from ingestion.extraction.links import absolute
from ingestion.extraction.sanitize import clean

HEAD_TAGS = frozenset({"html", "base", "title", "meta", "link", "frame"})
MAX_TITLE_CHARS = 300


@dataclass
class Head:
    """What the head of the page ``url`` says."""

    url: str
    title: str = ""
    language: str = ""
    generator: str = ""
    robots: set[str] = field(default_factory=set)
    _base: str | None = None
    _canonical: str = ""
    _alternates: list[str] = field(default_factory=list)
    _frames: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        """Return the address that references are relative to; a ``base`` element counts wherever it stands."""
        return _resolve(self.url, self._base) or self.url if self._base else self.url

    @property
    def canonical(self) -> str:
        """Return the address that the page names as its own, or an empty string."""
        return _resolve(self.base, self._canonical)

    @property
    def translations(self) -> set[str]:
        """Return the addresses of the page in other languages."""
        found = set(absolute(self.base, self._alternates)) if self._alternates else set()
        return found - {self.url, self.canonical}

    @property
    def indexable(self) -> bool:
        """Return whether the page allows to be indexed."""
        return not self.robots & robots_directives.NO_INDEX

    @property
    def frames(self) -> tuple[str, ...]:
        """Return the addresses of a frameset's pages: absolute, or as they are written in a file; empty without one."""
        return absolute(self.base, self._frames) or tuple(self._frames)

    def note(self, node: Node) -> None:
        """Record what an element with one of ``HEAD_TAGS`` says; the first title, generator, base and so on counts."""
        tag = node.tag
        if tag == "html":
            self.language = self.language or language(node.get("lang") or node.get("xml:lang"))
        elif tag == "base":
            self._base = node.attributes.get("href") if self._base is None else self._base
        elif tag == "title":
            self.title = self.title or " ".join(clean(node.text()).split())[:MAX_TITLE_CHARS]
        elif tag == "meta":
            name, content = node.get("name").strip().lower(), node.get("content").lower()
            if name == "generator":
                self.generator = self.generator or content.strip()
            elif name:
                self.robots |= robots_directives.of_meta(name, content)
        elif tag == "frame":
            self._frames += filter(str.strip, [node.get("src")])
        elif tag == "link":
            relations = node.get("rel").lower().split()
            if "canonical" in relations:
                self._canonical = self._canonical or node.get("href")
            if "alternate" in relations and "hreflang" in node.attributes:
                self._alternates.append(node.get("href"))


def language(code: str) -> str:
    """Return the language of a code: ``pt`` of ``pt-BR``."""
    return code.strip().lower().replace("_", "-").partition("-")[0]


def _resolve(base: str, reference: str) -> str:
    """Return the absolute http or https address that a reference leads to, without its fragment.

    It is an empty string if the reference is blank, cannot be parsed, or leads to another scheme.
    """
    return next(iter(absolute(base, [reference])), "") if reference.strip() else ""


def links(head: Head, anchors: list[Node]) -> tuple[str, ...]:
    """Return the addresses in the whole page, navigation included, that a crawler is meant to follow.

    Those of translations are left out.
    """
    if head.robots & robots_directives.NO_FOLLOW:
        return ()
    references: list[str] = []
    for node in anchors:
        if "rel" in node.attributes and "nofollow" in node.get("rel").lower().split():
            continue
        other = language(node.get("hreflang")) if "hreflang" in node.attributes else ""
        if not other or not head.language or other == head.language:
            references.append(node.get("href"))
    found = absolute(head.base, references)
    others = head.translations
    return tuple(link for link in found if link not in others) if others else found
