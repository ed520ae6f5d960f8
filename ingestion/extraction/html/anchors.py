"""Headings of a page → the fragments of the address that lead to them."""

from __future__ import annotations

from ingestion.extraction.html.parser import Node

_HOLDERS = frozenset({"section", "div", "article", "header"})


def anchors(headings: list[Node]) -> dict[Node, str]:
    """Its permalink says it best; else its own id, one inside, one just before, or that of its section."""
    own = {heading: _of_itself(heading) for heading in headings}
    lonely = [heading for heading, fragment in own.items() if not fragment]
    before = _siblings_before({heading.parent for heading in lonely if heading.parent})
    return own | {heading: _around(heading, before.get(heading)) for heading in lonely}


def _of_itself(heading: Node) -> str:
    inside = [node for node in heading.walk() if node is not heading]
    links = [node.get("href")[1:] for node in inside if node.get("href").startswith("#") and _is_permalink(node)]
    named = (_id(node) for node in inside if "id" in node.attributes or node.tag == "a")
    return (links[-1] if links else "") or _id(heading) or next(filter(None, named), "")


def _is_permalink(node: Node) -> bool:
    """Sphinx lets the words of a heading lead back to a table of contents."""
    return node.tag == "a" and "toc-backref" not in node.classes and len(node.get("href")) > 1


def _id(node: Node) -> str:
    return node.get("id") or node.get("name")


def _siblings_before(parents: set[Node]) -> dict[Node, Node | str]:
    """What stands before each element in its parent, white space left out: each parent is gone through once."""
    found: dict[Node, Node | str] = {}
    for parent in parents:
        last: Node | str = ""
        for child in parent.children:
            if isinstance(child, Node):
                found[child] = last
            if isinstance(child, Node) or not child.isspace():
                last = child
    return found


def _around(heading: Node, before: Node | str | None) -> str:
    """The id of the section that this heading opens, or of an empty target just before it."""
    if isinstance(before, Node):
        return _id(before) if not before.words() else ""
    if before or heading.parent is None:
        return ""
    return _id(heading.parent) if heading.parent.tag in _HOLDERS else ""
