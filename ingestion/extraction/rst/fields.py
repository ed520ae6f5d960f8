"""Field lists and option lists of reStructuredText → items of a Markdown list."""

from __future__ import annotations

import re

FIELD = re.compile(r":(?!\s)([^:\n`]{1,120}?):(?:[ \t]+(.*))?$")
# Two spaces, or the end of the line, part an option from what it does.
OPTION = re.compile(r"(?=--?[A-Za-z?]|/[A-Za-z])(\S+(?: \S+){0,6}?)(?:[ \t]{2,}(\S.*)|[ \t]*)$")

# Fields that steer the build of a page.
STEERING = {"orphan", "tocdepth", "nocomments", "no-search", "nosearch", "noindex", "no-index", "allow_comments"}
_NAMED = {"param", "parameter", "arg", "argument", "key", "keyword", "kwarg", "ivar", "var", "cvar", "type", "vartype"}
_RAISED = {"raises", "raise", "except", "exception"}
_LABELS = {"returns": "Returns", "return": "Returns", "rtype": "Return type", "yields": "Yields", "yield": "Yields"}


def label(name: str) -> str:
    """Return the first words of a field: ``param int x`` names ``x``, others are words."""
    kind, _, rest = name.partition(" ")
    if kind in _NAMED and rest:
        words = rest.split()
        return f"`{words[-1]}`" + (f" (`{' '.join(words[:-1])}`)" if len(words) > 1 else "")
    if kind in _RAISED and rest:
        return f"Raises `{rest}`"
    return _LABELS.get(name, name[:1].upper() + name[1:])


def is_steering(name: str) -> bool:
    return name.lower() in STEERING
