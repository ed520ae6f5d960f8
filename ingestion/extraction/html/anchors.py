"""Headings of a page → the fragments of the address that lead to them."""

from __future__ import annotations

from ingestion.extraction.html.parser import Node

_SECTIONS = frozenset({"section", "div", "article", "header"})


def anchors(headings: list[Node]) -> dict[Node, str]:
    """Return the fragment that leads to each heading, or an empty string.

    It is that of the heading's permalink; else the id of the heading, of an element inside it, of an empty element
    just before it, or of the section that it opens.
    """
    found = {heading: _own_fragment(heading) for heading in headings}
    without = [heading for heading, fragment in found.items() if not fragment]
    before = siblings_before({heading.parent for heading in without if heading.parent})
    for heading in without:
        sibling = before.get(heading)
        if is_mark := isinstance(sibling, Node) and not sibling.words():
            found[heading] = _id(sibling) or sibling.get("href").partition("#")[2]
        if (is_mark or not sibling) and not found[heading] and heading.parent and heading.parent.tag in _SECTIONS:
            found[heading] = _id(heading.parent)
    return found


def _own_fragment(heading: Node) -> str:
    """Return the fragment of a heading's permalink, its id, or an id inside it."""
    inside = [node for node in heading.walk() if node is not heading]
    named = (_id(node) for node in inside if "id" in node.attributes or node.tag == "a")
    permalink = ""
    for node in inside:
        target = node.get("href")
        # Sphinx lets the words of a heading lead back to a table of contents.
        if node.tag == "a" and target.startswith("#") and len(target) > 1 and "toc-backref" not in node.classes:
            permalink = target[1:]
    return permalink or _id(heading) or next(filter(None, named), "")


def _id(node: Node) -> str:
    """Return the ``id`` of an element, else its ``name``, else an empty string."""
    return node.get("id") or node.get("name")


def siblings_before(parents: set[Node]) -> dict[Node, Node | str]:
    """Return the element or text before each child of these parents, white space left out.

    Each parent is gone through once.
    """
    found: dict[Node, Node | str] = {}
    for parent in parents:
        last: Node | str = ""
        for child in parent.children:
            if isinstance(child, Node):
                found[child] = last
            if isinstance(child, Node) or not child.isspace():
                last = child
    return found
