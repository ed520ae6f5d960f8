"""What a dialect of Markdown adds to CommonMark: rules for blocks, for marks within a line and for fences.

In: the module of a dialect, which holds its rules. Out: a ``Dialect`` that the parser tries at each line and mark.
A rule names the characters that it begins with and a pattern; ``Block`` is what it may do with the lines it matched.
Does not know any dialect.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

from ingestion.extraction.admonitions import label
from ingestion.extraction.dropped import DroppedWords

# A search for the end of a block goes to the end of the page. After so many in vain none is begun.
MAX_SEARCHES_IN_VAIN = 50
# How many levels of tokens a text in a directive counts for: it takes as many frames of Python as two lists.
LEVELS_OF_TEXT = 4

_CLOSING_TAG = re.compile(r"</([A-Za-z][\w.:-]*)")


@dataclass
class Page:
    """What the rules know of the page: its text, whether it is MDX, and what they left out."""

    text: str
    is_jsx: bool
    dropped: DroppedWords
    searches_in_vain: int = 0
    open_elements: int = 0  # of HTML, so far

    @cached_property
    def last_comment_end(self) -> int:
        """Return the position of the last ``-->`` on the page, or -1 if there is none."""
        return self.text.rfind("-->")

    @cached_property
    def closed_tags(self) -> frozenset[str]:
        """Return the names of all closing tags on the page."""
        return frozenset(_CLOSING_TAG.findall(self.text))

    def may_search(self) -> bool:
        """Return whether the end of a block may be searched for, and count this search; ``found`` uncounts it."""
        self.searches_in_vain += 1
        return self.searches_in_vain <= MAX_SEARCHES_IN_VAIN

    def found(self) -> None:
        """Take back the count of the last search, which was successful: only searches in vain are limited."""
        self.searches_in_vain -= 1


class Block:
    """The line at which a block rule matched, and the tokens it adds."""

    def __init__(self, state: StateBlock, line: int, end: int) -> None:
        self.state, self.line, self.end = state, line, end
        self.page: Page = state.env["page"]
        self.indent = state.sCount[line]

    def text_at(self, line: int) -> str:
        """Return a line without the white space around it."""
        return text_at(self.state, line)

    def lines(self, start: int, end: int, *, indent: int | None = None) -> str:
        """Return lines without the indentation of the block around them, or without ``indent`` columns."""
        width = self.state.blkIndent if indent is None else indent
        return self.state.getLines(start, end, width, False)

    def end_of_indented(self, start: int, width: int) -> int:
        """Return the line after those that are blank or indented by ``width``, blank ones at the end left out."""
        last = start
        for line in range(start, self.end):
            if self.state.isEmpty(line):
                continue
            if self.state.sCount[line] < width:
                break
            last = line + 1
        return last

    def find(self, pattern: re.Pattern[str], start: int) -> int:
        """Return the first line from ``start`` on in which the pattern is found, or -1."""
        if not self.page.may_search():
            return -1
        for line in range(start, self.end):
            if pattern.search(self.text_at(line)):
                self.page.found()
                return line
        return -1

    def title(self, kind: str, words: str = "") -> None:
        """Add the name of a note or the label of a tab; ``words`` is Markdown. Adds nothing if both are empty."""
        self.state.tokens += titled(label(kind, words)[2:-2])

    def paragraph(self, words: str) -> None:
        """Add a paragraph of Markdown."""
        self.state.tokens += paragraph(words)

    def html(self, markup: str) -> None:
        """Add a block of HTML; add nothing if it is empty."""
        if markup:
            self.state.push("html_block", "", 0).content = f"{markup}\n"

    def code(self, code: str, language: str = "") -> None:
        """Add a block of code."""
        self.html(code_html(code, language))

    def markdown(self, text: str) -> None:
        """Parse a text as Markdown and add its blocks."""
        inner = StateBlock(text, self.state.md, self.state.env, self.state.tokens)
        inner.level = self.state.level + LEVELS_OF_TEXT
        self.state.md.block.tokenize(inner, 0, inner.lineMax)

    def indented(self, start: int, end: int) -> None:
        """Add the blocks of lines that are indented further than the line of the rule."""
        state = self.state
        widths = [state.sCount[line] for line in range(start, end) if not state.isEmpty(line)]
        if not widths:
            return
        before = state.lineMax, state.blkIndent, state.parentType
        state.lineMax, state.blkIndent, state.parentType = end, min(widths[0], self.indent + 4), "container"
        state.level += 1
        state.md.block.tokenize(state, start, end)
        state.level -= 1
        state.lineMax, state.blkIndent, state.parentType = before

    def drop(self, rule: str, start: int, end: int) -> None:
        """Count the words of lines that are left out."""
        self.page.dropped.add(rule, self.lines(start, end))


def paragraph(words: str) -> list[Token]:
    """Return the tokens of a paragraph of Markdown, none if it is empty."""
    if not words.strip():
        return []
    line = Token("inline", "", 0, content=words.strip(), children=[])
    return [Token("paragraph_open", "p", 1), line, Token("paragraph_close", "p", -1)]


def titled(words: str) -> list[Token]:
    """Return the tokens of a paragraph that the HTML reader takes for the name of a note."""
    tokens = paragraph(words)
    if tokens:
        tokens[0].attrSet("class", "admonition-title")
    return tokens


def text_at(state: StateBlock, line: int) -> str:
    """Return a line of the page without the white space around it."""
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()


def code_html(code: str, language: str) -> str:
    """Return a block of code as HTML."""
    name = f' class="language-{escape(language)}"' if language else ""
    return f"<pre><code{name}>{escape(code, quote=False)}</code></pre>"


@dataclass(frozen=True)
class BlockRule:
    """A block whose first line begins with one of ``starts`` and matches; ``read`` adds it.

    ``read`` returns the line after the block, or 0 if it is none of this kind after all.
    """

    starts: str
    pattern: re.Pattern[str]
    read: Callable[[Block, re.Match[str]], int]


@dataclass(frozen=True)
class InlineRule:
    """A mark within a line that begins with one of ``starts`` and matches; ``show`` returns its HTML, None if none."""

    starts: str
    pattern: re.Pattern[str]
    show: Callable[[re.Match[str], Page], str | None]


# (block, what follows the marks, code) → whether the fence was no code and its blocks were added
FenceRule = Callable[[Block, str, str], bool]


@dataclass(frozen=True)
class Dialect:
    """The rules of one dialect, in the order in which they are tried."""

    blocks: tuple[BlockRule, ...] = ()
    marks: tuple[InlineRule, ...] = ()
    fences: tuple[FenceRule, ...] = ()
    # (what follows the marks of a fence, its code) → the code that is shown
    code: tuple[Callable[[str, str], str], ...] = ()
    plugins: tuple[Callable[[MarkdownIt], None], ...] = ()
