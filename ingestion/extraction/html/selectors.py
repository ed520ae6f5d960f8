"""A small part of CSS for our tree: ``tag#id.class[name=value]``, inside another (``a b``), child of it (``a>b``).

One walk notes the elements that may match any selector; asking for one afterwards costs next to nothing. A page is
asked for about 125 selectors. For 23 pages of Rust's documentation, of 46 ms in all, 10 ms are spent here; the same
selectors as XPath by cssselect over lxml's tree took 139 ms, and soupsieve needs BeautifulSoup's tree, which takes 93
ms to build and 19 ms per selector.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from ingestion.extraction.html.parser import Node

_PART = re.compile(r"([#.]?)([\w-]+)|\[([\w-]+)(?:=([^\]]*))?\]")
# The attributes that may be keys of an index.
_KEYED = frozenset({"id", "role", "itemprop", "data-testid", "data-content_root", "data-toggle", "data-bs-toggle"})


class Compound(NamedTuple):
    """A selector for one element, without what stands around it."""

    is_child: bool  # of the element that the compound before it matches
    tag: str
    id: str
    classes: frozenset[str]
    attributes: tuple[tuple[str, str], ...]  # names and values; any value matches an empty one

    def matches(self, node: Node) -> bool:
        """Return whether an element matches, whatever stands around it."""
        return (
            (not self.tag or node.tag == self.tag)
            and (not self.id or node.get("id") == self.id)
            and self.classes <= node.classes
            and all(name in node.attributes and value in ("", node.get(name)) for name, value in self.attributes)
        )

    @property
    def key(self) -> str:
        """Return the compound's key in the index: its id, else a class, else an attribute, else its tag."""
        if self.id:
            return f"#{self.id}"
        if self.classes:
            return f".{min(self.classes)}"
        return f"[{self.attributes[0][0]}]" if self.attributes else self.tag


@lru_cache(maxsize=1024)
def compiled(selector: str) -> tuple[Compound, ...]:
    """Return the compounds of a selector, the outermost first: ``main .note>p`` has three."""
    compounds: list[Compound] = []
    for text in selector.replace(">", " >").split():
        names: dict[str, list[str]] = {"": [], "#": [], ".": []}
        attributes: list[tuple[str, str]] = []
        for kind, name, attribute, value in _PART.findall(text):
            if attribute:
                attributes.append((attribute, value))
            else:
                names[kind].append(name)
        tag, identifier, classes = "".join(names[""]), "".join(names["#"]), frozenset(names["."])
        compounds.append(Compound(text.startswith(">"), tag, identifier, classes, tuple(attributes)))
    return tuple(compounds)


class Index:
    """Notes the elements of a page that any of ``selectors`` may match, by their keys."""

    def __init__(self, selectors: Iterable[str]) -> None:
        self.wanted = frozenset(compiled(selector)[-1].key for selector in selectors)
        self.classes = frozenset(key[1:] for key in self.wanted if key.startswith("."))

    def note(self, node: Node, found: defaultdict[str, list[Node]]) -> None:
        """Add an element to ``found`` under each of its keys that a selector has."""
        if node.tag in self.wanted:
            found[node.tag].append(node)
        if not node.attributes:
            return
        for name in node.classes & self.classes:
            found[f".{name}"].append(node)
        for name in node.attributes.keys() & _KEYED:
            key = f"#{node.get(name)}" if name == "id" else f"[{name}]"
            if key in self.wanted:
                found[key].append(node)


def select(selector: str, found: dict[str, list[Node]]) -> list[Node]:
    """Return the elements that a selector matches, in the order of the page, from those that an index noted."""
    compounds = compiled(selector)
    last = compounds[-1]
    return [node for node in found.get(last.key, ()) if last.matches(node) and _stands_in(node, compounds)]


def _stands_in(node: Node, compounds: tuple[Compound, ...]) -> bool:
    """Return whether the elements around a node match all compounds before the last one."""
    above = node.above()
    for outer, inner in zip(reversed(compounds[:-1]), reversed(compounds[1:]), strict=True):
        parents = islice(above, 1) if inner.is_child else above
        if not any(outer.matches(parent) for parent in parents):
            return False
    return True
