"""The words that a reader leaves out of a page on purpose, counted by the rule that left them out.

A reader makes one ``DroppedWords`` per page, adds to it wherever a rule removes visible words, and hands its totals
over in ``Extracted.dropped``. Words that no rule names must be in the Markdown.
"""

from __future__ import annotations

from collections import defaultdict

from ingestion.types import Dropped

SAMPLE_CHARS = 80


class DroppedWords:
    """Counts the words that each rule removes from one page."""

    def __init__(self) -> None:
        self._words: defaultdict[str, int] = defaultdict(int)
        self._samples: dict[str, str] = {}

    def add(self, rule: str, text: str) -> None:
        """Count the words of ``text`` for a rule, whose name is a plain noun phrase such as "navigation"."""
        words = text.split()
        if words:
            self._words[rule] += len(words)
            self._samples.setdefault(rule, " ".join(words)[:SAMPLE_CHARS])

    def totals(self) -> tuple[Dropped, ...]:
        """Return what each rule dropped, the most words first."""
        ranked = sorted(self._words.items(), key=lambda item: -item[1])
        return tuple(Dropped(rule, count, self._samples[rule]) for rule, count in ranked)
