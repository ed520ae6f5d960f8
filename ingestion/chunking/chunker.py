"""Extracted → TextChunks that fit the model: split at headings, then blocks, items, sentences, lines, at last words.

In: Markdown with its title and anchors, the model's tokenizer, a budget of tokens. Out: chunks in order, whose
``text`` is exactly ``markdown[start:end]`` and whose ``tokens`` is what the model will count, heading path and
special tokens included; never more than the budget. What fits stays whole: fences, rows of tables, a list item with
what is nested in it, a line that ends in a colon with what it announces. Each piece of a table that does not fit
begins with the table's header, and each piece of a fence is shown as a fence.
A chunk holds one section or part of one, and its heading is in ``heading`` only; small neighbours under one heading
share a chunk, with that heading's path and their own headings in the text.

Split points are chosen by token counts that are summed over words (``token_counter``). Where such a sum is not exact,
the finished chunk is counted once more as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ingestion import markdown_outline
from ingestion.chunking.splitter import Span, Splitter, max_chars
from ingestion.chunking.token_counter import SpanCounter, TokenCounter, load_tokenizer, shared_counter
from ingestion.types import Extracted, TextChunk, embedding_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["chunk", "load_tokenizer"]

# The heading path may take one part in so many of the budget; the text needs the rest.
HEADING_SHARE = 4
# Sections below the first share of the budget are merged up to the second. Of Django's pages without release notes, the
# stand-in finds for 59 hand-written questions the right passage among the first five: unmerged 72.9 %, merged like this
# 74.6 % with 5 % fewer chunks, a quarter of the budget up to 60 % of it 69.5 %: such chunks speak of too much.
SMALL_SHARE, MERGED_SHARE = 0.2, 0.45
WHITE = frozenset(" \n\t")


def chunk(extracted: Extracted, *, tokenizer: Tokenizer, max_tokens: int) -> list[TextChunk]:
    """Return the document's chunks in the order of the text; none for a document of white space."""
    return Chunker(extracted, shared_counter(tokenizer), max_tokens).chunks()


class Part(NamedTuple):
    """A section of the document: its heading begins at ``start``, the text under it at ``body``.

    ``heading_only``: it has no text and the next section is below it, so that the next path repeats its heading.
    ``is_small``: it may share a chunk with its neighbours.
    """

    path: str
    parent: str
    start: int
    body: int
    end: int
    heading_only: bool
    is_small: bool


class Heading(NamedTuple):
    """A heading path as the model sees it above a text.

    ``tokens`` counts it together with the special tokens; ``is_exact`` tells whether adding a text's tokens to that
    gives the model's count.
    """

    shown: str
    tokens: int
    is_exact: bool


class Draft(NamedTuple):
    """A chunk whose tokens are not counted yet."""

    span: Span
    heading: Heading
    anchor: str


