"""Tabs of a page → its panels one after another, each under its label."""

from __future__ import annotations

from ingestion.extraction.html.parser import Node, detach

# Elements that hold the labels and the panels.
GROUPS = (
    ".tabbed-set", ".tabs-container", ".tabs", ".vp-code-group", ".code-group", ".sd-tab-set", ".sphinx-tabs",
    ".nextra-tabs", "starlight-tabs",
)  # fmt: skip
# Labels and panels that may name each other.
NAMED = ("[role=tab]", "[data-toggle=tab]", "[data-bs-toggle=tab]", "[role=tabpanel]", ".tab-pane")
PANELS = frozenset({"tabbed-block", "sd-tab-content"})
MAX_NESTED = 2


def label_panels(groups: list[Node], named: list[Node]) -> None:
    """Put the label of each tab above its panel, and take the labels out of the page.

    A label names its panel or the other way round; otherwise both are counted in the group that holds them. Tabs may
    stand in tabs, but a page that nests them further is no page: each nesting is another walk.
    """
    label_of = _named_labels(named)
    known = set(groups)
    for group in [node for node in groups if sum(parent in known for parent in node.above()) < MAX_NESTED]:
        labels: list[Node] = []
        panels: list[Node] = []
        for node in group.walk():
            role = node.get("role")
            if role == "tab" or (node.tag == "label" and node.get("for") != "" and node.words()):
                labels.append(node)
            in_blocks = node.parent is not None and "blocks" in node.parent.classes
            if role == "tabpanel" or not node.classes.isdisjoint(PANELS) or in_blocks:
                panels.append(node)
        if len(labels) == len(panels) and label_of.keys().isdisjoint(panels):
            label_of |= zip(panels, labels, strict=True)
    for panel, label in label_of.items():
        line = Node("p", {"class": "admonition-title"}, panel)
        line.children = [label.words()]
        line.holds_blocks = panel.holds_blocks = True
        panel.children = [line, *panel.children]
    detach(set(label_of.values()))


def _named_labels(named: list[Node]) -> dict[Node, Node]:
    """Return the label of each panel that is named by its label, or names it."""
    panels = {node: None for node in named if node.get("role") == "tabpanel" or "tab-pane" in node.classes}
    labels = [node for node in named if node not in panels]
    by_target = {target: label for label in labels if (target := _target(label))}
    by_id = {label.get("id"): label for label in labels if "id" in label.attributes}
    found = {node: by_target.get(node.get("id")) or by_id.get(node.get("aria-labelledby")) for node in panels}
    return {panel: label for panel, label in found.items() if label}


def _target(tab: Node) -> str:
    """Return what a tab names as its panel: an id, without ``#``, or an address; empty if it names nothing."""
    target = tab.get("aria-controls") or tab.get("data-bs-target") or tab.get("data-target") or tab.get("href")
    return target.removeprefix("#")
