"""HTML → a light tree of the visible part of a page, read by libxml2, of bounded depth and size.

Scripts and styles are left out while reading. Elements that are nested deeper than in any real page become part of the
element around them; a text that is no page any more (thousands of levels, hundreds of thousands of elements) is read
as one run of words. Time is linear in the input, and nothing here recurses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
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
# A page has one of each, but servers join pages, and some pages end before their text does.
ONCE = frozenset({"html", "body"})
# Elements that end a paragraph. An unknown element does not, unless it holds one of these.
BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hgroup", "hr", "html", "legend", "li", "main", "menu", "nav", "ol", "p", "pre", "search", "section", "summary",
    "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
})  # fmt: skip
# Elements of UNSEEN whose words are shown, with the rule that leaves them out.
LEFT_OUT = {"select": "choices of forms", "textarea": "choices of forms", "svg": "drawings"}
NO_CLASSES: frozenset[str] = frozenset()
NO_ATTRIBUTES: dict[str, str] = {}

_TAG = re.compile(r"<[!/?a-zA-Z][^<>]*>")
_UNSEEN_STARTS = re.compile(r"<(script|style)\b", re.IGNORECASE)


class Node:
    """An element; ``children`` holds elements and text in order.

    ``holds_blocks``: it is a block or holds one, and so is no part of a line.
    """

    __slots__ = ("attributes", "children", "classes", "holds_blocks", "parent", "tag")

    def __init__(self, tag: str, attributes: dict[str, str], parent: Node | None) -> None:
        self.tag = tag
        self.attributes = attributes
        self.parent = parent
        self.children: list[Node | str] = []
        self.classes = frozenset(attributes["class"].split()) if "class" in attributes else NO_CLASSES
        self.holds_blocks = False

    def get(self, name: str) -> str:
        """Return the value of an attribute, or an empty string."""
        return self.attributes.get(name, "")

    def elements(self) -> list[Node]:
        """Return the elements directly inside this one."""
        return [child for child in self.children if isinstance(child, Node)]

    def walk(self) -> Iterator[Node]:
        """Yield this element and all elements in it, in the order of the page."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += [child for child in reversed(node.children) if isinstance(child, Node)]

    def text(self) -> str:
        """Return all text in the element as it was read."""
        found: list[str] = []
        waiting: list[Node | str] = [self]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                found.append(item)
            else:
                waiting += reversed(item.children)
        return "".join(found)

    def shown_text(self, without: Collection[Node | None] = ()) -> str:
        """Return the text in the element with a space between blocks, without some of the elements in it."""
        found: list[str] = []
        waiting: list[Node | str] = [self]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                found.append(item)
            elif item not in without:
                waiting += reversed(item.children)
                if item.holds_blocks:
                    found.append(" ")
        return "".join(found)

    def words(self) -> str:
        """Return all words in the element, with one space between them."""
        return " ".join(self.text().split())

    def above(self) -> Iterator[Node]:
        """Yield the elements around this one, the innermost first."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent


def detach(nodes: Collection[Node]) -> None:
    """Take elements out of the page; each parent is gone through once, however many it loses."""
    for parent in {node.parent for node in nodes if node.parent is not None}:
        parent.children = [child for child in parent.children if isinstance(child, str) or child not in nodes]
    for node in nodes:
        node.parent = None


class TooLargeError(Exception):
    """The input has more elements, or more open ones, than any page that somebody wrote."""


class Builder:
    """The target of the parser: its events → nodes."""

    def __init__(self) -> None:
        self.root = self.here = Node("", NO_ATTRIBUTES, None)
        self.shown: list[str] = []
        self.open = self.skipping = self.count = self.scripts = 0
        self.had: set[str] = set()  # the elements of ONCE that were read
        self.rule = ""  # of the element that is being skipped
        self.left_out: list[tuple[str, str]] = []  # rules and words

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Add an element inside the innermost open one and make it that one; the parser calls this for a start tag.

        Those of ``UNSEEN``, except TeX, are skipped with all in them, a second ``html`` or ``body`` is passed over, one
        below ``MAX_DEPTH`` leaves a space. Raises TooLargeError when ``MAX_OPEN`` or ``MAX_ELEMENTS`` is exceeded.
        """
        if self.skipping:
            self.skipping += 1
            return
        if tag in UNSEEN:
            is_formula = tag == "script" and attributes.get("type", "").startswith("math/tex")
            if not is_formula:
                self.scripts += tag == "script"
                self.skipping, self.rule = 1, LEFT_OUT.get(tag, "")
                return
        if tag in ONCE:
            if tag in self.had:
                return
            self.had.add(tag)
        self.open += 1
        self.count += 1
        if self.open > MAX_OPEN or self.count > MAX_ELEMENTS:
            raise TooLargeError
        if self.open > MAX_DEPTH:
            self.here.children.append(" ")
            return
        node = Node(tag, dict(attributes) if attributes else NO_ATTRIBUTES, self.here)
        self.here.children.append(node)
        self.here = node
        if tag in BLOCKS:
            holder: Node | None = node
            while holder is not None and not holder.holds_blocks:
                holder.holds_blocks = True
                holder = holder.parent

    def end(self, tag: str) -> None:
        """Note the end of the innermost open element, or of one inside an element that is being skipped.

        The end of ``html`` and ``body`` is passed over, so that what follows them still belongs to them.
        """
        if self.skipping:
            self.skipping -= 1
            return
        if tag in ONCE:  # what follows it is still shown
            return
        if self.open <= MAX_DEPTH and self.here.parent is not None:
            self.here = self.here.parent
        self.open -= 1

    def data(self, text: str) -> None:
        """Add text to the innermost open element and to ``shown``.

        In an element that is being skipped, add it to ``left_out`` with the name of the rule that leaves it out; drop
        it if there is none, as for scripts and styles.
        """
        if not self.skipping:
            self.here.children.append(text)
            self.shown.append(text)
        elif self.rule:
            self.left_out.append((self.rule, text))

    def close(self) -> Builder:
        """Return this builder, as the parser asks at the end of the page; nothing is changed."""
        return self


