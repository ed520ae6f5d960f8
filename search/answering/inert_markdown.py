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

# Where an image, a tag (or comment, …) and the address of a definition begin.
BEGINNING = re.compile(r"!(?=\[)|<(?=[A-Za-z/!?])|(?<=\]):")
# What a piece may end with that the next one makes a beginning.
OPEN_END = re.compile(r"<!?\Z|!\Z")
HARMLESS = {"!": "!\\", "<": "&lt;", ":": "\\:"}
# Of one block outside code: where there are more of them nobody asks what is code any more, which takes 1 ms each time.
MOST_BEGINNINGS = 100


class InertMarkdown:
    """One answer: feed it the pieces in order, then ``finish``."""

    def __init__(self) -> None:
        self._secret = secrets.token_hex(4)  # a text that guessed it could place our marks
        self.clear()

    def clear(self) -> None:
        """Begin again, without any text."""
        self._block, self._held, self._changed = "", "", 0

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
        found = list(BEGINNING.finditer(text, at))
        asks = found and self._changed < MOST_BEGINNINGS
        code = self._in_code(text, [match.start() for match in found]) if asks else set()
        for number, match in enumerate(found):
            said += text[at : match.start()] + (match[0] if number in code else HARMLESS[match[0]])
            at = match.end()
        said += text[at:]
        self._block, self._changed = self._block + said, self._changed + len(found) - len(code)
        if "\n" in said and (rest := last_block(self._block)) != self._block:
            self._block, self._changed = rest, 0
        return said

    def _in_code(self, text: str, places: Sequence[int]) -> set[int]:
        """Return the indices of those ``places`` (positions in the text) that every dialect takes for code."""
        marked, at = "", 0
        for number, place in enumerate(places):
            marked += f"{text[at:place]}\ue000{self._secret}-{number}\ue001"
            at = place
        marked += text[at:]
        mark = re.compile(f"\ue000{self._secret}-(\\d+)\ue001")
        readings = (codes(parser.parse(marked), marked.split("\n")) for parser in parsers())
        return set.intersection(*({int(n) for code in reading for n in mark.findall(code)} for reading in readings))


def last_block(text: str) -> str:
    """Return the text from the beginning of its last block on: what stands before changes nothing any more."""
    begins = max(
        (token.map[0] for token in block_parser().parse(text) if token.map and not token.level and token.nesting >= 0),
        default=0,
    )
    return "\n".join(text.split("\n")[begins:])


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


@cache
def block_parser() -> MarkdownIt:
    """Return a parser that looks for blocks only."""
    return MarkdownIt("commonmark", {"html": False}).disable("inline")


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
