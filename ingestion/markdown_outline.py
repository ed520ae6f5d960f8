"""The structure of Markdown that the extractor and the chunker must see alike: blocks, headings, paths.

In: Markdown. Out: blocks with offsets, and sections with the path of headings that leads to them.
Does not parse anything else of Markdown, and changes nothing. Time is linear in the input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

SEPARATOR = " › "
HEADING, FENCE, TABLE, TEXT, BLANK = "heading", "fence", "table", "text", "blank"

# A longer line that begins with "#" is text: nobody writes such a heading, and a path must stay short.
MAX_HEADING_CHARS = 300
# The chunker shows a path of about this length at most. Below a longer one a section names the title and itself only:
# were it repeated for each, 90 000 small headings under five long ones would take 130 MB.
MAX_PATH_CHARS = 400
FIRST_CHARS = 4096

# Fences count at any indentation, because those inside list items are indented.
_FENCE_OPENS = re.compile(r"[ \t]*(`{3,}|~{3,})[^`\n]*$")
_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
_CLOSING = re.compile(r"[ \t]+#+[ \t]*$")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
# Only in pairs: "(*args, **kwargs)" is no emphasis.
_STRONG = re.compile(r"(?<![\w*])\*\*([^\s*][^*]*(?<!\s))\*\*(?![\w*])")
_EMPHASIS = re.compile(r"(?<![\w*])\*([^\s*][^*]*(?<!\s))\*(?![\w*])")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!<>~|-])")
# "{#id .class}", "{: .class}" and "{-}", but not the names in "GET /pets/{id}".
_ATTRIBUTES = re.compile(r"\{:?[ \t]*(?:[#.][^{}]*|-)\}$")
# Without one of these a heading's words are as they stand.
_MARKED = re.compile(r"[*`{\[\\]")


class Block(NamedTuple):
    """``markdown[start:end]``, of one of the kinds above."""

    start: int
    end: int
    kind: str


class Section(NamedTuple):
    """The text under one heading; ``heading`` is None for the text before the first one.

    ``parent`` is the path above, empty where there is none. The heading begins at ``start``, the text goes from
    ``body`` to ``end``; of a section that ``is_empty``, ``body`` and ``end`` are the bounds of the heading.
    """

    path: str
    parent: str
    heading: str | None
    start: int
    body: int
    end: int
    is_empty: bool


def blocks(markdown: str) -> list[Block]:
    """Return the document's blocks, without gaps: headings, whole fences, tables, paragraphs, blank lines."""
    kinds, starts, ends = scan(markdown)
    return list(map(Block, starts, ends, kinds))


def scan(markdown: str) -> tuple[list[str], list[int], list[int]]:
    """Return the blocks as three lists: their kinds, where they start and where they end.

    There may be a block for every line, and an object for each costs more than finding it.
    """
    starts: list[int] = []
    kinds: list[str] = []
    end = 0
    kind = marker = ""
    for line in markdown.split("\n"):
        if marker:  # inside a fence everything belongs to it, up to the line that closes it
            marker = "" if closes_fence(line, marker) else marker
        else:
            begun, marker = (TEXT, "") if line[:1].isalnum() else _kind(line) if line else (BLANK, "")
            if begun != kind or begun in (FENCE, HEADING):
                starts.append(end)
                kinds.append(begun)
                kind = begun
        end += len(line) + 1
    if starts[-1] == len(markdown):  # after the last line's end
        del starts[-1], kinds[-1]
    return kinds, starts, [*starts[1:], len(markdown)] if starts else []


def kind_at_start(markdown: str) -> str:
    """Return the kind of the first block, without reading the others."""
    return _kind(markdown.partition("\n")[0])[0]


def closes_fence(line: str, marker: str) -> bool:
    """Return whether a line ends the fence that ``marker`` began."""
    text = line.strip()
    return len(text) >= len(marker) and not text.strip(marker[0])


