"""Markdown of any dialect → plain Markdown, with the links and the anchors of its headings.

Read are CommonMark and what MkDocs, GitHub, Docusaurus, VitePress, MyST, Jekyll, Hugo and GitBook add to it.
Notes become a paragraph with their name and then their text, tabs their label and their text, underlined
headings ``#``; imports, comments, template tags and attributes go. Fences are never changed inside.
Files that a page includes cannot be read here: a line names those that hold code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ingestion import markdown_outline
from ingestion.extraction.links import BARE_LINK, absolute, file_name
from ingestion.extraction.markdown.blocks import Reader
from ingestion.extraction.slugs import github_slugger
from ingestion.types import Extracted

# Each stops at what may begin the next match, so that no input makes them quadratic.
_INLINE_LINK = re.compile(r"\]\(\s*<?([^\s<>()\]]+)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\[\]\n]+\]:[ \t]*<?([^\s<>]+)", re.MULTILINE)
_HREF = re.compile(r"""\b(?:href|to)=["']([^"'\s<>{}]+)["']""")
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?\n)??(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_KEY = re.compile(r"\s*(?:#[^\n]*\n\s*)*[\w\"'-]+[ \t]*[:=]")
_FRONT_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(?:[>|][+-]?[ \t]*\n[ \t]+)?(\S.*)$", re.MULTILINE)
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)
MAX_TABS = 40
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*(?:\n|\Z)")
_COMPONENT = re.compile(r"^[ \t]*</?[A-Z][\w.]*[\s/>]|^import [^\n]{1,200}? from ['\"]|\{/\*", re.MULTILINE)


def read(url: str, text: str) -> Extracted:
    front, body = split_front_matter(text)
    reader = Reader(body, jsx=url.lower().endswith(".mdx") or bool(_COMPONENT.search(_prose(body))))
    markdown = atx_headings("\n".join(reader.render(untabbed(body).split("\n")))).strip("\n")
    title = _front_title(front) or markdown_outline.first_heading(markdown) or file_name(url)
    slug = github_slugger()
    anchors = markdown_outline.anchors(markdown, title, lambda words: reader.anchor_of(words) or slug(words))
    return Extracted(title=title, markdown=markdown, links=links_of(url, _prose(body)), anchors=anchors)


def untabbed(body: str) -> str:
    """Return the text indented by spaces. Of a fence only the tabs that its first line begins with are replaced."""
    parts = []
    for block in markdown_outline.blocks(body) if "\t" in body else ():
        part = body[block.start : block.end]
        tabs = len(part) - len(part.lstrip("\t"))
        parts.append(_spaces_for_tabs(part, tabs if block.kind == markdown_outline.FENCE else MAX_TABS))
    return "".join(parts) or body


def _spaces_for_tabs(text: str, most: int) -> str:
    def spaces(found: re.Match[str]) -> str:
        tabs = found.group()
        return " " * 4 * min(len(tabs), most) + tabs[most:]

    return _LEADING_TABS.sub(spaces, text)


def _prose(body: str) -> str:
    return "".join(body[b.start : b.end] for b in markdown_outline.blocks(body) if b.kind != markdown_outline.FENCE)


def split_front_matter(text: str) -> tuple[str, str]:
    """Return the front matter and the rest; a rule at the top of the page is none without a key below it."""
    match = _FRONT_MATTER.match(text)
    if not match or not _FRONT_KEY.match(match.group(2) or ""):
        return "", text
    return match.group(2), text[match.end() :]


def _front_title(front: str) -> str:
    match = _FRONT_TITLE.search(front)
    title = match.group(1).strip() if match else ""
    return title[1:-1].strip() if title[:1] in ("'", '"') and title[-1:] == title[:1] else title


def atx_headings(text: str) -> str:
    """Return the text with underlined titles of one line as ``#`` and ``##``, the only ones that later stages know."""
    parts = []
    for block in markdown_outline.blocks(text):
        part = text[block.start : block.end]
        parts.append(_atx_block(part) if block.kind == markdown_outline.TEXT else part)
    return "".join(parts)


def _atx_block(paragraph: str) -> str:
    first, newline, rest = paragraph.partition("\n")
    match = _UNDERLINE.match(rest) if len(first) <= markdown_outline.MAX_HEADING_CHARS else None
    if not newline or not match or first.lstrip().startswith(("-", "*", ">", "|")):
        return paragraph
    marks = "#" if match.group(1).startswith("=") else "##"
    return f"{marks} {first.strip()}\n{rest[match.end() :]}"


def links_of(url: str, prose: str) -> tuple[str, ...]:
    return absolute(url, [link for _, link in sorted(_links(prose))])


def _links(prose: str) -> Iterator[tuple[int, str]]:
    for pattern in (_INLINE_LINK, _REFERENCE, _HREF, BARE_LINK):
        for match in pattern.finditer(prose):
            yield match.start(), match.group(match.lastindex or 0)
