"""A page → the element that holds its own text, emptied of what surrounds text on the web.

Pages of known make say where their text is (``generators``); for others it is a marked element, or where the
prose is (``prose``). One walk over the page notes all that is asked later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ingestion.extraction.html import boilerplate, selectors, tabs
from ingestion.extraction.html.anchors import anchors
from ingestion.extraction.html.metadata import HEAD_TAGS, Head
from ingestion.extraction.html.parser import NO_ATTRIBUTES, Node, Tree
from ingestion.extraction.html.site_generators import GENERATORS, Generator

HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})

# Removed wherever they stand.
CLUTTER_TAGS = frozenset(
    {"noscript", "button", "dialog", "nav", "footer", "search", "clipboard-copy", "audio", "video"}
)
CLUTTER_ROLES = frozenset({"navigation", "search", "contentinfo", "dialog", "alertdialog", "tablist", "toolbar"})
CLUTTER_CLASSES = frozenset({
    "headerlink", "anchor-link", "viewcode-link", "linenos", "gutter", "linenodiv", "header-anchor", "hash-link",
    "heading-anchor", "anchorjs-link", "footnote-backref", "fn-backref", "reversefootnote", "data-footnote-backref",
    "permalink", "copybtn", "skip-link", "skip-to-content", "breadcrumb", "breadcrumbs", "edit-this-page",
    "edit-page-link", "pagination-nav", "cookie-banner", "cookie-consent", "cc-window", "cc-banner",
    "osano-cm-window", "toctree-wrapper", "mw-editsection", "feedback-widget", "page-feedback", "docs-feedback",
    "onetrust-pc-dark-filter", "katex-html", "MathJax_Preview", "MathJax", "mjx-chtml", "table-of-contents",
    "page-toc", "on-this-page", "was-this-helpful", "tabbed-labels", "td-page-meta", "screen-reader-text",
    "last-updated",
})  # fmt: skip
CLUTTER_IDS = frozenset({
    "cookie-banner", "cookie-consent", "cookie-notice", "cookieConsent", "onetrust-consent-sdk", "CybotCookiebotDialog",
    "usercentrics-root", "toc", "table-of-contents", "TableOfContents", "breadcrumbs", "feedback",
})  # fmt: skip
_TELLING = frozenset({"role", "hidden", "aria-hidden", "style"})

MARKED = ("main", "[role=main]", "article", "[itemprop=articleBody]")
_CLUTTER = (*CLUTTER_TAGS, *(f".{name}" for name in CLUTTER_CLASSES), *(f"#{name}" for name in CLUTTER_IDS))
_OF_GENERATORS = (s for row in GENERATORS for s in (*row.content, *row.marks, *row.titles, *row.clutter))
_INDEX = selectors.Index(
    {
        *(selector for selector in _OF_GENERATORS if not selector.startswith("generator:")),
        *(*MARKED, *_CLUTTER, *tabs.GROUPS),
        *("body", "header", "form", "input"),
    }
)


class PageIndex:
    """What one walk over the page finds; a selector per question would take a walk each."""

    def __init__(self, tree: Tree, url: str) -> None:
        self.tree = tree
        self.head = Head(url)
        self.found: defaultdict[str, list[Node]] = defaultdict(list)
        self.headings: list[Node] = []
        self.links: list[Node] = []
        self.hidden: list[Node] = []
        for node in tree.root.walk():
            self._note(node)
        self.anchors = anchors(self.headings)

    def _note(self, node: Node) -> None:
        tag = node.tag
        if tag in HEADINGS:
            self.headings.append(node)
        elif tag in ("a", "area"):
            self.links += [node] if "href" in node.attributes else []
        elif tag in HEAD_TAGS:
            self.head.note(node)
        _INDEX.note(node, self.found)
        if node.attributes and not _TELLING.isdisjoint(node.attributes) and _is_hidden(node):
            self.hidden.append(node)

    def select(self, *wanted: str) -> list[Node]:
        """In the order of the selectors, then of the page."""
        return [node for selector in wanted for node in self._selected(selector)]

    def _selected(self, selector: str) -> list[Node]:
        if selector.startswith("generator:"):
            return [self.tree.root] if self.head.generator.startswith(selector.removeprefix("generator:")) else []
        return selectors.select(selector, self.found)

    @property
    def passwords(self) -> int:
        return sum(node.get("type").lower() == "password" for node in self.select("input"))


def _is_hidden(node: Node) -> bool:
    role = node.get("role")
    if role in CLUTTER_ROLES:
        return True
    if role == "tabpanel" or "tabpanel" in node.get("class") or node.tag == "details":
        return False
    return (
        ("hidden" in node.attributes and node.get("hidden") != "until-found")
        or node.get("aria-hidden").lower() == "true"
        or "display:none" in node.get("style").lower().replace(" ", "")
    )


def remove(nodes: Iterable[Node]) -> None:
    """Take elements out of the page; each parent is gone through once, however many it loses."""
    gone = set(nodes)
    for parent in {node.parent for node in gone if node.parent is not None}:
        parent.children = [child for child in parent.children if isinstance(child, str) or child not in gone]
    for node in gone:
        node.parent = None


# --- The main element ----------------------------------------------------------------------------------


def main_content(survey: PageIndex) -> Node:
    """The element that holds the page's own text, its title first, emptied of clutter."""
    generator, main = _by_generator(survey)
    title = _title(survey, generator, main)
    titled = _ancestors(survey.headings)
    tabs.label_panels(survey.select(*tabs.GROUPS))
    remove(_clutter(survey, titled))
    if generator and main and main.text().strip():
        remove(node for node in survey.select(*generator.clutter) if node is not main)
    else:
        marked = _marked(survey)
        main = boilerplate.narrowed(marked or _body(survey), is_marked=marked is not None)
    return _with_title(survey, main, title or _title(survey, None, main))


