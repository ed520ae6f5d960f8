"""The marks of all dialects within a line, and the tags of templates within HTML.

In: a text and a position. Out: the HTML of the mark that begins there. What a mark shows, the dialects know.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache

from markdown_it.rules_inline import StateInline

from ingestion.extraction.markdown.dialect import InlineRule, Page
from ingestion.extraction.markdown.dialects import DIALECTS

_TEMPLATE_START = re.compile(r"\{[{%]")
_CODE_TAG = re.compile(r"<(/?)(?:pre|code|kbd|samp|tt)(?=[\s>])", re.IGNORECASE)


def read_mark(state: StateInline, silent: bool) -> bool:
    """Add the HTML of a dialect's mark at the current position and move past it; return whether there is one.

    Tags of templates within elements of code are none.
    """
    if _TEMPLATE_START.match(state.src, state.pos) and _opened_code(state.src, 0, state.pos) > 0:
        return False
    shown = _mark_at(state.src, state.pos, state.posMax, state.env["page"])
    if shown is None:
        return False
    html, state.pos = shown
    if html and not silent:
        state.push("html_inline", "", 0).content = html
    return True


def _mark_at(text: str, start: int, end: int, page: Page) -> tuple[str, int] | None:
    """Return the HTML of a mark at ``start`` and where it ends, None if none begins there."""
    for rule in _marks().get(text[start], ()):
        match = rule.pattern.match(text, start, end)
        if match and match.end() > start and (shown := rule.show(match, page)) is not None:
            return shown, match.end()
    return None


@cache
def _marks() -> dict[str, list[InlineRule]]:
    """Return the rules of all dialects for marks within a line, by the characters with which the marks begin."""
    rules: defaultdict[str, list[InlineRule]] = defaultdict(list)
    for rule in (rule for dialect in DIALECTS for rule in dialect.marks):
        for first in rule.starts:
            rules[first].append(rule)
    return dict(rules)


def with_templates_shown(html: str, page: Page) -> str:
    """Return HTML with what tags of templates in it show; within elements of code they stay as they are written."""
    parts: list[str] = []
    position = seen = depth = 0
    for found in _TEMPLATE_START.finditer(html):
        depth = max(0, depth + _opened_code(html, seen, found.start()))
        seen = found.start()
        is_mark = not depth and seen >= position
        shown = _mark_at(html, seen, len(html), page) if is_mark else None
        if shown:
            parts += [html[position:seen], shown[0]]
            position = shown[1]
    return "".join([*parts, html[position:]])


def _opened_code(text: str, start: int, end: int) -> int:
    """Return how many more elements of code begin than end between two positions."""
    return sum(-1 if slash else 1 for slash in _CODE_TAG.findall(text, start, end))
