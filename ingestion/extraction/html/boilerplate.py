"""A page of unknown make → where its prose is, without the boxes around it.

Three figures for each element, found in one pass from the leaves up, decide: how long its text is, how much of it
stands in links, and how much is prose (paragraphs, code, rows of tables, not the crumbs of menus and buttons).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingestion.extraction.admonitions import KNOWN
from ingestion.extraction.dropped import DroppedWords
from ingestion.extraction.html.parser import Node, detach

# A run of words shorter than this is a label, a date or a button.
MIN_PROSE_CHARS = 50
# Scripts without spaces say as much in a third of the characters.
WIDE_WEIGHT = 3
# An element of whose text more than this is linked is a list of links.
MAX_LINKED = 0.5
# The main element is the innermost that still holds this much of the prose.
MAIN_SHARE = 0.85
# A box that holds more than this of the prose is no side box, whatever it is called.
SIDE_SHARE = 0.25
MAX_SIDES = 0.6
# With less prose than this, a page is a list or a form, and all of it is kept.
MIN_PAGE_PROSE = 200

SIDE_NAMES = frozenset({
    "ad", "ads", "adsense", "advert", "advertisement", "banner", "breadcrumb", "breadcrumbs", "comment", "comments",
    "consent", "cookie", "cookies", "copyright", "disqus", "feedback", "footer", "gdpr", "login", "masthead", "menu",
    "modal", "nav", "navbar", "navigation", "newsletter", "outbrain", "pager", "pagination", "player", "popular",
    "popup", "print", "promo", "promotion", "rating", "readmore", "recirc", "recommend", "recommendations",
    "recommended", "related", "respond", "share", "sharebar", "sharing", "shares", "sidebar", "signin", "signup",
    "skip", "social", "sponsor", "sponsored", "subscribe", "subscription", "taboola", "tags", "taglist", "teaser",
    "toolbar", "trending", "widget", "widgets", "byline", "dateline", "date", "meta", "foot", "rail", "side",
    "header", "hdr", "caption", "gallery", "video", "videos", "donate", "follow", "toc", "upsell", "voting",
})  # fmt: skip
# On a page of few words only these names tell a side box, and only as whole names.
PLAIN_SIDES = frozenset(
    {"sidebar", "nav", "header", "footer", "global-nav", "navbar", "menu", "site-header", "site-footer"}
)
# The beginnings of names that are written in one word ("relatedposts").
SIDE_BEGINNINGS = (
    "related",
    "newsletter",
    "cookie",
    "comment",
    "breadcrumb",
    "recommend",
    "advert",
    "sponsor",
    "share",
)
SIDE_TAGS = frozenset({"aside", "form", "fieldset", "figcaption"})
NOTES = KNOWN | {"admonition", "alert", "callout", "code-block-caption", "caption-text", "filename", "citation"}
NAMED_BY_ID = frozenset({"aside", "center", "div", "dl", "figure", "form", "ol", "p", "table", "ul"})
LISTS = frozenset({"div", "dl", "ol", "section", "table", "ul"})
KEPT = frozenset({"pre", "h1"})
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_WIDE = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(slots=True)
class Figures:
    """What an element holds. Characters of wide scripts count ``WIDE_WEIGHT`` times."""

    chars: int = 0
    linked: int = 0
    prose: int = 0
    links: int = 0
    line: int = 0  # characters that stand in no block inside
    linked_line: int = 0
    keeps: bool = False  # holds code or the title: no side box
    has_paragraph: bool = False  # right inside it

    def add(self, inner: Figures, *, is_block: bool) -> None:
        """Add the figures of an element inside this one; the text of a block does not count as a line of this one."""
        self.linked += inner.linked
        self.prose += inner.prose
        self.links += inner.links
        self.chars += inner.chars
        self.keeps = self.keeps or inner.keeps
        if not is_block:
            self.line += inner.line
            self.linked_line += inner.linked


def narrowed(root: Node, dropped: DroppedWords, *, is_marked: bool) -> Node:
    """Return the innermost element with most of the prose, emptied of side boxes.

    On a page with hardly any prose that is ``root``; side boxes are then taken out unless the page has marked ``root``
    as its main element.
    """
    figures = measured(root)
    total = figures[root].prose
    if total < MIN_PAGE_PROSE:
        named = (node for node in root.walk() if not PLAIN_SIDES.isdisjoint(node.classes | {node.get("id")}))
        asides = (node for node in root.walk() if node.tag == "aside" and not _is_note(node))
        if not is_marked:
            _remove({node for node in (*named, *asides) if not figures[node].keeps}, dropped)
        return root
    sides = _side_boxes(root, figures, total)
    # Where they hold most of the page, their names mean something else.
    if sides and sum(figures[side].prose for side in sides) <= MAX_SIDES * total:
        _remove(sides, dropped)
        figures = measured(root)
    least = MAIN_SHARE * figures[root].prose
    node = root
    while inner := next((child for child in node.elements() if figures[child].prose >= least), None):
        if inner.tag in ("p", "pre", "ul", "ol", "dl", "blockquote"):
            break
        node = inner
        if figures[node].has_paragraph:  # which would be cut off
            break
    return node


def measured(root: Node) -> dict[Node, Figures]:
    """Return the figures (characters, links, prose and so on) of an element and of each element in it."""
    figures: dict[Node, Figures] = {}
    for node in reversed(list(root.walk())):
        own = figures[node] = Figures(keeps=node.tag in KEPT)
        for child in node.children:
            if isinstance(child, Node):
                own.add(figures[child], is_block=child.holds_blocks)
                own.has_paragraph = own.has_paragraph or (child.tag == "p" and figures[child].prose > 0)
            elif not child.isspace():
                width = len(child) * (WIDE_WEIGHT if _WIDE.search(child, 0, 40) else 1)
                own.chars += width
                own.line += width
        if node.tag == "a":
            own.linked, own.links = own.chars, own.links + 1
        if node.holds_blocks and own.line >= MIN_PROSE_CHARS and own.linked_line <= MAX_LINKED * own.line:
            own.prose += own.line
    return figures


def _remove(sides: set[Node], dropped: DroppedWords) -> None:
    """Take side boxes out of the page, and count the words in them as dropped."""
    detach(sides)
    for side in sides:
        dropped.add("side boxes", side.shown_text())


def _side_boxes(root: Node, figures: dict[Node, Figures], total: int) -> set[Node]:
    """Return the outermost blocks inside ``root`` that are side boxes, such as menus and lists of links.

    ``total``: the characters of prose on the page. A block with much of them is no side box.
    """
    found: set[Node] = set()
    waiting = [root]
    while waiting:
        inner = [child for child in waiting.pop().elements() if child.holds_blocks]
        sides = {child for child in inner if _is_side_box(child, figures, total)}
        found |= sides
        waiting += [child for child in inner if child not in sides]
    return found


def _is_side_box(node: Node, figures: dict[Node, Figures], total: int) -> bool:
    """Return whether an element is beside the text: by its tag, by its names, or as a list of links."""
    own = figures[node]
    if own.prose > SIDE_SHARE * total or own.keeps or _is_note(node):
        return False
    if node.tag in SIDE_TAGS:
        return True
    # The ids of sections, terms and rows are anchors: "#comments" may lead to a chapter about comments.
    names = f"{node.get('class')} {node.get('id') if node.tag in NAMED_BY_ID else ''}"
    words = [word.lower() for word in _WORDS.findall(names[:500])]
    if any(word in SIDE_NAMES or word.startswith(SIDE_BEGINNINGS) for word in words):
        return True
    is_list_of_links = own.links >= 3 and own.linked > MAX_LINKED * own.chars
    return is_list_of_links and not _is_list_in_text(node, figures) and node.tag in LISTS


def _is_list_in_text(node: Node, figures: dict[Node, Figures]) -> bool:
    """Return whether a list of links is a section of its own, has the head of a table, or stands among paragraphs."""
    if node.tag == "table":
        return any(inner.tag == "th" for inner in node.walk())
    return (node.tag == "section" and "id" in node.attributes) or (
        node.tag != "div" and node.parent in figures and figures[node.parent].has_paragraph
    )


def _is_note(node: Node) -> bool:
    """Return whether an element is a note, a caption of code or a footnote, by its classes or its role."""
    return not node.classes.isdisjoint(NOTES) or "footnote" in node.get("class") + node.get("role")