def _kind(line: str) -> tuple[str, str]:
    """Return the kind of block that the line begins, and the marker if that is a fence.

    Lines are many: most are told by one character.
    """
    first = line.lstrip()[:1]
    if not first:
        return BLANK, ""
    if first in "`~" and (opening := _FENCE_OPENS.match(line)):
        return FENCE, opening.group(1)
    if first == "#" and len(line) <= MAX_HEADING_CHARS and _ATX.match(line):
        return HEADING, ""
    return (TABLE if first == "|" else TEXT), ""


def plain(text: str) -> str:
    """Return a heading's words without the markup around them."""
    text = text[:MAX_HEADING_CHARS].strip()
    if not _MARKED.search(text):
        return " ".join(text.split())
    text = _ATTRIBUTES.sub("", text)
    text = _LINK.sub(r"\1", text).replace("`", "")
    text = _EMPHASIS.sub(r"\1", _STRONG.sub(r"\1", text))
    return " ".join(_ESCAPE.sub(r"\1", text).split())


def read_heading(line: str) -> tuple[int, str]:
    """Return the level and the words of a heading's line."""
    match = _ATX.match(line)
    if not match:
        return 6, plain(line)
    words = match.group(2)
    return len(match.group(1)), plain(_CLOSING.sub("", words) if "#" in words else words)


def sections(markdown: str, title: str) -> Iterator[Section]:
    """Yield the document's sections, split at its headings; every path begins with the title."""
    root = title[:MAX_HEADING_CHARS]
    trail: list[tuple[int, str]] = []  # level and path of the headings above, each of a deeper level
    paths: dict[tuple[str, str], str] = {}  # those that repeat are one object
    path, parent = root, ""
    heading: str | None = None
    start = body = stop = -1
    kinds, starts, ends = scan(markdown)
    if BLANK in kinds[:1]:
        start, stop = 0, ends[0]
    for kind, begin, end in zip(kinds, starts, ends, strict=True):
        if kind != HEADING:
            if kind != BLANK:
                body, stop = begin if body < 0 else body, end
            continue
        yield _section(path, parent, heading, start, body, stop)
        level, heading = read_heading(markdown[begin:end])
        while trail and trail[-1][0] >= level:
            trail.pop()
        above = trail[-1][1] if trail else root
        if len(above) > MAX_PATH_CHARS:
            above = f"{root}{SEPARATOR}…"
        path = paths.get((above, heading), "")
        if not path:
            path = heading if not trail and root in ("", heading) else f"{above}{SEPARATOR}{heading}"
            paths[above, heading] = path
        trail.append((level, path))
        parent = above if above != path else ""
        start, body, stop = begin, -1, end
    yield _section(path, parent, heading, start, body, stop)


def _section(path: str, parent: str, heading: str | None, start: int, body: int, end: int) -> Section:
    """Return the section with these offsets, of which -1 stands for one that was not found.

    Without text (``body`` is -1) the section is empty, and ``body`` and ``end`` become the bounds of its heading. Text
    before the first heading, for which ``heading`` is None, starts where its first block that is not blank does.
    """
    is_empty = body < 0
    start = body if heading is None and not is_empty else max(start, 0)
    return Section(path, parent, heading, start, start if is_empty else body, max(end, 0), is_empty)


def first_heading(markdown: str, *, deepest: int = 6) -> str:
    """Return the words of the first heading of the level ``deepest`` or above, or an empty string."""
    size = 0
    while size < len(markdown):  # it mostly stands at the top
        size = markdown.find("\n", max(FIRST_CHARS, 8 * size)) + 1 or len(markdown)
        for kind, start, end in zip(*scan(markdown[:size]), strict=True):
            if kind == HEADING:
                level, words = read_heading(markdown[start:end])
                if level <= deepest:
                    return words
    return ""


def anchors(markdown: str, title: str, anchor_of: Callable[[str], str]) -> dict[str, str]:
    """Return the fragment of each heading path; ``anchor_of`` is called once per heading, in order, with its words."""
    found: dict[str, str] = {}
    for section in sections(markdown, title):
        if section.heading is not None and (anchor := anchor_of(section.heading)):
            found.setdefault(section.path, anchor)
    return found
