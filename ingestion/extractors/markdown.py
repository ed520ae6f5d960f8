"""Markdown → Markdown: front matter removed, underlined headings made ATX, links and anchors collected."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from ingestion import outline
from ingestion.extractors.links import absolute, file_name
from ingestion.types import Extracted

# Each stops at what may begin the next match, so that no input makes them quadratic.
BARE_LINK = re.compile(r"https?://[^\s<>()\[\]{}`\"'|\\]+(?<![.,;:!?])")
_INLINE_LINK = re.compile(r"\]\(\s*<?([^\s<>()\]]+)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\[\]\n]+\]:[ \t]*<?([^\s<>]+)", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?\n)??(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_KEY = re.compile(r"\s*[\w-]+[ \t]*[:=]")
_FRONT_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(\S.*)$", re.MULTILINE)
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*(?:\n|\Z)")
_NOT_SLUG = re.compile(r"[^\w\- ]")


def read(url: str, text: str) -> Extracted:
    front, body = split_front_matter(text)
    body = atx_headings(body).strip("\n")
    title = _front_title(front) or outline.first_heading(body) or file_name(url)
    prose = "".join(body[b.start : b.end] for b in outline.blocks(body) if b.kind != outline.FENCE)
    return Extracted(
        title=title,
        markdown=body,
        links=links_of(url, prose),
        anchors=outline.anchors(body, title, github_slugger()),
    )


def split_front_matter(text: str) -> tuple[str, str]:
    """(front matter, the rest); a rule at the top of the page is no front matter without a key below it."""
    match = _FRONT_MATTER.match(text)
    if not match or not _FRONT_KEY.match(match.group(2) or ""):
        return "", text
    return match.group(2), text[match.end() :]


def _front_title(front: str) -> str:
    match = _FRONT_TITLE.search(front)
    return match.group(1).strip().strip("\"'").strip() if match else ""


def atx_headings(text: str) -> str:
    """Underlined titles of one line become ``#`` and ``##``: the stages after this know only those."""
    parts = []
    for block in outline.blocks(text):
        part = text[block.start : block.end]
        parts.append(_atx_block(part) if block.kind == outline.TEXT else part)
    return "".join(parts)


def _atx_block(paragraph: str) -> str:
    first, newline, rest = paragraph.partition("\n")
    match = _UNDERLINE.match(rest) if len(first) <= outline.MAX_HEADING_CHARS else None
    if not newline or not match or first.lstrip().startswith(("-", "*", ">", "|")):
        return paragraph
    marks = "#" if match.group(1).startswith("=") else "##"
    return f"{marks} {first.strip()}\n{rest[match.end() :]}"


def links_of(url: str, prose: str) -> tuple[str, ...]:
    found = [
        (match.start(), match.group(match.lastindex or 0))
        for pattern in (_INLINE_LINK, _REFERENCE, BARE_LINK)
        for match in pattern.finditer(prose)
    ]
    return absolute(url, [link for _, link in sorted(found)])


def github_slugger() -> Callable[[str], str]:
    """Makes the fragments that GitHub gives to headings; the second of a name ends in ``-1``."""
    seen: Counter[str] = Counter()

    def slug(words: str) -> str:
        name = _NOT_SLUG.sub("", words.lower()).replace(" ", "-")
        seen[name] += 1
        return name if seen[name] == 1 else f"{name}-{seen[name] - 1}"

    return slug
