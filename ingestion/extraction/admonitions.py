"""The first line of a note, a warning or a tab in plain Markdown: its name in bold.

All dialects of Markdown and HTML pages use the same words.
"""

from __future__ import annotations

# Boxes of these kinds show their title alone.
UNNAMED = {
    "accordion", "admonition", "aside", "callout", "card", "code-group", "container", "details", "div", "dropdown",
    "expandable", "grid", "grid-item", "grid-item-card", "hint", "raw", "sidebar", "step", "steps", "tab", "tab-item",
    "tab-set", "tabitem", "tabs", "topic", "v-pre", "content",
}  # fmt: skip
KNOWN = {
    "abstract", "attention", "bug", "caution", "check", "danger", "deprecated", "error", "example", "failure", "faq",
    "help", "hint", "important", "info", "note", "question", "quote", "seealso", "success", "summary", "tip", "tldr",
    "todo", "versionadded", "versionchanged", "warning",
}  # fmt: skip
_SPELLED = {
    "seealso": "See also",
    "versionadded": "New in version",
    "versionchanged": "Changed in version",
    "tldr": "TL;DR",
    "faq": "FAQ",
}


def label(kind: str, title: str = "") -> str:
    """Return ``**Note**``, ``**Note: Title**`` or ``**Title**``, by kind and title; empty if the box has no name."""
    kind, title = kind.lower(), title.strip()
    name = (
        "" if kind in UNNAMED and (kind != "hint" or title) else _SPELLED.get(kind, kind.replace("-", " ").capitalize())
    )
    if title.lower() == name.lower():
        title = ""
    words = f"{name}: {title}" if name and title else name or title
    return f"**{words}**" if words else ""
