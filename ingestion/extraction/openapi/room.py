"""How long the page of an OpenAPI document may become: references and aliases may repeat a text again and again.

In: texts in the order of the page. Out: the same texts; once they are out of proportion to the document, how repeated
ones begin, and a count of the words that are left out.
"""

from __future__ import annotations

from ingestion.extraction.dropped import DroppedWords

# Of the page, for each character of the document. One whose parameters and answers are all named becomes three times as
# long as it is; the second is for tables of very many short texts.
MIN_CHARS, TEXTS_PER_CHAR, BLOCKS_PER_CHAR = 1_000_000, 10, 40
# Of a text that has no room: enough to recognise it.
SHOWN_CHARS = 200
REPETITIONS = "repetitions"


class Room:
    """What is left for the page of a document of ``size`` characters; ``dropped`` counts what found no room."""

    def __init__(self, size: int) -> None:
        self.dropped = DroppedWords()
        self._new = self._repeated = MIN_CHARS + TEXTS_PER_CHAR * size
        self._blocks = MIN_CHARS + BLOCKS_PER_CHAR * size
        self._said: set[str] = set()

    def cut(self, words: str) -> str:
        """Return words, or only how they begin if there is no room for them; what is new has room of its own."""
        if len(words) <= SHOWN_CHARS:
            return words
        if words in self._said:
            self._repeated -= len(words)
            has_room = self._repeated >= 0
        else:
            self._said.add(words)
            self._new -= len(words)
            has_room = self._new >= 0
        if has_room:
            return words
        self.dropped.add(REPETITIONS, words[SHOWN_CHARS:])
        return f"{words[:SHOWN_CHARS]}…"

    def takes(self, block: str) -> bool:
        """Return whether the page has room for a block, and count its words as dropped if it has none."""
        self._blocks -= len(block)
        if self._blocks < 0:
            self.dropped.add(REPETITIONS, block)
        return self._blocks >= 0
