"""What references of a page lead to: addresses by name, footnotes by number, substitutions by their words.

In: docutils' document before any transform. docutils' own transforms replace each element in its parent's list of
children, which takes time in the square of a paragraph, and follow names by recursion.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from itertools import count
from typing import Any

from docutils import nodes

from ingestion.extraction.rst.page import Page

# Known to the build alone, not to the page.
BUILT = {"release", "version", "today"}
MAX_ALIASES = 10  # steps from a name to the name that it stands for
MAX_SUBSTITUTED = 10_000  # elements that substitutions may add to a page: they may hold one another


class References:
    """Resolves the references of one page, in the order of its text."""

    def __init__(self, document: Any, page: Page) -> None:
        self.document, self.page = document, page
        targets = document.findall(lambda node: isinstance(node, nodes.target) and node.hasattr("anonymous"))
        self._anonymous = (target.get("refuri") or self._address(target) for target in targets)
        self._room = MAX_SUBSTITUTED
        self._open: list[str] = []  # the substitutions that are being read
        self._numbers: dict[str, str] = {}
        self._unnamed: list[str] = []
        free = (str(number) for number in count(1) if str(number) not in document.nameids)
        for footnote in document.autofootnotes:
            number = next(free)
            footnote.insert(0, nodes.label("", number))
            self._numbers.update(dict.fromkeys(footnote["names"], number))
            self._unnamed += [] if footnote["names"] else [number]
        for footnote in document.symbol_footnotes:
            footnote.insert(0, nodes.label("", "*"))
        self._unnamed.reverse()

    def links(self) -> list[str]:
        """Return all addresses that the page leads to."""
        found = self.document.findall(lambda node: isinstance(node, nodes.reference | nodes.target))
        return [node["refuri"] for node in found if node.hasattr("refuri")]

    def address_of(self, reference: Any) -> str | None:
        """Return the address that a reference leads to: "" on this page, None if the page has no such name."""
        if reference.hasattr("refuri"):
            return str(reference["refuri"])
        return next(self._anonymous, None) if reference.hasattr("anonymous") else self._address(reference)

    def _address(self, reference: Any) -> str | None:
        """Return the address of a name, which may stand for another name."""
        for _ in range(MAX_ALIASES):
            name = reference.get("refname")
            if name is None:  # a heading, or a label
                return ""
            if name not in self.document.nameids:
                return None
            reference = self.document.ids.get(self.document.nameids[name], reference)
            if reference.hasattr("refuri"):
                return str(reference["refuri"])
        return ""

    def label_of(self, reference: Any) -> str:
        """Return the number or name of the footnote that a reference leads to."""
        if reference.get("auto") == 1:
            name = reference.get("refname", "")
            return self._numbers.get(name, name) if name else self._unnamed.pop() if self._unnamed else "#"
        return "*" if reference.get("auto") else reference.astext()

    @contextmanager
    def substituted(self, reference: Any) -> Iterator[list[Any]]:
        """Yield the elements to put in place of a substitution; its name if the page does not define it.

        Until the block ends, the same substitution is not replaced again, so that it cannot contain itself.
        """
        name = reference.astext()
        definitions, names = self.document.substitution_defs, self.document.substitution_names
        key = name if name in definitions else names.get(nodes.fully_normalize_name(name), "")
        definition = definitions.get(key)
        if definition is None or self._room <= 0 or len(self._open) >= MAX_ALIASES or key in self._open:
            yield [] if name in BUILT else [nodes.Text(self._character(name))]
            return
        self._room -= len(definition.children)
        self._open.append(key)
        yield list(definition.children)
        self._open.pop()

    def _character(self, name: str) -> str:
        """Return the character whose HTML entity has this name, on pages that may use those; else the name."""
        character = unescape(f"&{name};") if self.page.has_entities else ""
        return character if len(character) == 1 else name
