"""What each piece of a table or of a fence that is cut shows besides its own text, so that it can be read alone.

In: a block of Markdown that is too long for a chunk. Out: a ``CutBlock``, which says what stands before and after a
piece of it: the header rows of the table, or the lines that open and close the fence. Cuts and counts nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingestion import markdown_outline

_DELIMITER = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_OPENING = re.compile(r"([ \t]*)(`{3,}|~{3,})[^\n]*")


@dataclass(frozen=True, slots=True)
class CutBlock:
    """A block from ``start`` to ``end`` whose pieces are shown with ``before`` and ``after`` them.

    What is repeated before a piece ends at ``body`` in the block; what closes it begins at ``closing``, or would.
    """

    start: int
    body: int
    closing: int
    end: int
    before: str
    after: str

    def lead(self, offset: int) -> str:
        """Return the text to show before a piece of the block that begins at ``offset``; empty where none is needed."""
        return self.before if self.body <= offset < self.end else ""

    def tail(self, offset: int) -> str:
        """Return the text to show after a piece of the block that ends at ``offset``; empty where none is needed."""
        return self.after if self.start < offset <= self.closing else ""


def cut_block(markdown: str, start: int, end: int) -> CutBlock | None:
    """Return the table or the fence ``markdown[start:end]``; None for another block, or a table without a header."""
    text = markdown[start:end]
    kind = markdown_outline.kind_at_start(text)
    first = text.find("\n") + 1
    if not first or kind not in (markdown_outline.TABLE, markdown_outline.FENCE):
        return None
    if kind == markdown_outline.TABLE:
        second = text.find("\n", first) + 1
        if not second or not _DELIMITER.fullmatch(text, first, second - 1):
            return None
        return CutBlock(start, start + second, end, end, text[:second], "")
    opening = _OPENING.match(text)
    if opening is None:
        return None
    indent, marker = opening.groups()
    last = text.rstrip().rfind("\n") + 1
    closes = last >= first and markdown_outline.closes_fence(text[last:], marker)
    # Without a line that closes it, the fence goes to the end of the document.
    return CutBlock(start, start + first, start + last - 1 if closes else end, end, text[:first], f"\n{indent}{marker}")
