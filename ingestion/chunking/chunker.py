"""Extracted → TextChunks that fit the model: cut at headings, then blocks, items, sentences, lines, at last words.

In: Markdown with its title and anchors, the model's tokenizer, a budget of tokens. Out: chunks in order, whose
``text`` is exactly ``markdown[start:end]`` and whose ``tokens`` is what the model will count, heading path and
special tokens included; never more than the budget. What fits stays whole: fences, rows of tables, a list item with
what is nested in it, a line that ends in a colon with what it announces.
A chunk holds one section or part of one, and its heading is in ``heading`` only; small neighbours under one heading
share a chunk, with that heading's path and their own headings in the text.

Every cut is found in the costs of words (``tokens``); chunks whose words do not add up are counted once more.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, NamedTuple

from ingestion import markdown_outline
from ingestion.chunking.split_points import SplitPoint, between_blocks, inside_block
from ingestion.chunking.token_counter import Costs, Counter, counter, load_tokenizer
from ingestion.types import Extracted, TextChunk, embedding_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["chunk", "load_tokenizer"]

# The heading path may take this share of the budget; the text needs the rest.
HEADING_SHARE = 4
# A tokenizer may see megabytes without a space as one unknown token. Prose has 4-5 characters per token and
# deeply indented code about 8. The second figure keeps four bytes per character below Milvus' 65 535.
MAX_CHARS_PER_TOKEN, MAX_CHARS = 16, 16_000
# Sections below the first share of the budget are merged up to the second. Of Django's pages without release notes, the
# stand-in finds for 59 hand-written questions the right passage among the first five: unmerged 72.9 %, merged like this
# 74.6 % with 5 % fewer chunks, a quarter of the budget up to 60 % of it 69.5 %: such chunks speak of too much.
SMALL, MERGED = 0.2, 0.45
# Chunks of a long section may be this much longer than their mean, so that the last one is no scrap.
UNEVEN = 1.15
WHITE = frozenset(" \n\t")

Span = tuple[int, int]


def chunk(extracted: Extracted, *, tokenizer: Tokenizer, max_tokens: int) -> list[TextChunk]:
    """The document's chunks in order; none for a document of white space."""
    return Chunker(extracted, counter(tokenizer), max_tokens).chunks()


class Part(NamedTuple):
    """A section: from its heading (``start``) or the text under it (``body``) to its ``end``. One that is
    ``bare`` only leads on to the next heading, whose path repeats it; one that is ``small`` may share a chunk."""

    path: str
    parent: str
    start: int
    body: int
    end: int
    bare: bool
    small: bool


class Heading(NamedTuple):
    """As the model sees it above a text, what it costs there with the special tokens, and whether that is exact."""

    shown: str
    cost: int
    exact: bool


class Draft(NamedTuple):
    """A chunk before it is counted."""

    span: Span
    heading: Heading
    anchor: str


class Sizes(NamedTuple):
    """Of neighbouring stretches: where each ends, and what the text costs up to its start and up to its end."""

    ends: list[int]
    before: array[int]
    after: array[int]


