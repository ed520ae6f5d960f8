"""Markdown of a language model → Markdown that no program fetches anything for unless its reader clicks.

In: the text of an answer, printable and piece by piece, no run of backticks cut (see ``citations``). Out: the same, in
which images, HTML and definitions of links are text: a chat client that shows an image tells its server all that its
address says, and a hostile passage can have a model write anything into that. Links stay: they are followed on purpose.
In code nothing changes, because it is shown as it is.

What is code decides a parser of Markdown, as the clients have one, over the block that the text is in. What only some
of them take for code, or may take for a table or HTML when more text has come, is not taken for code.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token as Parsed

from search.answering.citations import Token
from search.answering.thinking import Discard
from search.code_marks import FENCE, closes

# Where an image, a tag (or comment, …) and the address of a definition begin.
BEGINNING = re.compile(r"!(?=\[)|<(?=[A-Za-z/!?])|(?<=\]):")
# What a piece may end with that the next one makes a beginning.
OPEN_END = re.compile(r"<!?\Z|!\Z")
HARMLESS = {"!": "!\\", "<": "&lt;", ":": "\\:"}
# So many characters are parsed at most, and so many more for each one of the answer; what comes when they are used up
# is not taken for code. To parse a list again at each of the 350 tags in it took 6 s.
PARSED_AT_FIRST, PARSED_PER_CHARACTER = 20_000, 10
# A fence with the whole of its line, which is not the head of a table.
OPENING = re.compile(r" {0,3}(`{3,}(?=[^`|\n]*\n)|~{3,}(?=[^|\n]*\n))")


class InertMarkdown:
    """One answer: feed it the pieces in order, then ``finish``."""

    def __init__(self) -> None:
        self._secret = secrets.token_hex(4)  # a text that guessed it could place our marks
        self._may_parse = PARSED_AT_FIRST
        self.clear()

    def clear(self) -> None:
        """Begin again, without any text."""
        self._block, self._held = "", ""

    def feed(self, piece: str) -> str:
        """Return the text up to this piece's end as inert Markdown; keep what the next piece may turn into markup."""
        fresh = self._held + piece
        end = OPEN_END.search(fresh)
        self._held = end[0] if end else ""
        return self._harmless(fresh[: end.start()] if end else fresh)

    def finish(self) -> str:
        """Return the text that was kept back for a next piece, as inert Markdown."""
        held, self._held = self._held, ""
        return self._harmless(held)

    def cite(self, citation: str) -> str:
        """Return the text to write in front of ``citation``: what was kept back, and a space where one is needed.

        Without the space a citation behind "!" would become an image.
        """
        held = self.finish()
        between = " " if self._block.endswith("!") else ""
        self._block += between + citation
        return held + between

    def _harmless(self, fresh: str) -> str:
        """Return the new text with all beginnings of images, HTML and definitions outside code escaped.

        The last block of the text is remembered, because it decides what of the following text is code.
        """
        text, at, said = self._block + fresh, len(self._block), ""
        places = [match.start() for match in BEGINNING.finditer(text, at)]
        self._may_parse += PARSED_PER_CHARACTER * len(fresh)
        code, begin = self._code_and_block(text, places) if places else (set(), 0)
        for number, place in enumerate(places):
            said += text[at:place] + (text[place] if number in code else HARMLESS[text[place]])
            at = place + 1
        said += text[at:]
        self._block = "\n".join((self._block + said).split("\n")[begin:]) if begin else self._block + said
        return said

    def _code_and_block(self, text: str, places: Sequence[int]) -> tuple[set[int], int]:
        """Return which of the ``places`` (positions in the text) are code, and the line where the last block begins.

        Both are told by indices. Code is what every dialect takes for it. Where too much has been parsed already, none
        is found, and the line is 0.
        """
        if in_fence(text):
            return set(range(len(places))), 0
        if len(text) > self._may_parse:
            return set(), 0
        self._may_parse -= len(text)
        marked, at = "", 0
        for number, place in enumerate(places):
            marked += f"{text[at:place]}\ue000{self._secret}-{number}\ue001"
            at = place
        lines = (marked + text[at:]).split("\n")
        mark = re.compile(f"\ue000{self._secret}-(\\d+)\ue001")
        readings = [parser.parse("\n".join(lines)) for parser in parsers()]
        code = [{int(n) for span in codes(parsed, lines) for n in mark.findall(span)} for parsed in readings]
        return set.intersection(*code), last_block(readings, len(lines) - 1)


def in_fence(block: str) -> bool:
    """Return whether a fence opens the block and nothing closes it, so that the rest of the block is code for all."""
    if not (opening := OPENING.match(block)):
        return False
    return not any(closes(fence, opening[1]) for fence in FENCE.finditer(block, opening.end()))


def last_block(readings: Sequence[Sequence[Parsed]], last_line: int) -> int:
    """Return the line where the last block begins in all readings: what stands before it changes nothing any more.

    A block that begins with the text's last line does not count: more text may join that line to the block before.
    """
    begin = (
        {token.map[0] for token in parsed if token.map and not token.level and token.nesting >= 0}
        for parsed in readings
    )
    return max((line for line in set.intersection(*begin) if line < last_line), default=0)


def codes(parsed: Sequence[Parsed], lines: Sequence[str]) -> Iterator[str]:
    """Yield what is shown as code: what is fenced, and spans within a line that cannot become anything else."""
    for token in parsed:
        if token.type == "fence" or (token.type == "code_inline" and is_certain(token, lines)):
            yield token.content
        yield from codes(token.children or (), lines)


def is_certain(span: Parsed, lines: Sequence[str]) -> bool:
    """Return whether a span of code within a line is code for all programs, whatever text follows.

    A span with marks of a table's cells or of a definition, or one over several lines, is not certain.
    """
    code, run = span.content, span.markup
    in_one_line = any(f"{run}{pad}{code}{pad}{run}" in line for pad in ("", " ") for line in lines)
    return in_one_line and "|" not in code and code.partition("]")[0].count("[") >= ("]" in code)


@cache
def parsers() -> tuple[MarkdownIt, MarkdownIt]:
    """Return the parsers of the dialects that clients read: with tables or not, with code by its indent or not."""
    plain, github = (MarkdownIt("commonmark", {"html": False}) for _ in range(2))
    return plain, github.enable("table").disable("code")


async def inert(events: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """Yield the events of an answer with its text made inert."""
    markdown = InertMarkdown()
    async with aclosing(events):
        async for event in events:
            match event:
                case Token(text, 0):
                    before = markdown.feed(text)
                case Token(text):
                    before = markdown.cite(text)
                case _:
                    before = markdown.finish()
            if before:
                yield Token(before)
            if isinstance(event, Discard):
                markdown.clear()
            if not isinstance(event, Token) or event.citation:
                yield event


def inert_markdown(text: str) -> str:
    """Return a whole text made inert."""
    markdown = InertMarkdown()
    return markdown.feed(text) + markdown.finish()
