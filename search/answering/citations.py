"""Generated text, piece by piece -> clean text with citations that exist.

A model writes citations as [2] or [1, 3], possibly split over several pieces. Those of passages that exist
come out as tokens of their own, the others vanish; what stands between two runs of as many backticks is code,
and its square brackets are left alone. A run of backticks is never split over two tokens. Control
characters, bidirectional overrides, lone surrogates and U+FFFD never come out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from search.code_marks import open_run

MARKS = re.compile(r"(`+|[ \t]?\[[1-9]\d{0,2}(?:\s{0,2},\s{0,2}\d{1,3}){0,9}\])")
# A tail that may become a citation, or a longer run of backticks, once more text is here.
UNFINISHED = re.compile(r"(?:`+|[ \t]?(?:\[[\d,\s]{0,60})?)\Z")
OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufffd")
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
        self._code = ""  # the run of backticks that is open

    def feed(self, piece: str) -> Iterator[Token]:
        """Yield what is complete; hold back what the next piece may go on with."""
        text = self._held + printable(piece)
        cut = UNFINISHED.search(text)
        end = cut.start() if cut else len(text)
        self._held = text[end:]
        yield from self._read(text[:end])

    def finish(self) -> Iterator[Token]:
        """Yield what was held back."""
        held, self._held = self._held, ""
        yield from self._read(held)

    def _read(self, text: str) -> Iterator[Token]:
        for part in MARKS.split(text):
            self._code = open_run(part, self._code)
            if self._code or "[" not in part or not MARKS.fullmatch(part):
                if part:
                    yield Token(part)
                continue
            known = [number for number in map(int, re.findall(r"\d+", part)) if 1 <= number <= self._passages]
            if known and part[0] != "[":  # a space before the citation stays only if something follows it
                yield Token(part[0])
            yield from (Token(f"[{number}]", number) for number in known)


def printable(text: str) -> str:
    """Return the text without controls, bidirectional overrides, lone surrogates and U+FFFD."""
    return "".join(
        c for c in text if c in KEPT_CONTROLS or (c not in OVERRIDES and unicodedata.category(c) not in ("Cc", "Cs"))
    )
