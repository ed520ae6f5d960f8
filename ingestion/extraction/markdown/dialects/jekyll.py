"""Jekyll, Liquid and Jinja: ``{% … %}`` and ``{{ … }}``; ``highlight`` is code, ``raw`` stays, other tags show nothing.

Words that an include is given are shown; variables are known to the build alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

from markdown_it.common.utils import normalizeReference

from ingestion.extraction.markdown.components import Shown, shown
from ingestion.extraction.markdown.dialect import Block, BlockRule, Dialect, InlineRule, Page
from ingestion.extraction.markdown.dialects.hugo import in_line
from ingestion.extraction.markdown.templates import LIQUID, LITERAL, Template, parse, plain_address

_ALONE = re.compile(rf"(?:{LIQUID.pattern.replace('?P<inside>', '?:')}[ \t]*){{1,20}}$")
_HIGHLIGHT = re.compile(r"\{%-?[ \t]*highlight[ \t]+([\w+#-]{1,20})[^\n]*%\}$")
_HIGHLIGHT_END = re.compile(r"\{%-?[ \t]*endhighlight")
_COMMENT = re.compile(r"\{%-?[ \t]*comment[ \t]*-?%\}")
_COMMENT_END = re.compile(r"\{%-?[ \t]*endcomment")
_CONTENTS = re.compile(
    r"(?:[*-]|1\.)[ \t]+(?:toc|(?:table of )?contents|[^\n]{0,40}replaced[^\n]{0,40})$", re.IGNORECASE
)
# Without marks of Markdown, which would be read.
_RAW = re.compile(r"\{%-?[ \t]*raw[ \t]*-?%\}((?:[^{`*\[<]|\{(?!%-?[ \t]*(?:end)?raw\b))+)\{%-?[ \t]*endraw[ \t]*-?%\}")
_RAW_END = re.compile(r"\{%-?[ \t]*endraw")
_TEXT = re.compile(r"""\{\{[ \t]*["']([^"'{}]+)["'][^{}]*\}\}""")
# ``${{ … }}`` is an expression of GitHub Actions.
_VARIABLE = re.compile(r"(?<!\$)\{\{-?[ \t]*(?:[.$]\w|[A-Za-z_][\w-]*(?:[.\[|(]|[ \t]+\|))[^{}\n]*\}\}")

Show = Callable[[Template], Shown | None]


def liquid_block(show: Show) -> BlockRule:
    """Return a rule for lines of nothing but tags; it applies where ``show`` does not return None for the first tag."""

    def read(block: Block, match: re.Match[str]) -> int:
        """Add what the tags of a line show; return the number of the next line.

        Add nothing and return 0 if ``show`` returns None for the first tag.
        """
        found = [show(parse(tag.group("inside"))) for tag in LIQUID.finditer(match.group())]
        if found[0] is None:
            return 0
        for seen in filter(None, found):
            block.html(seen.as_block())
        return block.line + 1

    return BlockRule("{", _ALONE, read)


def liquid_mark(show: Show) -> InlineRule:
    """Return a rule for tags within a line; it applies to those for which ``show`` does not return None."""

    def html(match: re.Match[str], _: Page) -> str | None:
        """Return the HTML of what a tag within a line shows, or None if ``show`` returns None for it."""
        seen = show(parse(match.group("inside")))
        return None if seen is None else in_line(seen)

    return InlineRule("{", LIQUID, html)


def _shown(tag: Template) -> Shown:
    """Return the words that an include is given; other tags show nothing."""
    return Shown() if tag.name != "include" else shown(tag.name, tag.given)


def _read_code(block: Block, match: re.Match[str]) -> int:
    """Add the lines up to ``endhighlight`` as code; return the number of the line after it, 0 without an end."""
    end = block.find(_HIGHLIGHT_END, block.line + 1)
    if end < 0:
        return 0
    block.code(block.lines(block.line + 1, end, indent=block.indent), match.group(1))
    return end + 1


def _read_comment(block: Block, _: re.Match[str]) -> int:
    """Add what follows a comment in its last line, and count its own words as dropped; return the line after it.

    Without an end, return 0.
    """
    end = block.find(_COMMENT_END, block.line)
    if end < 0:
        return 0
    comment, after = _COMMENT_END.split(block.lines(block.line, end + 1), maxsplit=1)
    block.page.dropped.add("comment", comment)
    block.markdown(after.partition("%}")[2].strip())
    return end + 1


def _read_raw(block: Block, _: re.Match[str]) -> int:
    """Add the lines up to ``endraw``, whose tags are text; return the line after them, 0 without an end."""
    end = block.find(_RAW_END, block.line + 1)
    if end < 0:
        return 0
    block.markdown(block.lines(block.line + 1, end).replace("{", f"{{{LITERAL}"))
    return end + 1


def _read_contents(block: Block, _: re.Match[str]) -> int:
    """Skip the item that kramdown replaces by a table of contents; return the line after it, 0 for another item."""
    is_replaced = block.line + 1 < block.end and re.match(r"\{:[ \t]*toc\b", block.text_at(block.line + 1))
    return block.line + 2 if is_replaced else 0


def _read_definition(block: Block, match: re.Match[str]) -> int:
    """Record the definition of a link whose address contains variables, without them; return the next line."""
    definition = {"title": "", "href": plain_address(match.group(2))}
    block.state.env.setdefault("references", {}).setdefault(normalizeReference(match.group(1)), definition)
    return block.line + 1


def _variable(match: re.Match[str], page: Page) -> str:
    """Return an empty string for a variable, and count its words as dropped."""
    page.dropped.add("variables of templates", match.group())
    return ""


DIALECT = Dialect(
    blocks=(
        BlockRule("{", _HIGHLIGHT, _read_code),
        BlockRule("{", _COMMENT, _read_comment),
        BlockRule("{", re.compile(r"\{%-?[ \t]*raw[ \t]*-?%\}$"), _read_raw),
        BlockRule("*-1", _CONTENTS, _read_contents),
        liquid_block(_shown),
        BlockRule("[", re.compile(r"\[([^\[\]\n^][^\[\]\n]*)\]:[ \t]*([^\s{]*\{[{%][^\n]*)$"), _read_definition),
    ),
    marks=(
        InlineRule("{", _RAW, lambda match, _: escape(match.group(1), quote=False)),
        liquid_mark(_shown),
        InlineRule("{", _TEXT, lambda match, _: match.group(1)),
        InlineRule("{", _VARIABLE, _variable),
    ),
)