@dataclass(frozen=True)
class Chunker:
    extracted: Extracted
    counter: Counter
    max_tokens: int

    @property
    def markdown(self) -> str:
        return self.extracted.markdown

    @cached_property
    def costs(self) -> Costs:
        return Costs(self.counter, self.markdown)

    def chunks(self) -> list[TextChunk]:
        if not self.markdown.strip():
            return []
        groups = list(self._groups())
        headings = self._headings(set(map(_common_path, groups)))
        drafts = [draft for group in groups for draft in self._drafts(group, headings[_common_path(group)])]
        return sorted(self._counted(drafts), key=lambda found: found.start)

    # --- Sections, alone or together ------------------------------------------------------------

    @cached_property
    def parts(self) -> list[Part]:
        sections = list(markdown_outline.sections(self.markdown, self.extracted.title))
        # All at once, since there may be one for every line.
        _, before, after = self._sizes([(section.body, section.end) for section in sections])
        following = [*(section.path for section in sections[1:]), ""]
        most = self.max_tokens * SMALL
        found: list[Part] = []
        for (path, parent, _, start, body, end, is_empty), next_path, a, b in zip(
            sections, following, before, after, strict=True
        ):
            bare = is_empty and next_path.startswith(path + markdown_outline.SEPARATOR)
            if start < end:
                found.append(Part(path, parent, start, body, end, bare, b - a < most))
        return found

    def _groups(self) -> Iterator[list[Part]]:
        """Parts that share a chunk. A bare one at the end goes to the next group, or nowhere."""
        group: list[Part] = []
        for part in self.parts:
            if group and not self._joins(group, part):
                last = max((index for index, member in enumerate(group) if not member.bare), default=-1)
                yield from _without_bare_start(group[: last + 1])
                group = group[last + 1 :]
                if group and not self._joins(group, part):
                    group = []
            group.append(part)
        yield from _without_bare_start(group)

    def _joins(self, group: list[Part], part: Part) -> bool:
        first = group[0]
        if not (group[-1].small and part.small):
            return False
        is_near = _within(part.path, first.path) or _within(part.path, first.parent)
        return is_near and self._fits((first.start, part.end), int(self.max_tokens * MERGED))

    def _drafts(self, group: list[Part], heading: Heading) -> Iterator[Draft]:
        first, last = group[0], group[-1]
        start = first.body if _common_path(group) == first.path else first.start
        anchor = self.extracted.anchors.get(first.path, "")
        for span in self._cut((start, last.end), max(1, self.max_tokens - heading.cost)):
            yield Draft(span, heading, anchor)

    # --- Headings --------------------------------------------------------------------------------

    def _headings(self, paths: set[str]) -> dict[str, Heading]:
        gap = self.counter.count([embedding_text("a", "a")], special=True)[0] - 2 * self.counter.estimate("a")
        return {path: self._heading(path, gap) for path in paths}

    def _heading(self, path: str, gap: int) -> Heading:
        shown = self._shortened(path, self.max_tokens // HEADING_SHARE)
        words = shown.replace(markdown_outline.SEPARATOR, " ").replace(
            " …", ""
        )  # no letters, but between spaces they count so
        exact, cost = self.counter.exact(words), gap + self.counter.estimate(shown)
        if exact and Costs(self.counter, words).is_sliced(0, len(words)):
            cost = self.counter.count([embedding_text(shown, "a")], special=True)[0] - self.counter.estimate("a")
        return Heading(shown, cost, exact)

    def _shortened(self, path: str, allowed: int) -> str:
        """If it is over its share: the title and the last heading, then as many tokens as allowed."""
        if len(path) <= self._chars(allowed) and self.counter.estimate(path) <= allowed:
            return path
        steps = path.split(markdown_outline.SEPARATOR)
        short = markdown_outline.SEPARATOR.join([steps[0], "…", steps[-1]]) if len(steps) > 2 else path
        return self.counter.clip(short[: self._chars(allowed)], allowed).strip()

    # --- Cutting -----------------------------------------------------------------------------------

    def _cut(self, span: Span, budget: int) -> list[Span]:
        """As few chunks as the pieces allow, and those of even size."""
        pieces = [piece for whole in self._trimmed([span]) for piece in self._pieces(whole, None, budget)]
        sizes = self._sizes(pieces)
        packed = self._pack(pieces, sizes, budget)
        if len(packed) < 2:
            return packed
        even = self._pack(pieces, sizes, min(budget, int(UNEVEN * self.costs.between(*span) / len(packed))))
        return even if len(even) == len(packed) else packed

    def _pack(self, pieces: list[Span], sizes: Sizes, budget: int) -> list[Span]:
        """Neighbours together as far as they fit. How far is found by halving: pieces may be lines of one letter."""
        packed: list[Span] = []
        first = 0
        while first < len(pieces):
            start = pieces[first][0]
            within = bisect_right(sizes.ends, start + self._chars(budget), first)
            within = min(within, bisect_right(sizes.after, sizes.before[first] + budget, first))
            first = max(within, first + 1)
            packed.append((start, sizes.ends[first - 1]))
        return packed

    def _pieces(self, span: Span, inner: list[SplitPoint] | None, budget: int) -> list[Span]:
        """The largest parts that fit; ``inner`` are the seams of the one block that the span is part of."""
        if self._fits(span, budget):
            return [span]
        seams = between_blocks(self.markdown, *span) if inner is None else _between(inner, span)
        if inner is None and not seams:
            inner = seams = inside_block(self.markdown, *span)
        if not seams:
            return self._trimmed(self._words(span, budget))
        found: list[Span] = []
        parts = self._trimmed(_opened(span, seams))
        for part, fits in zip(parts, self._which_fit(parts, budget), strict=True):
            if fits:
                found.append(part)
            else:
                found += self._pieces(part, inner, budget)
        return found

    def _words(self, span: Span, budget: int) -> Iterator[Span]:
        start, end = span
        while start < end:
            cut = min(end, self.costs.reach(start, budget), start + self._chars(budget))
            yield start, cut
            start = cut

    def _fits(self, span: Span, budget: int) -> bool:
        return span[1] - span[0] <= self._chars(budget) and self.costs.between(*span) <= budget

    def _which_fit(self, parts: list[Span], budget: int) -> list[bool]:
        chars, sizes = self._chars(budget), self._sizes(parts)
        spans = zip(parts, sizes.before, sizes.after, strict=True)
        return [end - start <= chars and after - before <= budget for (start, end), before, after in spans]

    def _sizes(self, parts: list[Span]) -> Sizes:
        ends = [end for _, end in parts]
        return Sizes(ends, self.costs.up_to([start for start, _ in parts]), self.costs.up_to(ends))

    def _chars(self, budget: int) -> int:
        return min(MAX_CHARS, MAX_CHARS_PER_TOKEN * budget)

    def _trimmed(self, spans: Iterable[Span]) -> list[Span]:
        """Without blank lines before and white space after; indentation stays, it means something in code."""
        found: list[Span] = []
        for start, end in spans:
            text = self.markdown[start:end].rstrip()
            if text and text[0].isspace():
                margin = len(text) - len(text.lstrip())
                found.append((start + text.rfind("\n", 0, margin) + 1, start + len(text)))
            elif text:
                found.append((start, start + len(text)))
        return found

    # --- Counting ------------------------------------------------------------------------------------

    def _counted(self, drafts: list[Draft]) -> Iterator[TextChunk]:
        while drafts:
            over: list[Draft] = []
            for draft, count in zip(drafts, self._counts(drafts), strict=True):
                if count <= self.max_tokens:
                    yield TextChunk(self._text(draft), *draft.span, draft.heading.shown, draft.anchor, count)
                else:
                    over.extend(self._cut_again(draft, count - self.max_tokens))
            drafts = over

    def _counts(self, drafts: list[Draft]) -> list[int]:
        """The model's counts: sums where words add up, else of whole texts."""
        whole = [draft for draft in drafts if not self._adds_up(draft)]
        texts = [embedding_text(draft.heading.shown, self._text(draft)) for draft in whole]
        counts = dict(zip(whole, self.counter.count(texts, special=True), strict=True))
        return [counts.get(draft, draft.heading.cost + self.costs.between(*draft.span)) for draft in drafts]

    def _text(self, draft: Draft) -> str:
        return self.markdown[slice(*draft.span)]

    def _adds_up(self, draft: Draft) -> bool:
        """Whether the chunk begins and ends between words, of a kind that the counter can add."""
        start, end = draft.span
        if not draft.heading.exact or self.costs.is_sliced(start, end):
            return False
        edges = (self.markdown[max(0, start - 1) : start + 1], self.markdown[end - 1 : end + 1])
        between_words = all(len(edge) < 2 or WHITE & set(edge) for edge in edges)
        return between_words and self.counter.exact(self._text(draft))

    def _cut_again(self, draft: Draft, excess: int) -> list[Draft]:
        """At least two parts, each smaller; a single character that is still too much is left out."""
        start, end = draft.span
        seams = between_blocks(self.markdown, start, end)
        spans = [draft.span] if seams else self._cut(draft.span, max(1, self.costs.between(start, end) - excess))
        if spans == [draft.span]:
            at = min(reversed(seams), key=attrgetter("grip")).at if seams else (start + end) // 2
            spans = self._trimmed([(start, at), (at, end)])
        return [draft._replace(span=span) for span in spans if span != draft.span]


def _within(path: str, ancestor: str) -> bool:
    return path == ancestor or path.startswith(ancestor + markdown_outline.SEPARATOR)


def _without_bare_start(group: list[Part]) -> Iterator[list[Part]]:
    """Bare headings above the whole group are in its path."""
    while group and group[0].bare and _common_path(group) == group[0].path:
        group = group[1:]
    if group:
        yield group


def _common_path(group: list[Part]) -> str:
    first, *others = group
    return first.path if all(_within(part.path, first.path) for part in others) else first.parent


def _between(seams: list[SplitPoint], span: Span) -> list[SplitPoint]:
    return seams[bisect_left(seams, (span[0] + 1,)) : bisect_left(seams, (span[1],))]


def _opened(span: Span, seams: list[SplitPoint]) -> Iterator[Span]:
    """The parts between the seams of the least grip."""
    least = min(map(itemgetter(1), seams))
    return pairwise([span[0], *(at for at, grip in seams if grip is least), span[1]])
