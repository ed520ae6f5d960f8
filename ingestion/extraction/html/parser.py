"""HTML → a light tree of what a page shows, read by libxml2, of bounded depth and size.

Scripts and styles are left out while reading. Elements nested deeper than any page nests become part of the
element around them; what is no page any more (thousands of levels, hundreds of thousands of elements) is read
as one run of words. Time is linear in the input, and nothing here recurses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape

from lxml import etree

# Deeper content is kept as text. Real pages stay below 60 levels; the converter takes up to four Python frames per
# level, and 1000 are allowed.
MAX_DEPTH = 120
# libxml2 looks through all open elements for each stray end tag: with 100 000 open ones a page of 1.6 MB takes
# 40 s. Browsers stop at 512.
MAX_OPEN = 512
# An element takes about 400 bytes here; the largest page of Django's documentation has 17 000.
MAX_ELEMENTS = 150_000
PIECE_CHARS = 64 * 1024

UNSEEN = frozenset({"script", "style", "template", "iframe", "object", "svg", "canvas", "select", "textarea"})
# A page has one of each. Servers that join pages, and pages that end before their text does, say otherwise.
ONCE = frozenset({"html", "body"})
# What ends a paragraph. An unknown element does not, unless it holds one of these.
BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hgroup", "hr", "html", "li", "main", "menu", "nav", "ol", "p", "pre", "search", "section", "summary", "table",
    "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
})  # fmt: skip
NO_CLASSES: frozenset[str] = frozenset()
NO_ATTRIBUTES: dict[str, str] = {}

_TAG = re.compile(r"<[!/?a-zA-Z][^<>]*>")
_UNSEEN_STARTS = re.compile(r"<(script|style)\b", re.IGNORECASE)


class Node:
    """An element; ``children`` holds elements and text in order. ``holds_blocks``: it is no part of a line."""

    __slots__ = ("attributes", "children", "classes", "holds_blocks", "parent", "tag")

    def __init__(self, tag: str, attributes: dict[str, str], parent: Node | None) -> None:
        self.tag = tag
        self.attributes = attributes
        self.parent = parent
        self.children: list[Node | str] = []
        self.classes = frozenset(attributes["class"].split()) if "class" in attributes else NO_CLASSES
        self.holds_blocks = False

    def get(self, name: str) -> str:
        return self.attributes.get(name, "")

    def elements(self) -> list[Node]:
        return [child for child in self.children if isinstance(child, Node)]

    def walk(self) -> Iterator[Node]:
        """This element and all in it, in the order of the page."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += [child for child in reversed(node.children) if isinstance(child, Node)]

    def text(self) -> str:
        found: list[str] = []
        waiting: list[Node | str] = [self]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                found.append(item)
            else:
                waiting += reversed(item.children)
        return "".join(found)

    def words(self) -> str:
        return " ".join(self.text().split())

    def above(self) -> Iterator[Node]:
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def remove(self) -> None:
        """Take the element out of the page; it may have been taken out already."""
        if self.parent is not None:
            self.parent.children = [child for child in self.parent.children if child is not self]
            self.parent = None


class TooMuch(Exception):
    """The input is no page that anybody wrote."""


class Builder:
    """The events of the parser → nodes."""

    def __init__(self) -> None:
        self.root = self.here = Node("", NO_ATTRIBUTES, None)
        self.shown: list[str] = []
        self.open = self.skipping = self.count = self.scripts = 0
        self.had: set[str] = set()  # of those that a page has once

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self.skipping or (tag in UNSEEN and not self._is_formula(tag, attributes)):
            self.skipping += 1
            return
        if tag in ONCE and self._is_repeated(tag):
            return
        self.open += 1
        self.count += 1
        if self.open > MAX_OPEN or self.count > MAX_ELEMENTS:
            raise TooMuch
        if self.open > MAX_DEPTH:
            self.here.children.append(" ")
            return
        node = Node(tag, dict(attributes) if attributes else NO_ATTRIBUTES, self.here)
        self.here.children.append(node)
        self.here = node
        if tag in BLOCKS:
            self._mark()

    def _is_repeated(self, tag: str) -> bool:
        repeated = tag in self.had
        self.had.add(tag)
        return repeated

    def _is_formula(self, tag: str, attributes: Mapping[str, str]) -> bool:
        self.scripts += tag == "script"
        return tag == "script" and attributes.get("type", "").startswith("math/tex")

    def _mark(self) -> None:
        node: Node | None = self.here
        while node is not None and not node.holds_blocks:
            node.holds_blocks = True
            node = node.parent

    def end(self, tag: str) -> None:
        if self.skipping:
            self.skipping -= 1
            return
        if tag in ONCE:  # what follows it is still shown
            return
        if self.open <= MAX_DEPTH and self.here.parent is not None:
            self.here = self.here.parent
        self.open -= 1

    def data(self, text: str) -> None:
        if not self.skipping:
            self.here.children.append(text)
            self.shown.append(text)

    def close(self) -> Builder:
        return self


@dataclass(frozen=True)
class Tree:
    """The page, all its text as it was read, and how many scripts were left out."""

    root: Node
    shown: list[str]
    scripts: int


def parse(text: str) -> Tree:
    """Never fails: a page of nothing gives an empty root."""
    builder = Builder()
    try:
        _feed(text, etree.HTMLParser(target=builder, huge_tree=True, remove_comments=True, remove_pis=True))
    except TooMuch:
        return _words_alone(text)
    except (etree.LxmlError, ValueError):  # "Document is empty", after which nothing was read
        pass
    return Tree(builder.root, builder.shown, builder.scripts)


def _feed(text: str, parser: etree.HTMLParser) -> None:
    """In pieces: the parser hears of an error only after the piece that it was given."""
    for start in range(0, len(text), PIECE_CHARS):
        parser.feed(text[start : start + PIECE_CHARS])
    parser.close()


def _words_alone(text: str) -> Tree:
    root = Node("", NO_ATTRIBUTES, None)
    body = Node("body", NO_ATTRIBUTES, root)
    root.children = [body]
    body.children = [unescape(_TAG.sub(" ", "".join(_without_unseen(text))))]
    root.holds_blocks = body.holds_blocks = True
    return Tree(root, [], 0)


def _without_unseen(text: str) -> Iterator[str]:
    at = 0
    lowered = text.lower()
    while start := _UNSEEN_STARTS.search(text, at):
        yield text[at : start.start()]
        at = lowered.find(f"</{start.group(1).lower()}", start.end())
        if at < 0:
            return
    yield text[at:]
