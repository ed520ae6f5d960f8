"""MDX and raw HTML in Markdown: imports and exports, comments and expressions in braces, tags alone on their lines.

Components leave their titles and the facts in their properties (``components``).
"""

from __future__ import annotations

import re

from ingestion.extraction.markdown import tags
from ingestion.extraction.markdown.dialect import Block, BlockRule, Dialect, InlineRule, Page

# An import or export that is not closed within these is text.
MAX_MODULE_LINES = 200

_IMPORT = re.compile(r"import[ \t]+(?:(?:[\w*{][^\n]*[ \t}]from[ \t]*)?['\"][^'\"\n]+['\"];?$|\{[^}\n]*$)")
_EXPORT = re.compile(r"export[ \t]+(?:const|let|var|default|function|async|class|\{|\*)")
_COMMENT_END = re.compile(r"\*/\}")


def _read_module_lines(block: Block, _: re.Match[str]) -> int:
    """Leave out an import or export, up to the line that closes its brackets; return the next line, 0 for others."""
    if block.text_at(block.line).startswith("export") and not block.page.is_jsx:
        return 0
    if not block.page.may_search():
        return 0
    depth = 0
    for line in range(block.line, min(block.end, block.line + MAX_MODULE_LINES)):
        text = block.text_at(line)
        depth += sum(map(text.count, "([{")) - sum(map(text.count, ")]}"))
        if depth <= 0:
            block.page.found()
            block.drop("imports and exports", block.line, line + 1)
            return line + 1
    return 0


def _read_comment(block: Block, _: re.Match[str]) -> int:
    """Return the number of the line after a comment, whose words count as dropped.

    It is 0 if the comment has no end, or if other words follow in the line in which it ends.
    """
    end = block.find(_COMMENT_END, block.line)
    if end < 0 or block.text_at(end).partition("*/}")[2]:
        return 0
    block.drop("comment", block.line, end + 1)
    return end + 1


def _read_code(block: Block, _: re.Match[str]) -> int:
    """Add code between backquotes in braces, as components hold it; return the line after it, 0 without an end."""
    end = block.find(re.compile(r"`\}$"), block.line)
    if end < 0:
        return 0
    code = block.lines(block.line, end + 1, indent=block.indent).strip()
    block.code(code[2:-2].strip("\n"))
    return end + 1


def _expression(match: re.Match[str], page: Page) -> str | None:
    """Return an empty string for an expression of MDX, which is left out; None on other pages: braces are text."""
    if not page.is_jsx:
        return None
    page.dropped.add("expressions", match.group())
    return ""


DIALECT = Dialect(
    blocks=(
        BlockRule("i", _IMPORT, _read_module_lines),
        BlockRule("e", _EXPORT, _read_module_lines),
        BlockRule("{", re.compile(r"\{/\*(?![ \t]*#[\w-]+[ \t]*\*/)"), _read_comment),
        BlockRule("{", re.compile(r"\{`"), _read_code),
        BlockRule("<", re.compile(r"</?(?:[A-Za-z>])"), tags.read_tag_lines),
    ),
    marks=(
        InlineRule("{", re.compile(r"\{/\*(?:[^*]|\*(?!/))*\*/\}"), lambda *_: ""),
        InlineRule("{", re.compile(r"""\{["'`] *["'`]\}"""), lambda *_: " "),
        InlineRule("{", re.compile(r"""\{(["'`])([^"'`{}]+)\1\}"""), lambda match, _: match.group(2)),
        InlineRule("{", re.compile(r"\{[A-Za-z_$][\w$]*(?:\.[\w$]+)*(?:\([^(){}]*\))?\}"), _expression),
    ),
)
