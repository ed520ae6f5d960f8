"""Hugo: shortcodes ``{{< name … >}}`` and ``{{% name … %}}``, alone on a line, within one, or over two.

``highlight`` is code; notes and tabs show their name; others show the words that are given to them, a reference
nothing. What stands between two shortcodes is read as usual.
"""

from __future__ import annotations

import re
from html import escape

from ingestion.extraction.markdown.components import Shown, shown
from ingestion.extraction.markdown.dialect import Block, BlockRule, Dialect, InlineRule, Page
from ingestion.extraction.markdown.dialects.mkdocs import file_note
from ingestion.extraction.markdown.templates import HUGO, Template, parse

# What is given to these is an address, the name of a file or of a value.
HIDDEN = {
    "ref", "relref", "youtube", "vimeo", "gist", "tweet", "x", "instagram", "include", "readfile", "param", "toc",
    "partial", "rawhtml", "video", "embed", "asciinema", "br", "clear", "icon", "fa", "meta", "pagebreak", "lipsum",
}  # fmt: skip
CODE_FILES = {"code", "code_sample", "codenew", "example", "gist", "literalinclude"}
BARE_WORDS = {"badge", "heading", "kbd", "key"}

_CODE = r"(?:highlight|code(?:[-_]?\w+)?|mermaid|katex|math|goat)(?=[\s>%])"


def _read_code(block: Block, match: re.Match[str]) -> int:
    """Add the code between ``highlight`` or the like and its end; return the line after it, 0 without an end."""
    tag = parse(match.group("inside"))
    if tag.is_end or match.group("inside").endswith("/"):
        return 0
    end = block.find(re.compile(rf"\{{\{{[<%]\s*/\s*{re.escape(tag.name)}\s*[>%]"), block.line + 1)
    if end < 0:
        return 0
    given = dict(tag.given)
    block.title("container", given.get("title", given.get("filename", "")))
    language = given.get("lang") or given.get("language") or next(iter([*tag.bare, *tag.quoted]), "")
    language = tag.name if tag.name in ("mermaid", "math", "katex") else language
    block.code(block.lines(block.line + 1, end, indent=block.indent), language)
    return end + 1


def _read_shortcodes(block: Block, match: re.Match[str]) -> int:
    """Add what shortcodes alone on a line show; return the next line, or 0 if one is commented out."""
    if "/*" in match.group():
        return 0
    for tag in HUGO.finditer(match.group()):
        block.html(_shown(parse(tag.group("inside"))).as_block())
    return block.line + 1


def _shown(tag: Template) -> Shown:
    """Return what a shortcode shows."""
    given = dict(tag.given)
    if tag.is_end or tag.name in HIDDEN:
        return Shown()
    if tag.name == "glossary_tooltip":
        return Shown(words=given.get("text") or given.get("term_id", "").replace("-", " "))
    if tag.name in CODE_FILES and (path := given.get("file") or next(iter(tag.quoted), "")):
        return Shown(words=file_note(path))
    if tag.name == "tabs":
        return Shown()
    if tag.name in BARE_WORDS:
        return Shown(words=" ".join([*tag.quoted, *tag.bare]))
    return shown(tag.name, tag.given, tag.quoted, tag.bare)


def in_line(seen: Shown) -> str:
    """Return the HTML of what a tag shows among other words; a title begins a paragraph."""
    if seen.title:
        return f"</p>{seen.as_block()}<p>"
    return escape(seen.words, quote=False)


def _in_line(match: re.Match[str], _: Page) -> str:
    """Return what a shortcode shows; one that is written between ``/*`` and ``*/`` is shown as it is."""
    if match.group("inside").startswith("/*"):
        return escape(match.group().replace("/*", "").replace("*/", ""), quote=False)
    return in_line(_shown(parse(match.group("inside"))))


DIALECT = Dialect(
    blocks=(
        BlockRule(
            "{",
            re.compile(rf"\{{\{{[<%]\s*(?={_CODE})(?P<inside>[^{{}}]*?)[>%]\}}\}}$"),
            _read_code,
        ),
        BlockRule("<", re.compile(r"<--->$"), lambda block, _: block.line + 1),
        BlockRule("{", re.compile(rf"(?:{HUGO.pattern.replace('?P<inside>', '?:')}[ \t]*){{1,20}}$"), _read_shortcodes),
    ),
    marks=(InlineRule("{", HUGO, _in_line),),
)
