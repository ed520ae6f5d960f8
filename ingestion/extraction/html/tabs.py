"""Tabs of a page → its panels one after another, each under its label."""

from __future__ import annotations

from ingestion.extraction.html.parser import Node

# Elements that hold the labels and the panels.
GROUPS = (
    ".tabbed-set", ".tabs-container", ".tabs", ".vp-code-group", ".code-group", ".sd-tab-set", ".sphinx-tabs",
    ".nextra-tabs", "starlight-tabs",
)  # fmt: skip
PANELS = frozenset({"tabbed-block", "sd-tab-content"})
MAX_NESTED = 2


def label_panels(groups: list[Node]) -> None:
    """Put the label of each tab above its panel, and take the list of labels out of the page.

    Tabs may stand in tabs, but a page that nests them further is no page: each nesting is another walk.
    """
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
        if not labels or len(labels) != len(panels):
            continue
        for label, panel in zip(labels, panels, strict=True):
            line = Node("p", {"class": "admonition-title"}, panel)
            line.children = [label.words()]
            line.holds_blocks = panel.holds_blocks = True
            panel.children = [line, *panel.children]
        for label in labels:
            label.remove()
