"""A small part of CSS for the tree: ``tag#id.class[name=value]``, inside another (``a b``), right in it (``a>b``).

One walk notes where every element named by a selector stands; asking afterwards costs nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from ingestion.extraction.html.parser import Node

_PART = re.compile(r"([#.]?)([\w-]+)|\[([\w-]+)(?:=([^\]]*))?\]")
_ATTRIBUTES = ("role", "itemprop", "data-testid", "data-content_root")


class Compound(NamedTuple):
    child: bool  # of the one before it
    tag: str
    id: str
    classes: frozenset[str]
    attributes: tuple[tuple[str, str], ...]

    def matches(self, node: Node) -> bool:
        return (
            (not self.tag or node.tag == self.tag)
            and (not self.id or node.get("id") == self.id)
            and self.classes <= node.classes
            and all(name in node.attributes and value in ("", node.get(name)) for name, value in self.attributes)
        )

    @property
    def key(self) -> str:
        """The rarest of what the element must have."""
        if self.id:
            return f"#{self.id}"
        if self.classes:
            return f".{min(self.classes)}"
        return f"[{self.attributes[0][0]}]" if self.attributes else self.tag


@lru_cache(maxsize=1024)
def compiled(selector: str) -> tuple[Compound, ...]:
    return tuple(_compound(part) for part in selector.replace(">", " >").split())


def _compound(text: str) -> Compound:
    found: dict[str, list[str]] = {"": [], "#": [], ".": []}
    attributes = []
    for kind, name, attribute, value in _PART.findall(text):
        if attribute:
            attributes.append((attribute, value))
        else:
            found[kind].append(name)
    return Compound(
        text.startswith(">"), "".join(found[""]), "".join(found["#"]), frozenset(found["."]), tuple(attributes)
    )


class Index:
    """Where the elements stand that any of ``selectors`` may mean."""

    def __init__(self, selectors: Iterable[str]) -> None:
        self.wanted = frozenset(compiled(selector)[-1].key for selector in selectors)
        self.classes = frozenset(key[1:] for key in self.wanted if key.startswith("."))

    def note(self, node: Node, found: defaultdict[str, list[Node]]) -> None:
        if node.tag in self.wanted:
            found[node.tag].append(node)
        if node.attributes:
            for key in self._keys(node):
                found[key].append(node)

    def _keys(self, node: Node) -> Iterator[str]:
        for name in node.classes & self.classes:
            yield f".{name}"
        for name in node.attributes.keys() & _KEYED:
            key = f"#{node.get(name)}" if name == "id" else f"[{name}]"
            if key in self.wanted:
                yield key


_KEYED = frozenset({"id", *_ATTRIBUTES})


def select(selector: str, found: dict[str, list[Node]]) -> list[Node]:
    """The elements that a selector means, in the order of the page."""
    compounds = compiled(selector)
    last = compounds[-1]
    return [node for node in found.get(last.key, ()) if last.matches(node) and _stands_in(node, compounds)]


def _stands_in(node: Node, compounds: tuple[Compound, ...]) -> bool:
    above = node.above()
    for outer, inner in zip(reversed(compounds[:-1]), reversed(compounds[1:]), strict=True):
        parents = islice(above, 1) if inner.child else above
        if not any(outer.matches(parent) for parent in parents):
            return False
    return True
