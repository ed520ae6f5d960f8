"""A page → the element that holds its own text, emptied of navigation, banners and other clutter.

For pages of known generators that element is known (``site_generators``); for others it is a marked element, or the one
that holds the prose (``boilerplate``).
"""

from __future__ import annotations

from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.html import boilerplate, clutter, tabs
from ingestion.extraction.html.page_index import PageIndex
from ingestion.extraction.html.parser import NO_ATTRIBUTES, Node, detach
from ingestion.extraction.html.site_generators import GENERATORS, Generator

# Elements that may be marked as the main one.
MARKED = ("main", "[role=main]", "article", "[itemprop=articleBody]")


def main_content(index: PageIndex, dropped: DroppedWords) -> Node:
    """Return the element that holds the page's own text, its title first, emptied of clutter."""
    generator, main = _by_generator(index)
    title = _title(index, generator, main)
    tabs.label_panels(index.select(*tabs.GROUPS), index.select(*tabs.NAMED))
    gone = clutter.find(index, _elements_around(index.headings))
    if generator:
        named = f"page tools of {generator.name}"
        gone |= {node: named for node in index.select(*generator.clutter) if node is not main and node not in gone}
    detach(gone.keys())
    for rule, text in (*index.tree.left_out, *((rule, node.shown_text()) for node, rule in gone.items())):
        dropped.add(rule, text)
    if main is not None and main.text().strip():
        index.generator = generator
    else:
        # The one element that is marked as the main one; several are teasers of other pages, or quotations.
        found = ([node for node in index.select(selector) if node.parent is not None] for selector in MARKED)
        marked = next((nodes[0] for nodes in found if len(nodes) == 1 and nodes[0].text().strip()), None)
        main = boilerplate.narrowed(marked or index.body, dropped, is_marked=marked is not None)
    title = title or _title(index, None, main)
    kept = {main, title, *main.elements()}  # a holder of several elements stands nowhere in the page
    dropped.add("outside the main element", index.body.shown_text(without=kept))
    if title is None or not title.words():
        return main
    heading, holder = Node("h1", title.attributes, None), Node("div", NO_ATTRIBUTES, None)
    heading.children, holder.children = title.children, [heading, main]
    heading.holds_blocks = holder.holds_blocks = True
    index.anchors[heading] = index.anchors.get(title, title.get("id"))
    return holder


def _by_generator(index: PageIndex) -> tuple[Generator | None, Node | None]:
    """Return the generator that made the page and the element that holds its content, if one is known."""
    for row in GENERATORS:
        if row.marks and not index.select(*row.marks):
            continue
        for selector in row.content:
            if nodes := index.select(selector):
                return row, _content_element(nodes, selector)
    return None, None


def _content_element(nodes: list[Node], selector: str) -> Node:
    """Return one element with the content of all that a generator's selector matches.

    Several are answers in a thread or posts on a page: all of them are the content.
    """
    known = set(nodes)
    outer = [node for node in nodes if not any(parent in known for parent in node.above())]
    content = outer[0]
    if len(outer) > 1:
        content = Node("div", NO_ATTRIBUTES, None)
        content.children = list(outer)
        content.holds_blocks = True
    if selector == ".document":  # Sphinx themes that mark nothing else still wrap the sections in one element
        sections = (inner for inner in content.walk() if inner.tag == "section" or "section" in inner.classes)
        section = next(sections, None)
        return section.parent if section and section.parent else content
    return content


def _elements_around(headings: list[Node]) -> set[Node]:
    """Return all elements around headings; each is visited once, however deep the page is."""
    seen: set[Node] = set()
    for heading in headings:
        for parent in heading.above():
            if parent in seen:
                break
            seen.add(parent)
    return seen


def _title(index: PageIndex, generator: Generator | None, main: Node | None) -> Node | None:
    """Return the title that stands outside the content, unless the content begins with a heading of the first rank."""
    if main is None:
        return None
    in_content = [node.words() for node in index.headings if node.tag == "h1" and main in node.above()]
    if generator and (named := index.select(*generator.titles)):
        is_outside = main not in named[0].above() and named[0].words() not in in_content
        return named[0] if is_outside or not in_content else None
    if in_content:
        return None
    # A heading of the first rank that the page's own title begins with.
    for node in index.headings:
        words = node.words().lower() if node.tag == "h1" else ""
        if words and index.head.title.lower().startswith(words):
            return node
    return None
