"""Generated text, piece by piece → clean text with citations that exist.

In: text of an answer, cut anywhere. Out: tokens; a citation of a passage that exists is one of its own, written [2]
however the model wrote it (``citation_forms``), and citations of others vanish. Brackets in code are left alone. Code
is what stands between two runs of as many backticks in one paragraph, or in a fence; a run that nothing closes is a
character like others, so that a stray one does not hide the citations behind it. Control characters, bidirectional
overrides and lone surrogates never come out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from search.answering.citation_forms import BEFORE_CHARS, BEGINNING, CITED, START, form_at
from search.code_marks import FENCE, closes

# What may begin something else than text.
SPECIAL = re.compile(rf"`+|\n|{START}", re.IGNORECASE)
FENCE_BEGUN = re.compile(r"[ \t>]{0,12}(?:`{1,2}\Z|~{1,2}\Z|`{3,}[^\n`]*\Z|~{3,}[^\n]*\Z|\Z)")
PARAGRAPH_END = re.compile(r"\n[ \t]*\n")
# Code within a line is shorter; a run that nothing closes for so long is no code.
CODE_CHARS = 600
# A line of prose with a citation, which no fence that is closed would hold.
PROSE_LINE = re.compile(r"[ \t]*[A-Z][\w'`()., ]{2,300} \[\d{1,2}\][.,;:]?\s*\Z")
OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
KEPT_CONTROLS = frozenset("\n\t")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an answer; ``citation`` is a passage's number when ``text`` refers to one, else 0."""

    text: str
    citation: int = 0


class CitationReader:
    """Generated text with citations that exist: feed it the pieces in order, then ``finish``."""

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self._held = ""
        self._before = ""  # the end of the text that came out
        self._fence = ""  # the marks that opened the block of code

    def feed(self, piece: str) -> Iterator[Token]:
        """Yield the text and citations that are complete with this piece; keep a rest that the next may continue."""
        self._held += printable(piece)
        yield from joined(self._read(final=False))

    def finish(self) -> Iterator[Token]:
        """Yield the text and citations that were kept back for a next piece."""
        yield from joined(self._read(final=True))

    def _read(self, *, final: bool) -> Iterator[Token]:
        """Yield the tokens of the text held that are certain by now, and keep the rest.

        ``final`` says that no text will come; then nothing is kept.
        """
        at = 0
        while at < len(self._held):
            step = self._code_line if self._fence else self._prose
            taken, tokens = step(at, final=final)
            if not taken:
                break
            if not tokens:
                self._before += CITED
            for token in tokens:
                self._before = (self._before + (CITED if token.citation else token.text))[-BEFORE_CHARS:]
                yield token
            at += taken
        self._held = self._held[at:]

    def _prose(self, at: int, *, final: bool) -> tuple[int, list[Token]]:
        """Read text outside code, from ``at`` on, up to the next mark that may have a meaning.

        Return how much was read, and its tokens; 0 where more text is needed, which ``final`` says will not come.
        """
        if not self._before or self._before.endswith("\n"):
            fence = FENCE.match(self._held, at)
            if fence and (final or fence.end() < len(self._held)):
                self._fence = fence[1]
                return self._text(at, fence.end())
            if not final and FENCE_BEGUN.match(self._held, at):
                return 0, []
        special = SPECIAL.search(self._held, at)
        if not special:
            return self._text(at, len(self._held))
        if special.start() > at:
            return self._text(at, special.start())
        if special[0][0] == "`":
            return self._code_span(at, special[0], final=final)
        return self._text(at, special.end()) if special[0] == "\n" else self._citation(at, special.end(), final=final)

    def _code_span(self, at: int, run: str, *, final: bool) -> tuple[int, list[Token]]:
        """Read the code between backticks that begins at ``at`` with ``run``, or the run alone where nothing closes it.

        Return how much was read, and its tokens; 0 where more text is needed, which ``final`` says will not come.
        """
        start = at + len(run)
        paragraph = PARAGRAPH_END.search(self._held, start, start + CODE_CHARS)
        end = paragraph.start() if paragraph else min(len(self._held), start + CODE_CHARS)
        closing = re.compile(rf"(?<!`){run}(?!`)").search(self._held, start, end)
        if closing and (closing.end() < len(self._held) or final):
            return self._text(at, closing.end())
        if not final and not paragraph and len(self._held) <= start + CODE_CHARS:
            return 0, []
        return self._text(at, start)

    def _citation(self, at: int, opened: int, *, final: bool) -> tuple[int, list[Token]]:
        """Read what may be a citation, which begins at ``at`` with a mark that ends at ``opened``.

        Return how much was read, and its tokens: none for passages that do not exist, text where it is no citation. The
        length is 0 where more text is needed, which ``final`` says will not come.
        """
        form = form_at(self._held, at, self._before, self._passages)
        may_go_on = form and (form.end == len(self._held) or self._address_begun(form.end))
        if not final and (may_go_on or (not form and BEGINNING.match(self._held, at))):
            return 0, []
        if not form:
            return self._text(at, max(at + 1, opened))
        if form.cited is None:
            return self._text(at, form.end)
        space = [Token(" ")] if form.spaced and form.cited else []
        return form.end - at, [*space, *(Token(f"[{number}]", number) for number in form.cited)]

    def _address_begun(self, at: int) -> bool:
        """Return whether the text held goes on from ``at`` with "(", without ")" and for less than 160 characters.

        Then it may be an address that more text completes.
        """
        return self._held[at] == "(" and len(self._held) - at < 160 and ")" not in self._held[at:]

    def _code_line(self, at: int, *, final: bool) -> tuple[int, list[Token]]:
        """Read a line within a fenced block of code; return how much was read, and its tokens.

        A line that reads like cited prose is held until the fence is closed: if it never is, prose began there. The
        length is 0 where more text is needed, which ``final`` says will not come.
        """
        end = self._held.find("\n", at) + 1 or len(self._held)
        line, whole = self._held[at:end].rstrip("\n"), self._held[at:end].endswith("\n")
        if not whole and not final:
            return 0, []
        fence = FENCE.fullmatch(line)
        if fence and closes(fence, self._fence):
            self._fence = ""
            return self._text(at, end)
        if not PROSE_LINE.fullmatch(line):
            return self._text(at, end)
        closing = next((f for f in FENCE.finditer(self._held, end) if closes(f, self._fence)), None)
        if closing:
            return self._text(at, closing.start())
        if not final:
            return 0, []
        mark, self._fence = self._fence, ""
        self._held = f"{self._held[:at]}{mark}\n{self._held[at:]}"
        return self._text(at, at + len(mark) + 1)

    def _text(self, at: int, end: int) -> tuple[int, list[Token]]:
        """Return how many characters the text held has from ``at`` to ``end``, and these as one token."""
        return end - at, [Token(self._held[at:end])]


def joined(tokens: Iterator[Token]) -> Iterator[Token]:
    """Yield the tokens, with texts that follow directly on one another joined into one token."""
    text: list[str] = []
    for token in tokens:
        if token.citation and text:
            yield Token("".join(text))
            text = []
        if token.citation:
            yield token
        else:
            text.append(token.text)
    if text:
        yield Token("".join(text))


def printable(text: str) -> str:
    """Return the text without controls, bidirectional overrides and lone surrogates."""
    if text.isprintable():
        return text
    return "".join(
        c for c in text if c in KEPT_CONTROLS or (c not in OVERRIDES and unicodedata.category(c) not in ("Cc", "Cs"))
    )
