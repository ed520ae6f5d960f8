"""The markup within the paragraphs of a page, read by docutils in time that grows with the text alone.

What docutils would show as an error is text as it is written: a start that nothing ends, two roles for one text.
Addresses in the text stay text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from docutils import nodes
from docutils.parsers.rst import states

from ingestion.extraction.rst import roles
from ingestion.extraction.rst.page import Page

# docutils copies the rest of a paragraph for each piece of markup in it: a longer one is read in parts.
MAX_CHARS = 8_000
# A piece of markup takes 30 µs and 2 KB of memory, so that of it alone a megabyte would take ten seconds. Of 2 200
# files the densest long one has a piece for 54 characters, the richest 11 000 pieces.
LEAST_ROOM, CHARS_PER_MARK, MAX_ROOM = 10_000, 20, 100_000

ENDS = ("emphasis", "strong", "interpreted_or_phrase_ref", "literal", "target", "substitution_ref")
_PART = re.compile(rf"(?s).{{1,{MAX_CHARS}}}(?=\s|\Z)|.{{1,{MAX_CHARS}}}")
# No name is as long; docutils tries each start of it.
_LONG_WORD = re.compile(r"([\w.+:-]{300,})")
_LONG_GAP = re.compile(r"\s{80,}")
# A role that is not set off from the word after it is none to docutils.
_GLUED_ROLE = re.compile(r":([A-Za-z][\w.+:-]{0,40}):`([^`\x00]+)`")


def parts(text: str) -> list[str]:
    """Return a text in parts that are not too long, cut before white space."""
    return [text] if len(text) <= MAX_CHARS else _PART.findall(text)


class _EndOfMarkup:
    """A pattern for the end of a kind of markup. What was sought in vain is not sought again in the same text."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.absent_in = 0

    def search(self, rest: str) -> re.Match[str] | None:
        """Return the first match in the rest of a text, or None.

        A rest without a match is noted: until ``absent_in`` is reset, one that is no longer than it is not searched.
        """
        if len(rest) <= self.absent_in:
            return None
        found = self.pattern.search(rest)
        if not found:
            self.absent_in = len(rest)
        return found


def _text_if_problematic(method: Any) -> Any:
    """Wrap a method of the inliner so that markup that docutils would show as an error becomes text."""

    def dispatched(inliner: Any, match: Any, lineno: int) -> Any:
        """Return (text before, elements, text after, no messages) of the markup that begins at ``match``.

        Markup that is an error becomes part of the text before it. Takes one from the inliner's ``room`` each time.
        """
        inliner.room -= 1
        before, inlines, remaining, _ = method(inliner, match, lineno)
        if inlines and isinstance(inlines[0], nodes.problematic):
            return before + inlines[0].rawsource, [], remaining, []
        return before, inlines, remaining, []

    return dispatched


class Inliner(states.Inliner):  # type: ignore[misc]
    """Reads the markup within paragraphs of one page."""

    dispatch = {  # noqa: RUF012 - docutils' name
        mark: _text_if_problematic(method) for mark, method in states.Inliner.dispatch.items()
    }

    def __init__(self, page: Page, chars: int) -> None:
        super().__init__()
        self.page = page
        self.room = min(MAX_ROOM, LEAST_ROOM + chars // CHARS_PER_MARK)
        self.idle: defaultdict[str, list[Any]] = defaultdict(list)  # readers of nested text, by their first state
        self._ends: list[_EndOfMarkup] = []

    def init_customizations(self, settings: Any) -> None:
        """Take docutils' patterns for these settings; those of ``ENDS`` do not search a text in vain twice."""
        plain = states.Inliner()
        plain.init_customizations(settings)
        self._ends = [_EndOfMarkup(getattr(plain.patterns, name)) for name in ENDS]
        self.patterns = SimpleNamespace(**vars(plain.patterns) | dict(zip(ENDS, self._ends, strict=True)))

    def parse(self, text: str, lineno: int, memo: Any, parent: Any) -> tuple[list[Any], list[Any]]:
        """Return the elements of a paragraph and no messages; its text alone once the page has too many elements."""
        found: list[Any] = []
        for part in parts(text):
            for at, words in enumerate(_LONG_WORD.split(_LONG_GAP.sub(" ", part))):
                if at % 2 or self.room < 0:
                    found.append(nodes.Text(words))
                    continue
                for end in self._ends:
                    end.absent_in = 0
                found += super().parse(words, lineno, memo, parent)[0]
        return found, []

    def interpreted(self, rawsource: str, text: str, role: str, lineno: int) -> tuple[list[Any], list[Any]]:
        """Return the elements that a role shows of its words, and no messages; an empty role is the page's default."""
        return roles.shown(role or "", text, self.page), []

    def problematic(self, text: str, rawsource: str, message: Any) -> Any:
        """Return an element for markup that is an error, with its source; the message is neither linked nor kept."""
        return nodes.problematic(rawsource, text)

    def implicit_inline(self, text: str, lineno: int) -> list[Any]:
        """Return text between other markup. Addresses in it stay text; roles without a space after them are roles."""
        if "`" not in text:
            return [nodes.Text(text)] if text else []
        found: list[Any] = []
        end = 0
        for match in _GLUED_ROLE.finditer(text):
            found += [nodes.Text(text[end : match.start()]), *roles.shown(match[1], match[2], self.page)]
            end = match.end()
        return [*found, nodes.Text(text[end:])]
