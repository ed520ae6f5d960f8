"""MkDocs: notes and tabs with their text indented below, included files, references into an API, icons.

``!!! note "Title"``, ``??? tip``, ``=== "Tab"``, ``--8<-- "file"``, ``{!file!}``, ``{* file *}``,
``::: package.module``, ``[words][package.name]``, ``:material-star:``, ``[TOC]``.
"""

from __future__ import annotations

import re
from html import escape

from ingestion.extraction.markdown.dialect import Block, BlockRule, Dialect, InlineRule, Page

_CODE_FILE = re.compile(r"[\w./@~-]*\.(?!md\b|mdx\b|txt\b|rst\b|html\b)[A-Za-z]\w{0,5}")


def _read_note(block: Block, match: re.Match[str]) -> int:
    """Add a note or a tab with the text indented below; return the line after it. An empty title hides the name."""
    kinds, title = match.groups()
    kind = kinds.split()[0] if kinds else "tab"
    after = block.end_of_indented(block.line + 1, block.indent + 2)
    block.title("container" if title == "" else kind, title or "")
    block.indented(block.line + 1, after)
    return after


def file_note(path: str) -> str:
    """Return a line that names an included file of code; empty for an included text."""
    name = _CODE_FILE.match(path.strip())
    return f"The code of `{name.group().lstrip('./')}`." if name else ""


def _read_file(block: Block, match: re.Match[str]) -> int:
    """Add a line that names an included file, if that holds code; return the number of the next line."""
    block.paragraph(file_note(next(filter(None, match.groups()), "")))
    return block.line + 1


def _read_file_list(block: Block, _: re.Match[str]) -> int:
    """Add the names of the files of code between two lines ``--8<--``, and return the line after the second.

    Without a second line, add nothing and return the line after the first.
    """
    after = block.find(re.compile(r"-{1,4}8<-{1,4}$"), block.line + 1)
    if after < 0:
        return block.line + 1
    for line in range(block.line + 1, after):
        block.paragraph(file_note(block.text_at(line)))
    return after + 1


def _read_reference(block: Block, match: re.Match[str]) -> int:
    """Add the name of an object to be documented (``::: name``), and return the line after its indented options."""
    block.paragraph(f"`{match.group(1)}`")
    return block.end_of_indented(block.line + 1, block.indent + 1)


def _reference(match: re.Match[str], page: Page) -> str:
    """Return the words of a reference to an object of an API as HTML: as code if they stand between backquotes."""
    words = match.group(1)
    if words[0] == words[-1] == "`" and "`" not in words.strip("`"):
        return f"<code>{escape(words.strip('`'), quote=False)}</code>"
    return escape(words, quote=False)


DIALECT = Dialect(
    blocks=(
        BlockRule("!?", re.compile(r"(?:!!![ \t]*|\?\?\?\+?[ \t]+)(\w[\w -]*?)[ \t]*(?:[\"“](.*)[\"”])?$"), _read_note),
        BlockRule("=", re.compile(r"(?:===[!+]?)()[ \t]+[\"'](.*)[\"']$"), _read_note),
        BlockRule("-;", re.compile(r";?-{1,4}8<-{1,4}[ \t]*[\"']([^\"']*)[\"']$"), _read_file),
        BlockRule("-", re.compile(r"-{1,4}8<-{1,4}$"), _read_file_list),
        BlockRule("{", re.compile(r"\{!>?[ \t]*([^!\n]*?)[ \t]*!\}$|\{\*[ \t]*([^*\s]+)[^*]*\*\}$"), _read_file),
        BlockRule(":", re.compile(r":::[ \t]+([A-Za-z_]\w*(?:[.:]\w+)+)$"), _read_reference),
        BlockRule("[", re.compile(r"\[TOC\]$", re.IGNORECASE), lambda block, _: block.line + 1),
    ),
    marks=(
        InlineRule("[", re.compile(r"\[([^\[\]\n]+)\]\[[A-Za-z_]\w*(?:\.\w+)+\]"), _reference),
        InlineRule(":", re.compile(r":(?:material|octicons|fontawesome|simple|lucide)-[\w-]+:"), lambda *_: ""),
    ),
)
