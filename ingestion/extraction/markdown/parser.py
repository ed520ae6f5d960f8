"""Markdown → HTML: markdown-it with the rules of all dialects, in time in proportion to the text.

In: the body of a page without front matter. Out: HTML for the HTML reader, and the definitions of links.
Raises ``TooMuchMarkup`` for a text that nobody wrote; a paragraph with more marks than any that somebody wrote keeps
them as its words. Does not read the HTML, and looks no file up.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock, code, fence, html_block, table
from markdown_it.rules_block.table import escapedSplit
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

from ingestion.extraction.markdown import tags
from ingestion.extraction.markdown.dialect import Block, BlockRule, Page, code_html, text_at
from ingestion.extraction.markdown.dialects import DIALECTS
from ingestion.extraction.markdown.marks import read_mark, with_templates_shown
from ingestion.extraction.markdown.templates import without_templates_in_addresses

# Levels of tokens; a list adds two. The deepest list of real pages has six levels. Each level takes six Python frames.
MAX_NESTING = 60
# Marks in one paragraph: markdown-it takes up to the square of their number. Paragraphs of badges have 200.
MAX_MARKS, MAX_CHARS = 2_000, 50_000
# Brackets in brackets; each looks for its end.
MAX_BRACKETS = 8
MAX_OPEN_BRACES = 20
# Marks on a page, at up to 25 µs each. The longest changelog of Node.js, 950 KB, has 72 000.
MAX_PAGE_MARKS = 150_000
# Characters for each of many marks: the densest of the real pages with 8 000 marks or more has 13.
MANY_MARKS, LEAST_CHARS_PER_MARK = 30_000, 4
# A line takes up to 70 µs, however short; a blank one nothing.
MANY_LINES, LEAST_MEAN_CHARS = 10_000, 20
# The HTML reader takes 150 000 elements.
MAX_ELEMENTS = 140_000
MARKS = "*_[]<&`!\\{$~|"

_MARKED = re.compile(r"[@*_\[\]<&`!\\{$~\n+:=^]")
_OPENS = re.compile(r"<(?:table|t[hrd]|thead|tbody|div|[uo]l|details|section|center)\b")
_CLOSES = re.compile(r"</(?:table|t[hrd]|thead|tbody|div|[uo]l|details|section|center)\b")
_BRACKET = re.compile(r"(?<!\\)[\[\]]")
_LANGUAGE = re.compile(r"[ \t]*\{?[ \t]*[.=]?([A-Za-z][\w+#.-]{0,19})(?![\w+#.-]*=)")
_TITLE = re.compile(
    r"""(?:^|[\s{,])(?:title|filename|file|tab|label|caption|fig\.cap)=(?:["']([^"'\n]+)["']|([^\s"'{},]+))"""
    r"""|[ \t]\[([^\[\]\n]+)\]"""
)
_HEADING_ID = re.compile(
    r"[ \t]*(?:\{:?[ \t]*#([\w:.-]+)[^{}\n]*\}|\{/\*[ \t]*#([\w:.-]+)[ \t]*\*/\}"
    r"""|(?<=[ \t])\{:?(?:[ \t]*[A-Za-z][\w-]*=(?:"[^"{}\n]*"|[\w.%-]+))+[ \t]*\})[ \t]*#*$"""
)


class TooMuchMarkup(Exception):
    """The text has more marks or more elements than any page that somebody wrote."""


def to_html(page: Page) -> tuple[str, dict[str, Any]]:
    """Return the page as HTML, and the definitions of its links by name.

    Raise TooMuchMarkup for a page with more markup than anybody writes.
    """
    lines = page.text.count("\n") - page.text.count("\n\n")
    are_short = lines > MANY_LINES and len(page.text) < LEAST_MEAN_CHARS * lines
    marks = sum(map(page.text.count, MARKS))
    are_dense = marks > MANY_MARKS and len(page.text) < LEAST_CHARS_PER_MARK * marks
    if are_short or are_dense or marks > MAX_PAGE_MARKS:
        raise TooMuchMarkup
    env: dict[str, Any] = {"page": page}
    parser = _parser(is_jsx=page.is_jsx)
    tokens = parser.parse(page.text, env)
    if sum(1 + len(token.children or ()) for token in tokens if token.nesting >= 0) > MAX_ELEMENTS:
        raise TooMuchMarkup
    return parser.renderer.render(tokens, parser.options, env), env.get("references", {})


@cache
def _parser(*, is_jsx: bool) -> MarkdownIt:
    """Return a markdown-it parser with the rules of all dialects; with ``is_jsx`` (MDX) indented text is no code."""
    parser = MarkdownIt("commonmark", {"maxNesting": 10 * MAX_NESTING})
    parser.enable(["table", "strikethrough"])
    parser.use(deflist_plugin)
    parser.use(dollarmath_plugin, allow_space=False, allow_digits=False, double_inline=True, renderer=_tex)
    for dialect in DIALECTS:
        for plugin in dialect.plugins:
            parser.use(plugin)
    if is_jsx:
        parser.disable("code")
    alternatives: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("table", "too_deep", _too_deep)
    parser.block.ruler.before("math_block", "dialects", _block_rules(), alternatives)
    parser.block.ruler.at("code", _indented, {"alt": []})
    parser.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    parser.block.ruler.at("fence", _fence, alternatives)
    parser.block.ruler.at("html_block", _html_block, {"alt": ["paragraph", "reference", "blockquote"]})
    parser.inline.ruler.before("escape", "dialects", read_mark)
    parser.inline.ruler.at("html_inline", tags.inline_tag)
    parser.core.ruler.at("inline", _inline)
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("link_close", _link_close)
    parser.add_render_rule("fence", _code)
    parser.add_render_rule("code_block", _code)
    return parser


# --- Blocks --------------------------------------------------------------------------------------------------


def _too_deep(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Add the rest of a block that is nested too deeply as one paragraph; return False, adding nothing, for others."""
    if state.level < MAX_NESTING or silent:
        return False
    Block(state, start, end).paragraph(state.getLines(start, end, state.blkIndent, False))
    state.line = end
    return True


def _block_rules() -> Any:
    """Return the block rule that tries those of all dialects which begin with the line's first character."""
    rules: defaultdict[str, list[BlockRule]] = defaultdict(list)
    for rule in (rule for dialect in DIALECTS for rule in dialect.blocks):
        for first in rule.starts:
            rules[first].append(rule)

    def read(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        """Add the block of the first rule that takes the line ``start``, and move past it; return whether there is one.

        If ``silent``, add nothing and return whether the pattern of a rule matches the line.
        """
        first = state.bMarks[start] + state.tShift[start]
        if first >= state.eMarks[start] or state.src[first] not in rules or state.is_code_block(start):
            return False
        text = text_at(state, start)
        for rule in rules[state.src[first]]:
            match = rule.pattern.match(text)
            if match and silent:
                return True
            if match and (after := rule.read(Block(state, start, end), match)):
                state.line = after
                return True
        return False

    return read


def _fence(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Add a fence, as code or as what a dialect writes as a fence; return whether one begins here."""
    if not fence(state, start, end, silent):
        return False
    if not silent and state.tokens[-1].info.lstrip().startswith(("{", "mdx-")):
        token = state.tokens.pop()
        block = Block(state, start, end)
        if not any(rule(block, token.info, token.content) for dialect in DIALECTS for rule in dialect.fences):
            state.tokens.append(token)
    return True


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read a table; cells beyond those of the head are kept."""
    first = len(state.tokens)
    if not table(state, start, end, silent):
        return False
    columns = sum(token.type == "th_open" for token in state.tokens[first:])
    kept: list[Token] = []
    for token in state.tokens[first:]:
        if token.type == "tr_open":
            line = token.map[0] if token.map else start
        if token.type == "tr_close":
            kept += _further_cells(text_at(state, line), columns, token.level)
        kept.append(token)
    state.tokens[first:] = kept
    return True


def _further_cells(row: str, columns: int, level: int) -> list[Token]:
    """Return the cells of a row after the first ``columns``."""
    cells = escapedSplit(row.strip())
    cells = cells[not cells[0] : len(cells) - (not cells[-1])][columns:]
    tokens = []
    for cell in cells:
        words = Token("inline", "", 0, content=cell.strip(), children=[], level=level + 1)
        tokens += [Token("td_open", "td", 1, level=level), words, Token("td_close", "td", -1, level=level)]
    return tokens


def _indented(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Add indented code; return False for other lines, and for a tag inside HTML that is not closed yet."""
    return not _continues_html(state, start) and code(state, start, end, silent)


def _continues_html(state: StateBlock, start: int) -> bool:
    """Return whether a line goes on with the HTML that stands above it."""
    follows = bool(state.tokens) and state.tokens[-1].type == "html_block" and state.env["page"].open_elements > 0
    return follows and text_at(state, start).startswith("<")


def _html_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read a block of HTML, if it begins with an element that browsers know."""
    block = Block(state, start, end)
    if not tags.begins_html(block):
        return False
    if silent:
        return html_block(state, start, end, silent)
    if after := tags.end_of_unseen(block):
        state.line = after
        block.html(tags.rewritten(with_templates_shown(block.lines(start, after), block.page), block.page))
        return True
    indent = state.sCount[start]
    if _continues_html(state, start):
        state.sCount[start] = state.blkIndent
    is_read = html_block(state, start, end, silent)
    state.sCount[start] = indent
    if is_read:
        html = with_templates_shown(state.tokens[-1].content, block.page)
        block.page.open_elements += len(_OPENS.findall(html)) - len(_CLOSES.findall(html))
        state.tokens[-1].content = tags.rewritten(html, block.page)
    return is_read


# --- Lines ---------------------------------------------------------------------------------------------------


def _inline(state: StateCore) -> None:
    """Parse the text of paragraphs, headings and cells into tokens; one with too many marks stays plain text."""
    previous = None
    for token in state.tokens:
        if token.type == "inline":
            if previous is not None and previous.type == "heading_open":
                _take_heading_id(previous, token)
            if not _MARKED.search(token.content) or _has_too_many_marks(token.content):
                token.children = [Token("text", "", 0, content=token.content)]
            else:
                words = without_templates_in_addresses(token.content)
                token.children = state.md.inline.parse(words, state.md, state.env, [])
        previous = token


def _take_heading_id(opening: Token, words: Token) -> None:
    """Move the id that a heading gives itself from its words to its element; leave out other attributes."""
    if own := _HEADING_ID.search(words.content):
        if name := own.group(1) or own.group(2):
            opening.attrSet("id", name)
        words.content = words.content[: own.start()]


def _has_too_many_marks(text: str) -> bool:
    """Return whether a paragraph has so many marks, or open ones, that it would take too long."""
    if len(text) > MAX_CHARS or sum(map(text.count, MARKS)) > MAX_MARKS:
        return True
    if text.count("{") - text.count("}") > MAX_OPEN_BRACES:
        return True
    depth = 0
    for bracket in _BRACKET.findall(text):
        depth = max(depth - 1, 0) if bracket == "]" else depth + 1
        if depth > MAX_BRACKETS:
            return True
    return False


# --- HTML ----------------------------------------------------------------------------------------------------


def _tex(tex: str, options: dict[str, Any]) -> str:
    """Return a formula as text of HTML between ``$``, or between ``$$`` if ``display_mode`` is set in ``options``."""
    marks = "$$" if options["display_mode"] else "$"
    return f"{marks}{escape(tex.strip(), quote=False)}{marks}"


def _link_open(renderer: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    """Return the start tag of a link; an empty string for an address in angle brackets, which is shown as text."""
    return "" if tokens[index].info == "auto" else str(renderer.renderToken(tokens, index, options, env))


def _link_close(renderer: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    """Return the end tag of a link; an empty string for an address in angle brackets, which is shown as text."""
    return "" if tokens[index].info == "auto" else "</a>"


def _code(renderer: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    """Return a block of code with its language, the first word beside the fence, below the title that stands there."""
    info, code = tokens[index].info, tokens[index].content
    for change in (change for dialect in DIALECTS for change in dialect.code):
        code = change(info, code)
    title = _TITLE.search(info)
    named = f'<p class="admonition-title">{escape(next(filter(None, title.groups())))}</p>' if title else ""
    return f"{named}{code_html(code, language_of(info))}\n"


def language_of(info: str) -> str:
    """Return the language that stands beside a fence: ``js``, ``{.js}``, ``{r, echo=FALSE}``, ``js{1,3}``."""
    match = _LANGUAGE.match(info)
    return match.group(1) if match else ""
