"""The structure of Markdown that the extractor and the chunker must see alike: blocks, headings, paths.

In: Markdown. Out: blocks with offsets, and sections with the path of headings that leads to them.
Nothing else of Markdown is understood here, and nothing is changed. Time is linear in the input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

SEPARATOR = " › "
HEADING, FENCE, TABLE, TEXT, BLANK = "heading", "fence", "table", "text", "blank"

# A longer line that begins with "#" is text: nobody writes such a heading, and a path must stay short.
MAX_HEADING_CHARS = 300

# Fences count at any indentation, because those inside list items are indented.
_FENCE_OPENS = re.compile(r"[ \t]*(`{3,}|~{3,})[^`\n]*$")
_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
_CLOSING = re.compile(r"[ \t]+#+[ \t]*$")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
# Only in pairs: "(*args, **kwargs)" is no emphasis.
_STRONG = re.compile(r"(?<![\w*])\*\*([^\s*][^*]*(?<!\s))\*\*(?![\w*])")
_EMPHASIS = re.compile(r"(?<![\w*])\*([^\s*][^*]*(?<!\s))\*(?![\w*])")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!<>~|-])")
_ATTRIBUTES = re.compile(r"\{[^{}]*\}$")
# Without one of these a heading's words are as they stand.
_MARKED = re.compile(r"[*`{\[\\]")


class Block(NamedTuple):
    start: int
    end: int
    kind: str


class Section(NamedTuple):
    """What stands under one heading; ``heading`` is None for what stands before the first one. ``parent`` is
    the path above, empty where there is none."""

    path: str
    parent: str
    heading: Block | None
    blocks: list[Block]


def blocks(markdown: str) -> list[Block]:
    """The document in blocks without gaps: headings, whole fences, tables, paragraphs, blank lines."""
    found: list[Block] = []
    start = end = 0
    kind = marker = ""
    for line in markdown.split("\n"):
        if marker:  # inside a fence everything belongs to it, up to the line that closes it
            marker = "" if _closes(line, marker) else marker
        else:
            begun, marker = (TEXT, "") if line[:1].isalnum() else _kind(line) if line else (BLANK, "")
            if begun != kind or begun in (FENCE, HEADING):
                found.append(Block(start, end, kind))
                start, kind = end, begun
        end += len(line) + 1
    found.append(Block(start, len(markdown), kind))
    return [block for block in found if block.start < block.end]


def kind_at_start(markdown: str) -> str:
    """The kind of the first block, without reading the others."""
    return _kind(markdown.partition("\n")[0])[0]


def _closes(line: str, marker: str) -> bool:
    text = line.strip()
    return len(text) >= len(marker) and not text.strip(marker[0])


def _kind(line: str) -> tuple[str, str]:
    """What the line begins, and the marker if that is a fence. Lines are many: most are known by one character."""
    first = line.lstrip()[:1]
    if not first:
        return BLANK, ""
    if first in "`~" and (opening := _FENCE_OPENS.match(line)):
        return FENCE, opening.group(1)
    if first == "#" and len(line) <= MAX_HEADING_CHARS and _ATX.match(line):
        return HEADING, ""
    return (TABLE if first == "|" else TEXT), ""


def plain(text: str) -> str:
    """A heading's words without the markup around them."""
    text = text[:MAX_HEADING_CHARS].strip()
    if not _MARKED.search(text):
        return " ".join(text.split())
    text = _ATTRIBUTES.sub("", text)
    text = _LINK.sub(r"\1", text).replace("`", "")
    text = _EMPHASIS.sub(r"\1", _STRONG.sub(r"\1", text))
    return " ".join(_ESCAPE.sub(r"\1", text).split())


def read_heading(line: str) -> tuple[int, str]:
    """Level and words of a heading's line."""
    match = _ATX.match(line)
    if not match:
        return 6, plain(line)
    return len(match.group(1)), plain(_CLOSING.sub("", match.group(2)))


def sections(markdown: str, title: str) -> Iterator[Section]:
    """The document cut at its headings; every path begins with the title."""
    trail: list[tuple[int, str]] = []  # level and path of the headings above, each of a deeper level
    current = Section(title, "", None, [])
    for block in blocks(markdown):
        if block.kind != HEADING:
            current.blocks.append(block)
            continue
        yield current
        level, words = read_heading(markdown[block.start : block.end])
        while trail and trail[-1][0] >= level:
            trail.pop()
        parent = trail[-1][1] if trail else title
        path = words if not trail and title in ("", words) else f"{parent}{SEPARATOR}{words}"
        trail.append((level, path))
        current = Section(path, parent if parent != path else "", block, [])
    yield current


def first_heading(markdown: str, *, deepest: int = 6) -> str:
    """Words of the first heading of that level or above, or an empty string."""
    for block in blocks(markdown):
        if block.kind == HEADING:
            level, words = read_heading(markdown[block.start : block.end])
            if level <= deepest:
                return words
    return ""


def anchors(markdown: str, title: str, anchor_of: Callable[[str], str]) -> dict[str, str]:
    """Heading path → fragment; ``anchor_of`` is asked once per heading, in order, with its words."""
    found: dict[str, str] = {}
    for section in sections(markdown, title):
        if not section.heading:
            continue
        _, words = read_heading(markdown[section.heading.start : section.heading.end])
        if anchor := anchor_of(words):
            found.setdefault(section.path, anchor)
    return found
