"""What one walk over a page finds: its head, headings, links, and the elements that any selector matches.

A walk for each selector would take a hundred times as long. Does not change the page.
"""

from __future__ import annotations

from collections import defaultdict

from ingestion.extraction.html import selectors, tabs
from ingestion.extraction.html.anchors import anchors
from ingestion.extraction.html.metadata import HEAD_TAGS, Head
from ingestion.extraction.html.parser import Node, Tree
from ingestion.extraction.html.site_generators import GENERATORS, Generator

HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
# Selectors of what is removed, by rule.
CLUTTER = {
    "navigation": "nav search .breadcrumb .breadcrumbs .skip-link .skip-to-content .pagination-nav .toctree-wrapper "
    ".table-of-contents .page-toc .on-this-page .tabbed-labels #toc #table-of-contents #TableOfContents #breadcrumbs",
    "footers": "footer",
    "permalinks": ".headerlink .anchor-link .viewcode-link .header-anchor .hash-link .heading-anchor .anchorjs-link "
    ".permalink .footnote-backref .fn-backref .reversefootnote .data-footnote-backref",
    "line numbers": ".linenos .gutter .linenodiv",
    "buttons": "clipboard-copy .copybtn",
    "dialogs and banners": "dialog .cookie-banner .cookie-consent .cc-window .cc-banner .osano-cm-window "
    ".onetrust-pc-dark-filter #cookie-banner #cookie-consent #cookie-notice #cookieConsent #onetrust-consent-sdk "
    "#CybotCookiebotDialog #usercentrics-root",
    "page tools": ".edit-this-page .edit-page-link .mw-editsection .feedback-widget .page-feedback .docs-feedback "
    ".was-this-helpful .td-page-meta .last-updated #feedback",
    "formulas drawn a second time": ".katex-html .MathJax_Preview .MathJax .mjx-chtml",
    "text for screen readers": ".screen-reader-text",
    "fallbacks of scripts and media": "noscript audio video",
}
# Attributes that may hide an element, and those of what opens a hidden one.
HIDING = frozenset({"role", "hidden", "aria-hidden", "style"})
OPENING = frozenset({"aria-controls", "aria-expanded", "data-target", "data-bs-target"})
_SELECTORS = (s for row in GENERATORS for s in (*row.content, *row.marks, *row.titles, *row.clutter))
_INDEX = selectors.Index(
    {
        *(selector for selector in _SELECTORS if not selector.startswith("generator:")),
        *(selector for names in CLUTTER.values() for selector in names.split()),
        *(*tabs.GROUPS, *tabs.NAMED, "main", "[role=main]", "article", "[itemprop=articleBody]"),
        *("body", "header", "[role=banner]", "form", "button", "input"),
    }
)
# What stands in a link that leads to the heading around it.
_PERMALINKS = frozenset("#¶§🔗")


class PageIndex:
    """What one walk over a page finds."""

    def __init__(self, tree: Tree, url: str) -> None:
        self.tree = tree
        self.head = Head(url)
        self.found: defaultdict[str, list[Node]] = defaultdict(list)
        self.headings: list[Node] = []
        self.links: list[Node] = []
        self.permalinks: list[Node] = []
        self.unshown: list[Node] = []  # perhaps: by an attribute or a role
        self.openers: set[Node] = set()
        self.generator: Generator | None = None  # the one that made the page, once ``main_content`` has found its text
        for node in tree.root.walk():
            self._note(node)
        self.anchors = anchors(self.headings)

    def _note(self, node: Node) -> None:
        """Add an element to the lists of this index that it belongs to; let the head read one of ``HEAD_TAGS``.

        Those are headings, links, what selectors find, and elements that may be hidden or that open others.
        """
        tag = node.tag
        if tag in HEADINGS:
            self.headings.append(node)
        elif tag in ("a", "area"):
            self._note_link(node)
        elif tag in HEAD_TAGS:
            self.head.note(node)
        _INDEX.note(node, self.found)
        if node.attributes:
            if not HIDING.isdisjoint(node.attributes):
                self.unshown.append(node)
            if not OPENING.isdisjoint(node.attributes):
                self.openers.add(node)

    def _note_link(self, node: Node) -> None:
        """Add an element to ``links`` if it has an ``href``.

        Add it to ``permalinks`` too if that is a fragment and the link's one child is a mark such as ``#`` or ``¶``.
        """
        if "href" in node.attributes:
            self.links.append(node)
            text = node.children[0] if len(node.children) == 1 else ""
            if isinstance(text, str) and text.strip() in _PERMALINKS and node.get("href").startswith("#"):
                self.permalinks.append(node)

    def select(self, *wanted: str) -> list[Node]:
        """Return the elements that selectors match, in the order of the selectors, then of the page.

        ``generator:x`` matches the root of a page whose generator element begins with x.
        """
        found: list[Node] = []
        for selector in wanted:
            if not selector.startswith("generator:"):
                found += selectors.select(selector, self.found)
            elif self.head.generator.startswith(selector.removeprefix("generator:")):
                found.append(self.tree.root)
        return found

    @property
    def body(self) -> Node:
        """Return the ``body`` element of the page, or its root element if it has none."""
        return next(iter(self.select("body")), self.tree.root)

    @property
    def passwords(self) -> int:
        """Return the number of input fields for a password."""
        return sum(node.get("type").lower() == "password" for node in self.select("input"))