def _clutter(survey: PageIndex, titled: set[Node]) -> Iterator[Node]:
    """A header that holds a heading belongs to the text; a button that names a tab was read already."""
    yield from survey.hidden
    yield from (node for node in survey.select(*_CLUTTER) if node.get("role") != "tab")
    yield from (node for node in survey.select("header", "form", "[role=banner]") if node not in titled)


def _by_generator(survey: PageIndex) -> tuple[Generator | None, Node | None]:
    for row in GENERATORS:
        if row.marks and not survey.select(*row.marks):
            continue
        for selector in row.content:
            if nodes := survey.select(selector):
                return row, _narrow(_one(nodes), selector)
    return None, None


def _one(nodes: list[Node]) -> Node:
    """Several are answers in a thread or posts on a page: all of them are the content."""
    known = set(nodes)
    outer = [node for node in nodes if not any(parent in known for parent in node.above())]
    if len(outer) == 1:
        return outer[0]
    holder = Node("div", NO_ATTRIBUTES, None)
    holder.children = list(outer)
    holder.holds_blocks = True
    return holder


def _narrow(node: Node, selector: str) -> Node:
    """Sphinx themes that mark nothing else still wrap the page's sections in one element."""
    if selector != ".document":
        return node
    sections = (inner for inner in node.walk() if inner.tag == "section" or "section" in inner.classes)
    section = next(sections, None)
    return section.parent if section and section.parent else node


def _marked(survey: PageIndex) -> Node | None:
    """Several marked elements are teasers of other pages, or quotations; one is the page."""
    for selector in MARKED:
        found = [node for node in survey.select(selector) if node.parent is not None]
        if len(found) == 1 and found[0].text().strip():
            return found[0]
    return None


def _body(survey: PageIndex) -> Node:
    return next(iter(survey.select("body")), survey.tree.root)


def _ancestors(headings: list[Node]) -> set[Node]:
    """All elements around headings; each is visited once, however deep the page is."""
    seen: set[Node] = set()
    for heading in headings:
        for parent in heading.above():
            if parent in seen:
                break
            seen.add(parent)
    return seen


# --- The title -----------------------------------------------------------------------------------------


def _title(survey: PageIndex, generator: Generator | None, main: Node | None) -> Node | None:
    """The title that stands outside the content, where the content has none of the first rank."""
    if main is None or any(main in node.above() for node in survey.headings if node.tag == "h1"):
        return None
    named = survey.select(*generator.titles) if generator else []
    return named[0] if named else next(_declared(survey), None)


def _declared(survey: PageIndex) -> Iterator[Node]:
    """Headings of the first rank that the page's own title begins with."""
    for node in survey.headings:
        words = node.words() if node.tag == "h1" else ""
        if words and survey.head.title.lower().startswith(words.lower()):
            yield node


def _with_title(survey: PageIndex, main: Node, title: Node | None) -> Node:
    if title is None or not title.words():
        return main
    holder, heading = Node("div", NO_ATTRIBUTES, None), Node("h1", title.attributes, None)
    heading.children = title.children
    heading.holds_blocks = holder.holds_blocks = True
    holder.children = [heading, main]
    survey.anchors[heading] = survey.anchors.get(title, title.get("id"))
    return holder