@dataclass(frozen=True)
class Tree:
    """A page, the pieces of its text as they were read, and what was left out: the number of scripts, and words."""

    root: Node
    shown: list[str]
    scripts: int
    left_out: list[tuple[str, str]]


def parse(text: str) -> Tree:
    """Return the page's tree. Raises nothing: an empty page has an empty root."""
    builder = Builder()
    parser = etree.HTMLParser(target=builder, huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        # In pieces: the parser stops for an error of the builder only after the piece that it was given.
        for start in range(0, len(text), PIECE_CHARS):
            parser.feed(text[start : start + PIECE_CHARS])
        parser.close()
    except TooLargeError:
        return _words_alone(text)
    except (etree.LxmlError, ValueError):  # "Document is empty", after which nothing was read
        pass
    return Tree(builder.root, builder.shown, builder.scripts, builder.left_out)


def _words_alone(text: str) -> Tree:
    """Return a tree with one element that holds all words of the page, without scripts and styles."""
    parts: list[str] = []
    lowered = text.lower()
    at = 0
    while at >= 0 and (start := _UNSEEN_STARTS.search(text, at)):
        parts.append(text[at : start.start()])
        at = lowered.find(f"</{start.group(1).lower()}", start.end())
    if at >= 0:
        parts.append(text[at:])
    root = Node("", NO_ATTRIBUTES, None)
    body = Node("body", NO_ATTRIBUTES, root)
    root.children = [body]
    body.children = [unescape(_TAG.sub(" ", "".join(parts)))]
    root.holds_blocks = body.holds_blocks = True
    return Tree(root, [], 0, [])
