"""A span of Markdown that is too long for a chunk -> spans that fit, as few and as even as its pieces allow.

In: one document's text, its counter of tokens, and for each call a span with a budget of tokens. Out: spans in order,
without white space around them, and what is to be shown around each (``cut_blocks``), which is part of the budget.
What fits stays whole; what does not is split at its loosest points (``split_points``), at last between words. Sums of
tokens are not always exact: the caller counts what comes out.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from ingestion.chunking.cut_blocks import CutBlock, cut_block
from ingestion.chunking.split_points import SplitPoint, between_blocks, inside_block
from ingestion.chunking.token_counter import SpanCounter, TokenCounter

# A tokenizer may see megabytes without a space as one unknown token. Prose has 4-5 characters per token and deeply
# indented code about 8. The other figures keep four bytes per character of a text, and of what is shown around it,
# below Milvus' 65 535.
MAX_CHARS_PER_TOKEN, MAX_CHARS, MAX_REPEATED_CHARS = 16, 15_000, 1_300
# What is repeated may take one part in so many of the budget; a table with a longer header is shown without it.
REPEATED_SHARE = 2
# Chunks of a long section may be this much longer than their mean, so that the last one is not far shorter.
UNEVEN = 1.15

Span = tuple[int, int]

_cohesion = attrgetter("cohesion")


class SpanTokens(NamedTuple):
    """Neighbouring spans: where each ends, and the tokens of the document up to its start and up to its end."""

    ends: list[int]
    before: array[int]
    after: array[int]


class Cut(NamedTuple):
    """A block that was cut, and the tokens of what is shown before and after its pieces."""

    block: CutBlock
    lead: int
    tail: int


class Splitter:
    """Splits spans of one document, and remembers which tables and fences it has cut."""

    def __init__(self, markdown: str, counter: TokenCounter) -> None:
        self.markdown = markdown
        self.counter = counter
        self.tokens = SpanCounter(counter, markdown)
        self._cuts: list[Cut] = []  # in the order of the text
        self._starts: list[int] = []

    def split(self, span: Span, budget: int) -> list[Span]:
        """Split a span into as few chunks as its pieces allow, of even size where that takes no more of them."""
        pieces = [piece for whole in self.trimmed([span]) for piece in self._pieces(whole, None, budget)]
        tokens = self.span_tokens(pieces)
        packed = self._pack(pieces, tokens, budget)
        if len(packed) < 2:
            return packed
        repeated = sum(self._lead_tokens(start) + self._tail_tokens(end) for start, end in packed)
        mean = (self.tokens.between(*span) + repeated) / len(packed)
        even = self._pack(pieces, tokens, min(budget, int(UNEVEN * mean)))
        return even if len(even) == len(packed) else packed

    def halve(self, span: Span, excess: int) -> list[Span]:
        """Split a span that is ``excess`` tokens over its budget into at least two smaller ones.

        A single character that is over the budget is left out.
        """
        start, end = span
        points = between_blocks(self.markdown, start, end)
        spans = [span]
        if not points:
            size = self.tokens.between(start, end) + self._lead_tokens(start) + self._tail_tokens(end)
            spans = self.split(span, max(1, size - excess))
        if spans == [span]:
            last_weakest = min(reversed(points), key=_cohesion, default=None)
            middle = last_weakest.offset if last_weakest else (start + end) // 2
            spans = self.trimmed([(start, middle), (middle, end)])
        return [each for each in spans if each != span]

    def shown_around(self, span: Span) -> tuple[str, str]:
        """Return the texts to show before and after a span.

        They make a piece of a table or a fence one again, such as the table's header; for other spans they are empty.
        """
        first, last = self._cut_at(span[0]), self._cut_at(span[1] - 1)
        return first.block.lead(span[0]) if first else "", last.block.tail(span[1]) if last else ""

    def fits(self, span: Span, budget: int) -> bool:
        """Return whether a span is within the budget and within the characters that go with it."""
        return span[1] - span[0] <= max_chars(budget) and self.tokens.between(*span) <= budget

    def span_tokens(self, spans: list[Span]) -> SpanTokens:
        """Return the tokens of neighbouring spans, all at once, since there may be one for every line."""
        ends = [end for _, end in spans]
        return SpanTokens(ends, self.tokens.up_to([start for start, _ in spans]), self.tokens.up_to(ends))

    def trimmed(self, spans: Iterable[Span]) -> list[Span]:
        """Return the spans without blank lines before and white space after; indentation stays, it matters in code."""
        found: list[Span] = []
        for start, end in spans:
            text = self.markdown[start:end].rstrip()
            if text and text[0].isspace():
                margin = len(text) - len(text.lstrip())
                found.append((start + text.rfind("\n", 0, margin) + 1, start + len(text)))
            elif text:
                found.append((start, start + len(text)))
        return found

    # --- Pieces, and chunks made of them ---------------------------------------------------------------

    def _pack(self, pieces: list[Span], tokens: SpanTokens, budget: int) -> list[Span]:
        """Join neighbouring pieces as far as they fit, by binary search: pieces may be lines of one letter."""
        packed: list[Span] = []
        first = 0
        while first < len(pieces):
            start = pieces[first][0]
            most = tokens.before[first] + budget - self._lead_tokens(start)
            within = bisect_right(tokens.ends, start + max_chars(budget), first)
            within = min(within, bisect_right(tokens.after, most, first))
            while within > first + 1 and tokens.after[within - 1] + self._tail_tokens(tokens.ends[within - 1]) > most:
                within -= 1  # for what closes a fence
            first = max(within, first + 1)
            packed.append((start, tokens.ends[first - 1]))
        return packed

    def _pieces(self, span: Span, points: list[SplitPoint] | None, budget: int) -> list[Span]:
        """Split a span into the largest pieces that fit.

        ``points``: the split points inside the one block that the span is part of; None for a span of whole blocks.
        """
        if self.fits(span, budget):
            return [span]
        start, end = span
        if points is None:
            here = between_blocks(self.markdown, start, end)
            if not here:
                points = here = inside_block(self.markdown, start, end)
                budget -= self._cut(start, end, budget)
        else:
            here = points[bisect_left(points, (start + 1,)) : bisect_left(points, (end,))]
        if not here:
            return self.trimmed(self._words(span, budget))
        least = min(map(_cohesion, here))
        offsets = [offset for offset, cohesion in here if cohesion is least]
        parts = self.trimmed(pairwise([start, *offsets, end]))
        most_chars, tokens = max_chars(budget), self.span_tokens(parts)
        found: list[Span] = []
        for part, before, after in zip(parts, tokens.before, tokens.after, strict=True):
            if part[1] - part[0] <= most_chars and after - before <= budget:
                found.append(part)
            else:
                found += self._pieces(part, points, budget)
        return found

    def _words(self, span: Span, budget: int) -> Iterator[Span]:
        """Yield spans that end between words, or in a word that is over the budget alone."""
        start, end = span
        while start < end:
            stop = min(end, self.tokens.furthest_end(start, budget), start + max_chars(budget))
            yield start, stop
            start = stop

    # --- Blocks that are cut ----------------------------------------------------------------------------

    def _cut(self, start: int, end: int, budget: int) -> int:
        """Record that a block is cut; return the tokens of the text that is added around each of its pieces."""
        if known := self._cut_at(start):
            return min(known.lead + known.tail, budget - 1)
        block = cut_block(self.markdown, start, end)
        if block is None or len(block.before) + len(block.after) > MAX_REPEATED_CHARS:
            return 0
        lead, tail = self.counter.count([block.before, block.after])
        if lead + tail > budget // REPEATED_SHARE:
            return 0
        at = bisect_left(self._starts, start)
        self._starts.insert(at, start)
        self._cuts.insert(at, Cut(block, lead, tail))
        return lead + tail

    def _cut_at(self, offset: int) -> Cut | None:
        """Return the record of the cut block that contains an offset, or None."""
        at = bisect_right(self._starts, offset) - 1
        return self._cuts[at] if at >= 0 and offset < self._cuts[at].block.end else None

    def _lead_tokens(self, start: int) -> int:
        """Return the tokens of the text that is shown before a piece which begins at ``start``; 0 for none."""
        cut = self._cut_at(start)
        return cut.lead if cut and cut.block.lead(start) else 0

    def _tail_tokens(self, end: int) -> int:
        """Return the tokens of the text that is shown after a piece which ends at ``end``; 0 for none."""
        cut = self._cut_at(end - 1)
        return cut.tail if cut and cut.block.tail(end) else 0


def max_chars(budget: int) -> int:
    """Return how many characters a text of so many tokens may have."""
    return min(MAX_CHARS, MAX_CHARS_PER_TOKEN * budget)
