"""What of a page is not its text, wherever it stands: navigation, buttons, hidden elements, banners and the like.

In: what one walk over the page found (``PageIndex``). Out: the elements to take out, each with the name of the rule.
What a reader can open stays: closed panels, hidden tabs, and the words of the buttons that open them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from ingestion.extraction.html.anchors import siblings_before
from ingestion.extraction.html.page_index import CLUTTER, OPENING, PageIndex
from ingestion.extraction.html.parser import Node

_RULE_OF_ROLE = {
    **dict.fromkeys(("navigation", "search", "tablist"), "navigation"),
    "contentinfo": "footers",
    "toolbar": "buttons",
    **dict.fromkeys(("dialog", "alertdialog"), "dialogs and banners"),
}
# Elements whose words may all stand in a button.
_TITLED_BY_BUTTON = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "summary", "dt", "legend", "caption", "th"})
# A title with nothing to see below it opens what is hidden there.
_ABOVE_PANELS = frozenset({"h2", "h3", "h4", "h5", "h6", "dt"})
_OPENER_NAME = re.compile(r"accordion|collaps|expand|faq|toggle-title", re.IGNORECASE)
_NO_LETTERS = re.compile(r"[\W_]+")


def find(index: PageIndex, texts: set[Node]) -> dict[Node, str]:
    """Return the elements to leave out of the page, such as navigation and buttons, each with the rule that found it.

    ``texts`` are the elements with headings in them: a header or a form among them is kept.
    """
    found = {node: rule for rule, names in CLUTTER.items() for node in index.select(*names.split())}
    found |= {node: rule for node in index.unshown if (rule := _RULE_OF_ROLE.get(node.get("role"), ""))}
    found |= dict.fromkeys(_hidden(index), "hidden elements")
    found |= dict.fromkeys(_actions(index.select("button")), "buttons")
    boxes = {"headers without a heading": ("header", "[role=banner]"), "forms": ("form",)}
    found |= {node: rule for rule, names in boxes.items() for node in index.select(*names) if node not in texts}
    found |= dict.fromkeys(index.permalinks, "permalinks")
    return {node: rule for node, rule in found.items() if not _is_text(node, rule)}


def _is_text(node: Node, rule: str) -> bool:
    """Return whether to keep an element that ``rule`` found: ``main`` or the like, a tab, a permalink around blocks."""
    is_box = rule == "permalinks" and node.holds_blocks
    return is_box or node.tag in ("html", "body", "main", "article") or node.get("role") == "tab"


def _hidden(index: PageIndex) -> Iterable[Node]:
    """Yield the elements that are not shown, without those that a reader can open."""
    opened = {name.lstrip("#") for node in index.openers for name in _targets(node)}
    openers = [node for node in (*index.openers, *index.select("button")) if _opens(node)]
    titles = {node.parent for node in openers if node.parent and _is_titled_by_button(node.parent)}.union(openers)
    suspects = [node for node in index.unshown if _is_hidden(node) and node.get("id") not in opened]
    before = siblings_before({node.parent for node in suspects if node.parent})
    for node in suspects:
        neighbour = before.get(node)
        is_panel = neighbour in titles or (isinstance(neighbour, Node) and neighbour.tag in _ABOVE_PANELS)
        if not is_panel:
            yield node


def _targets(opener: Node) -> list[str]:
    """Return the words in the attributes that name what an element opens: ids, with or without ``#``, and addresses."""
    return " ".join(map(opener.get, ("aria-controls", "data-target", "data-bs-target", "href"))).split()


def _is_hidden(node: Node) -> bool:
    """Return whether an attribute or a style of an element hides it.

    Tab panels and ``details`` count as shown; ``hidden`` with the value ``until-found`` hides nothing.
    """
    if node.get("role") == "tabpanel" or "tabpanel" in node.get("class") or node.tag == "details":
        return False
    return (
        ("hidden" in node.attributes and node.get("hidden") != "until-found")
        or node.get("aria-hidden").lower() == "true"
        or "display:none" in node.get("style").lower().replace(" ", "")
    )


def _actions(buttons: list[Node]) -> Iterable[Node]:
    """Yield the buttons that do something ("Copy"); those that are text stay, as a title if they open a panel."""
    letters_of: dict[Node, str] = {}  # of a title; a hostile one holds thousands of buttons
    in_sentences = _between_words(buttons)
    for button in buttons:
        title = next((node for node in islice(button.above(), 3) if _is_titled_by_button(node)), None)
        if title is not None:
            if title not in letters_of:
                letters_of[title] = _letters(title)
            if letters_of[title] != _letters(button):
                yield button
        elif _opens(button) and "aria-haspopup" not in button.attributes:
            _become_title(button)
        elif (
            button not in in_sentences
            and not button.holds_blocks
            and sum(bool(child.words()) for child in button.elements()) < 2
        ):
            yield button


def _between_words(buttons: list[Node]) -> set[Node]:
    """Return the buttons with words right before and after them: "Press OK to go on"."""
    found: set[Node] = set()
    for parent in {button.parent for button in buttons if button.parent}:
        for before, node, after in zip(parent.children, parent.children[1:], parent.children[2:], strict=False):
            if isinstance(node, Node) and isinstance(before, str) and isinstance(after, str):
                found |= {node} if before.strip() and after.strip() else set()
    return found


def _is_titled_by_button(node: Node) -> bool:
    """Return whether an element is a heading, or a title such as ``summary`` whose words may stand in a button."""
    return node.tag in _TITLED_BY_BUTTON or node.get("role") == "heading"


def _letters(node: Node) -> str:
    """Return the letters and digits of all text in an element, without spaces, punctuation and underscores."""
    return _NO_LETTERS.sub("", node.text())


def _opens(node: Node) -> bool:
    """Return whether an element opens a panel, by its attributes or by the names of a button."""
    if not OPENING.isdisjoint(node.attributes):
        return True
    return node.tag in ("button", "summary") and bool(_OPENER_NAME.search(node.get("class")))


def _become_title(button: Node) -> None:
    """Turn a button into a ``summary``, with a space after each of its parts, so that its words stay as a title.

    The button and the elements around it are marked as holding blocks.
    """
    button.tag = "summary"
    button.children = [part for child in button.children for part in (child, " ")]  # styles set them apart
    for node in (button, *button.above()):
        if node.holds_blocks:
            break
        node.holds_blocks = True
