"""The events of an answer → HTML, one block of Markdown after the other, while the answer is being written.

In: tokens, citations and verdicts. Out: the blocks that are new or have changed, each with its number. The text is
hostile: Markdown's links, images and HTML are not read, so that they stay visible as text; nh3 then lets nothing pass
but the few tags that Markdown makes. Citations and verdicts are put in behind it, where marks with a random word stand.

Rendering here, and not in browsers too, leaves one parser and one sanitiser, both of them libraries. Only the last
block is read again when text is added: 0.2 ms for a paragraph.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token as Parsed
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

from search.answering.citations import Token
from search.answering.draft import DraftEvent
from search.answering.support import Unsupported
from search.answering.thinking import Discard

# Private characters around the numbers of what is put in later.
BEGIN, END = "\ue000", "\ue001"
TAGS = """
    p br hr em strong s code pre blockquote ul ol li h3 h4 table thead tbody tr th td figure figcaption span
"""
# What Markdown could lead readers or their browsers elsewhere with, and a line of dashes that makes a heading.
NOT_READ = ["link", "image", "autolink", "html_inline", "html_block", "reference", "lheading"]
# Extracts are no Markdown within a line: their stars and underscores are code.
NOT_READ_IN_EXTRACTS = [*NOT_READ, "emphasis", "strikethrough", "escape", "entity"]
# Languages whose lexers are quick on any text; others are shown without colours.
QUICK = """
    bash c console cpp css diff docker dockerfile go html ini java javascript js json kotlin makefile nginx php
    powershell python py ruby rust sh shell sql toml ts typescript xml yaml yml
"""
HIGHLIGHTED = frozenset(QUICK.split())
# The lexers of C, C++, makefiles and differences take time by the square: for 4,900 hostile characters up to 4 s.
HIGHLIGHTED_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list, table or the like of an answer; it replaces the one with the same number."""

    number: int
    html: str


class AnswerHtml:
    """One answer: feed it the events, and ask for what changed whenever there is time to show it."""

    def __init__(self, *, extracts: bool) -> None:
        self._reader = reader(extracts=extracts)
        self._secret = secrets.token_hex(4)  # a text that guessed it could place our marks
        self._marks: list[str] = []
        self.clear()

    def clear(self) -> None:
        """Begin again, without any text."""
        self._tail, self._number, self._shown = "", 0, ""

    def feed(self, event: DraftEvent) -> None:
        """Add a token or a verdict; forget everything at Discard."""
        match event:
            case Token(_, citation) if citation:
                self._tail += self._mark(
                    f'<a class="cite" href="#source-{citation}" aria-label="Source {citation}">{citation}</a>'
                )
            case Token(text):
                self._tail += text
            case Unsupported(missing):
                # In front of the white space that ends the sentence: behind it the next line would begin.
                bare = self._tail.rstrip()
                said = f'<span class="unsupported">not in the passages: {escape(", ".join(missing))}</span>'
                self._tail = f"{bare} {self._mark(said)}{self._tail[len(bare) :]}"
            case Discard():
                self.clear()

    def _mark(self, html: str) -> str:
        """Keep ``html``, which must be safe, and return the mark that stands for it in Markdown until it is put in."""
        self._marks.append(html)
        return f"{BEGIN}{self._secret}-{len(self._marks) - 1}{END}"

    def changed(self, *, final: bool = False) -> list[Block]:
        """Return the blocks that are not as they were returned last. ``final`` says that no text will follow."""
        parsed = self._reader.parse(self._tail)
        groups = list(blocks(parsed))
        found = []
        for at, group in enumerate(groups):
            complete = final or at < len(groups) - 1
            html = self._html(group, complete=complete)
            if at or html != self._shown:
                found.append(Block(self._number + at, html))
                self._shown = html
        if len(groups) > 1:
            begins = (groups[-1][0].map or [0])[0]
            self._tail = "\n".join(self._tail.split("\n")[begins:])
            self._number += len(groups) - 1
        return found

    def _html(self, group: Sequence[Parsed], *, complete: bool) -> str:
        """Return a block's parsed tokens as sanitised HTML, with citations and verdicts in place of their marks.

        ``complete``: code is in colours, since no more of it will come.
        """
        html = self._reader.renderer.render(group, self._reader.options, {"complete": complete})
        marks = re.compile(f"{BEGIN}{self._secret}-(\\d+){END}")
        return marks.sub(lambda mark: self._marks[int(mark[1])], cleaner().clean(html))


def answer_html(events: Iterable[DraftEvent], *, extracts: bool) -> str:
    """Return the HTML of a whole answer."""
    whole = AnswerHtml(extracts=extracts)
    for event in events:
        whole.feed(event)
    return "\n".join(block.html for block in whole.changed(final=True))


def blocks(parsed: Sequence[Parsed]) -> Iterator[list[Parsed]]:
    """Yield the tokens of each outermost block: a paragraph, list, table or the like."""
    group: list[Parsed] = []
    for token in parsed:
        group.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield group
            group = []


@cache
def reader(*, extracts: bool) -> MarkdownIt:
    """Return the parser, for a language model's Markdown or for extracts."""
    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    made.disable(NOT_READ_IN_EXTRACTS if extracts else NOT_READ)
    made.add_render_rule("fence", code_block)
    made.add_render_rule("code_block", code_block)
    made.add_render_rule("heading_open", heading)
    made.add_render_rule("heading_close", heading)
    return made


def code_block(renderer: Any, tokens: Sequence[Parsed], at: int, options: Any, env: Mapping[str, Any]) -> str:
    """Return a block of code with its language; in colours once it is complete."""
    token = tokens[at]
    language = token.info.split(maxsplit=1)[0].casefold() if token.info.strip() else ""
    name = language if re.fullmatch(r"[\w+#.-]{1,20}", language) else ""
    code = coloured(token.content, name) if env["complete"] else escape(token.content)
    caption = f"<figcaption>{escape(name)}</figcaption>" if name else ""
    return f'<figure>{caption}<pre tabindex="0"><code>{code}</code></pre></figure>'  # a long line scrolls by keyboard


def coloured(code: str, language: str) -> str:
    """Return code as HTML, in colours where the language is known and the code is not too long."""
    if language not in HIGHLIGHTED or len(code) > HIGHLIGHTED_CHARS:
        return escape(code)
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(code)
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


def heading(renderer: Any, tokens: Sequence[Parsed], at: int, options: Any, env: Mapping[str, Any]) -> str:
    """Return a heading's tag; answers stand below a heading of the page."""
    tag = "h3" if tokens[at].tag in ("h1", "h2") else "h4"
    return f"<{tag}>" if tokens[at].nesting > 0 else f"</{tag}>"


@cache
def cleaner() -> nh3.Cleaner:
    """Return the sanitiser: the tags above, no attributes but those made here and the classes of colours."""
    colours = {name for name in STANDARD_TYPES.values() if name}
    return nh3.Cleaner(
        tags=set(TAGS.split()),
        attributes={"ol": {"start"}, "pre": {"tabindex"}},
        allowed_classes={"span": colours},
        link_rel=None,
        url_schemes=set(),
    )
