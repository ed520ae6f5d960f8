"""Front matter above a page in Markdown: YAML between ``---``, TOML between ``+++``, with the page's title.

Out: the title and the text below. A rule at the top of a page is none without a key below it, nor with prose that
begins like one: "Note: …". The YAML of real pages is often none (tabs, templates, ``@``), so that only the beginnings
of lines are looked at.
"""

from __future__ import annotations

import re

# A longer one is text.
MAX_CHARS = 50_000

_FRONT_MATTER = re.compile(r"\s*(---|\+\+\+)[ \t]*\n(.*?\n)??[ \t]*(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_KEY = re.compile(r"\s*(?:#[^\n]*\n\s*)*[\"']?[A-Za-z_][\w .-]{0,60}?[\"']?[ \t]*[:=](?:\s|\Z|[\"'\[{])")
# Indented, a remark, an item, the end of a list, a template, a key: what begins a line of YAML.
_LINE = re.compile(r"[ \t#\]}-]|\{[{%]|[\"']?[A-Za-z_][\w .-]{0,60}?[\"']?[ \t]*:(?:\s|\Z|[\"'\[{])")
_TITLE = re.compile(r"^([ \t]*)[\"']?title[\"']?[ \t]*[:=][ \t]*(\S.*)$", re.MULTILINE | re.IGNORECASE)
_BLOCK = re.compile(r"[>|][+-]?\d?[ \t]*$")


def split(text: str) -> tuple[str, str]:
    """Return the title that the front matter names, or an empty string, and the text below it."""
    match = _FRONT_MATTER.match(text, 0, MAX_CHARS)
    if not match or not _KEY.match(match.group(2) or ""):
        return "", text
    if match.group(1) == "---" and _is_prose(match.group(2)):
        return "", text
    return _title(match.group(2)), text[match.end() :]


def _is_prose(front: str) -> bool:
    """Return whether the lines between two rules, of which the first looks like a key, are prose.

    A line without a key that follows a blank one is. Words that begin with a capital letter need another key beside
    them, and no line without one; a title needs none.
    """
    lines = front.strip().split("\n")
    odd = [at for at, line in enumerate(lines) if line.strip() and not _LINE.match(line)]
    first = lines[0].lstrip("\"'")
    if not first[:1].isupper() or first.lower().startswith("title"):
        return any(not lines[at - 1].strip() for at in odd)
    return bool(odd) or not any(line[:1].isalpha() for line in lines[1:])


def _title(front: str) -> str:
    """Return the title that front matter names, or an empty string.

    Of several it is the one that is indented least, then the last. A title of several lines follows ``>`` or ``|``.
    """
    found = sorted(_TITLE.finditer(front), key=lambda match: -len(match.group(1)))
    if not found:
        return ""
    match = found[-1]
    title = match.group(2).strip()
    if _BLOCK.match(title):
        width = len(match.group(1))
        lines = front[match.end() + 1 :].split("\n")
        last = next((i for i, line in enumerate(lines) if len(line) - len(line.lstrip()) <= width), len(lines))
        return " ".join(" ".join(lines[:last]).split())
    quoted = re.match(r"""(["'])(.*)\1[ \t]*(?:#.*)?$""", title)
    return (
        quoted.group(2).replace("''", "'").replace('\\"', '"').strip() if quoted else re.sub(r"[ \t]+#.*$", "", title)
    )
