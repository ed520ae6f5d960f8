"""Tabs of a page → its panels one after another, each under its label."""

from __future__ import annotations

from ingestion.extraction.html.parser import Node, detach

# Elements that hold the labels and the panels.
GROUPS = (
    ".tabbed-set", ".tabs-container", ".tabs", ".vp-code-group", ".code-group", ".sd-tab-set", ".sphinx-tabs",
    ".nextra-tabs", "starlight-tabs",
)  # fmt: skip
BY_ROLE = ("[role=tab]", "[role=tabpanel]")
PANELS = frozenset({"tabbed-block", "sd-tab-content"})
MAX_NESTED = 2


def label_panels(groups: list[Node], by_role: list[Node]) -> None:
    """Put the label of each tab above its panel, and take the labels out of the page.

    A label names its panel or the other way round; otherwise both are counted in the group that holds them. Tabs may
    stand in tabs, but a page that nests them further is no page: each nesting is another walk.
    """
    label_of = _named_labels(by_role)
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


def _named_labels(by_role: list[Node]) -> dict[Node, Node]:
    """Return the label of each panel that is named by its label, or names it."""
    tabs = [node for node in by_role if node.get("role") == "tab"]
    by_target = {target: tab for tab in tabs if (target := _target(tab))}
    by_id = {tab.get("id"): tab for tab in tabs if "id" in tab.attributes}
    found: dict[Node, Node] = {}
    for panel in by_role:
        label = by_target.get(panel.get("id")) or by_id.get(panel.get("aria-labelledby"))
        if panel.get("role") == "tabpanel" and label:
            found[panel] = label
    return found


def _target(tab: Node) -> str:
    return tab.get("aria-controls") or (tab.get("data-bs-target") or tab.get("href")).removeprefix("#")