@dataclass(frozen=True)
class Chunker:
    """One document, split within a budget of tokens."""

    extracted: Extracted
    counter: TokenCounter
    max_tokens: int

    @property
    def markdown(self) -> str:
        """Return the text of the whole document, in which all offsets count characters."""
        return self.extracted.markdown

    @cached_property
    def splitter(self) -> Splitter:
        """Return the ``Splitter`` of the document, which counts its tokens as well."""
        return Splitter(self.markdown, self.counter)

    def chunks(self) -> list[TextChunk]:
        """Return the document's chunks in the order of the text."""
        if not self.markdown.strip():
            return []
        groups = list(self._groups())
        # The tokens that come with any heading and text: the special ones, and those of the blank line between them.
        overhead = self.counter.count([embedding_text("a", "a")], special=True)[0] - 2 * self.counter.estimate("a")
        headings = {path: self._heading(path, overhead) for path in set(map(_common_path, groups))}
        drafts: list[Draft] = []
        for group in groups:
            first, last, path = group[0], group[-1], _common_path(group)
            start = first.body if path == first.path else first.start
            anchor = self.extracted.anchors.get(first.path, "")
            spans = self.splitter.split((start, last.end), max(1, self.max_tokens - headings[path].tokens))
            drafts += [Draft(span, headings[path], anchor) for span in spans]
        return sorted(self._counted(drafts), key=lambda found: found.start)

    # --- Sections, alone or together ------------------------------------------------------------

    @cached_property
    def parts(self) -> list[Part]:
        """Return the document's sections that hold anything, in order."""
        sections = list(markdown_outline.sections(self.markdown, self.extracted.title))
        _, before, after = self.splitter.span_tokens([(section.body, section.end) for section in sections])
        next_paths = [*(section.path for section in sections[1:]), ""]
        small = self.max_tokens * SMALL_SHARE
        found: list[Part] = []
        for (path, parent, _, start, body, end, is_empty), next_path, a, b in zip(
            sections, next_paths, before, after, strict=True
        ):
            heading_only = is_empty and next_path.startswith(path + markdown_outline.SEPARATOR)
            if start < end:
                found.append(Part(path, parent, start, body, end, heading_only, b - a < small))
        return found

    def _groups(self) -> Iterator[list[Part]]:
        """Yield the parts that share a chunk; parts at the end with a heading only go to the next group, or nowhere."""
        group: list[Part] = []
        for part in self.parts:
            if group and not self._joins(group, part):
                last = max((index for index, member in enumerate(group) if not member.heading_only), default=-1)
                yield from _without_leading_headings(group[: last + 1])
                group = group[last + 1 :]
                if group and not self._joins(group, part):
                    group = []
            group.append(part)
        yield from _without_leading_headings(group)

    def _joins(self, group: list[Part], part: Part) -> bool:
        """Return whether a part may share a chunk with those before it: all small, under one heading, and they fit."""
        first = group[0]
        if not (group[-1].is_small and part.is_small):
            return False
        is_near = _within(part.path, first.path) or _within(part.path, first.parent)
        return is_near and self.splitter.fits((first.start, part.end), int(self.max_tokens * MERGED_SHARE))

    def _heading(self, path: str, overhead: int) -> Heading:
        """Return a path as it is shown above a text.

        A path over its share of the budget is shortened to the title and the last heading, then to as many tokens as
        are allowed.
        """
        shown, allowed = path, self.max_tokens // HEADING_SHARE
        if len(path) > max_chars(allowed) or self.counter.estimate(path) > allowed:
            steps = path.split(markdown_outline.SEPARATOR)
            short = markdown_outline.SEPARATOR.join([steps[0], "…", steps[-1]]) if len(steps) > 2 else path
            shown = self.counter.clip(short[: max_chars(allowed)], allowed).strip()
        # Separators are no ASCII, but as words of their own between spaces they add up.
        words = shown.replace(markdown_outline.SEPARATOR, " ").replace(" …", "")
        is_exact, tokens = self.counter.adds_up(words), overhead + self.counter.estimate(shown)
        if is_exact and SpanCounter(self.counter, words).has_sliced_word(0, len(words)):
            tokens = self.counter.count([embedding_text(shown, "a")], special=True)[0] - self.counter.estimate("a")
        return Heading(shown, tokens, is_exact)

    # --- Counting ------------------------------------------------------------------------------------

    def _counted(self, drafts: list[Draft]) -> Iterator[TextChunk]:
        """Yield the drafts with the tokens that the model counts; those over the budget are split again."""
        while drafts:
            inexact = [draft for draft in drafts if not self._adds_up(draft)]
            texts = [embedding_text(draft.heading.shown, self._shown(draft)) for draft in inexact]
            counts = dict(zip(inexact, self.counter.count(texts, special=True), strict=True))
            over: list[Draft] = []
            for draft in drafts:
                count = counts.get(draft, draft.heading.tokens + self.splitter.tokens.between(*draft.span))
                if count > self.max_tokens:
                    spans = self.splitter.halve(draft.span, count - self.max_tokens)
                    over += [draft._replace(span=span) for span in spans]
                    continue
                around = self.splitter.shown_around(draft.span)
                yield TextChunk(
                    self.markdown[slice(*draft.span)], *draft.span, draft.heading.shown, draft.anchor, count, *around
                )
            drafts = over

    def _shown(self, draft: Draft) -> str:
        """Return a draft's text as it is shown below its heading path.

        A piece of a table or a fence has the table's header, or the lines of the fence, around it.
        """
        before, after = self.splitter.shown_around(draft.span)
        return f"{before}{self.markdown[slice(*draft.span)]}{after}"

    def _adds_up(self, draft: Draft) -> bool:
        """Return whether the sum over words is the model's count: the chunk begins and ends between whole words."""
        start, end = draft.span
        if not draft.heading.is_exact or self.splitter.tokens.has_sliced_word(start, end):
            return False
        if any(self.splitter.shown_around(draft.span)):
            return False
        edges = (self.markdown[max(0, start - 1) : start + 1], self.markdown[end - 1 : end + 1])
        between_words = all(len(edge) < 2 or WHITE & set(edge) for edge in edges)
        return between_words and self.counter.adds_up(self.markdown[start:end])


def _within(path: str, ancestor: str) -> bool:
    """Return whether a heading path is ``ancestor`` or stands below it."""
    return path == ancestor or path.startswith(ancestor + markdown_outline.SEPARATOR)


def _without_leading_headings(group: list[Part]) -> Iterator[list[Part]]:
    """Yield the group, if anything is left of it, without the leading headings that its path repeats."""
    while group and group[0].heading_only and _common_path(group) == group[0].path:
        group = group[1:]
    if group:
        yield group


def _common_path(group: list[Part]) -> str:
    """Return the heading path for a chunk of these parts, of which there must be one at least.

    It is the first one's path where all others stand below it, and else the path above the first one.
    """
    first, *others = group
    return first.path if all(_within(part.path, first.path) for part in others) else first.parent
