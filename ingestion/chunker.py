"""Extracted → TextChunks that fit the model: cut at headings, then blocks, lines, sentences, at last tokens.

In: Markdown with its title and anchors, the model's tokenizer, a budget of tokens. Out: chunks in order, whose
``text`` is exactly ``markdown[start:end]`` and whose ``tokens`` is what the model will count, heading path and
special tokens included; never more than the budget. Fences and tables that fit stay whole.
A chunk never spans two headings. The lines of headings are not repeated in the text.

The document is tokenised once, with offsets; every cut is found in those. The finished chunks are counted
once more, because counts of parts need not add up, and what is over is cut again.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion import outline
from ingestion.exceptions import ModelError
from ingestion.types import Extracted, TextChunk, embedding_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# The heading path may take this share of the budget; the text needs the rest.
HEADING_SHARE = 4
# A tokenizer may see megabytes without a space as one unknown token. Prose has 4-5 characters per token and
# deeply indented code about 8. The second figure keeps four bytes per character below Milvus' 65 535.
MAX_CHARS_PER_TOKEN, MAX_CHARS = 16, 16_000

# A tokenizer needs about 300 bytes per token while it works: 1.7 GB for 5 MB of text at once, without these.
SLICE_CHARS, BATCH_TEXTS = 200_000, 512

Span = tuple[int, int]
Splitter = Callable[[str, Span], Iterator[Span]]

_SENTENCE_ENDS = re.compile(r"[.!?][\"')\]]*\s+|[。！？]")


@lru_cache(maxsize=4)
def load_tokenizer(path: str) -> Tokenizer:
    """The tokenizer of the model in a folder, or of a model on the hub; it neither truncates nor pads."""
    from tokenizers import Tokenizer

    file = Path(path) / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(file)) if Path(path).is_dir() else _from_hub(path)
    except ModelError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise ModelError(
            f"No tokenizer for {path}: {error}. Set EMBED_MODEL to a folder with tokenizer.json."
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _from_hub(name: str) -> Tokenizer:
    from tokenizers import Tokenizer

    if name.startswith(("/", ".", "~")):
        raise ModelError(f"The model folder {name} does not exist. Set EMBED_MODEL to a folder or a hub name.")
    return Tokenizer.from_pretrained(name)


def chunk(extracted: Extracted, *, tokenizer: Tokenizer, max_tokens: int) -> list[TextChunk]:
    """The document's chunks in order; none for a document of white space."""
    return Cutter(extracted, tokenizer, max_tokens).chunks()


@dataclass(frozen=True, slots=True)
class Draft:
    """A chunk before it is counted."""

    span: Span
    heading: str
    anchor: str


@dataclass(frozen=True)
class Cutter:
    extracted: Extracted
    tokenizer: Tokenizer
    max_tokens: int

    @property
    def markdown(self) -> str:
        return self.extracted.markdown

    @cached_property
    def token_ends(self) -> array[int]:
        """Where each token ends: a token belongs to the part in which it ends, as some begin with the space before."""
        ends = array("L")
        for start, end in pairwise(self._slices()):
            encoding = self.tokenizer.encode(self.markdown[start:end], add_special_tokens=False)
            ends.extend(start + stop for _, stop in encoding.offsets)
        return ends

    def _slices(self) -> Iterator[int]:
        """Cuts between which the document is tokenised, at white space where there is any."""
        start = 0
        while start < len(self.markdown):
            yield start
            limit = start + SLICE_CHARS
            cut = max(self.markdown.rfind(space, start, limit) for space in "\n ")
            start = limit if cut <= start or limit >= len(self.markdown) else cut
        yield len(self.markdown)

    @cached_property
    def sections(self) -> list[outline.Section]:
        return list(outline.sections(self.markdown, self.extracted.title))

    def chunks(self) -> list[TextChunk]:
        if not self.markdown.strip():
            return []
        return sorted(self._counted(list(self._drafts())), key=lambda found: found.start)

    # --- Headings --------------------------------------------------------------------------------

    @cached_property
    def headings(self) -> dict[str, tuple[str, int]]:
        """Path → (as it is shown to the model, tokens left for the text under it)."""
        paths = list(dict.fromkeys(section.path for section in self.sections))
        shown = [self._shortened(path, count) for path, count in zip(paths, self._count(paths), strict=True)]
        overheads = self._count([embedding_text(path, "") for path in shown], special=True)
        return {
            path: (short, max(1, self.max_tokens - overhead))
            for path, short, overhead in zip(paths, shown, overheads, strict=True)
        }

    def _shortened(self, path: str, count: int) -> str:
        """A path over its share keeps the title and the last heading, then as many tokens as allowed."""
        allowed = self.max_tokens // HEADING_SHARE
        limit = allowed * MAX_CHARS_PER_TOKEN
        if count <= allowed and len(path) <= limit:
            return path
        steps = path.split(outline.SEPARATOR)
        short = outline.SEPARATOR.join([steps[0], "…", steps[-1]]) if len(steps) > 2 else path
        offsets = self.tokenizer.encode(short, add_special_tokens=False).offsets
        return short[: offsets[allowed - 1][1] if len(offsets) > allowed else None][:limit].strip()

    def _count(self, texts: list[str], *, special: bool = False) -> list[int]:
        counts: list[int] = []
        for start in range(0, len(texts), BATCH_TEXTS):
            batch = self.tokenizer.encode_batch_fast(texts[start : start + BATCH_TEXTS], add_special_tokens=special)
            counts.extend(map(len, batch))
        return counts

    # --- Cutting -----------------------------------------------------------------------------------

    def _drafts(self) -> Iterator[Draft]:
        for section, following in pairwise([*self.sections, outline.Section("", None, [])]):
            heading, budget = self.headings[section.path]
            anchor = self.extracted.anchors.get(section.path, "")
            for span in self._pack(self._parts(section, following), budget):
                yield Draft(span, heading, anchor)

    def _parts(self, section: outline.Section, following: outline.Section) -> list[Span]:
        """The section's blocks; a heading with nothing under it stands for itself."""
        found = [(block.start, block.end) for block in section.blocks if block.kind != outline.BLANK]
        leads_on = following.path.startswith(section.path + outline.SEPARATOR)
        if not found and section.heading and not leads_on:
            return [(section.heading.start, section.heading.end)]
        return found

    def _pack(self, spans: Iterable[Span], budget: int) -> Iterator[Span]:
        """Fill chunks in order with parts that fit, cutting those that do not."""
        current: Span | None = None
        for span in spans:
            for start, end in self._fitting(span, budget, SPLITTERS):
                if current and not self._fits((current[0], end), budget):
                    yield from self._trimmed(current)
                    current = None
                current = (current[0] if current else start, end)
        if current:
            yield from self._trimmed(current)

    def _fitting(self, span: Span, budget: int, splitters: tuple[Splitter, ...]) -> Iterator[Span]:
        if self._fits(span, budget):
            yield span
        elif splitters:
            for part in splitters[0](self.markdown, span):
                yield from self._fitting(part, budget, splitters[1:])
        else:
            yield from self._cut_at_tokens(span, budget)

    def _fits(self, span: Span, budget: int) -> bool:
        return span[1] - span[0] <= self._chars(budget) and self._tokens(span) <= budget

    def _tokens(self, span: Span) -> int:
        return bisect_right(self.token_ends, span[1]) - bisect_right(self.token_ends, span[0])

    def _chars(self, budget: int) -> int:
        return min(MAX_CHARS, MAX_CHARS_PER_TOKEN * budget)

    def _cut_at_tokens(self, span: Span, budget: int) -> Iterator[Span]:
        start, end = span
        while start < end:
            cut = self._cut_after(start, end, budget)
            yield start, cut
            start = cut

    def _cut_after(self, start: int, end: int, budget: int) -> int:
        """The last place within the budget, at a space if the second half of the stretch has one."""
        last = bisect_right(self.token_ends, start) + budget - 1
        furthest = self.token_ends[last] if last < len(self.token_ends) else end
        cut = max(start + 1, min(end, furthest, start + self._chars(budget)))
        space = self.markdown.rfind(" ", start + (cut - start) // 2, cut) if cut < end else -1
        return space + 1 if space > start else cut

    def _trimmed(self, span: Span) -> Iterator[Span]:
        """Without blank lines before and white space after; indentation stays, it means something in code."""
        text = self.markdown[span[0] : span[1]]
        if not text.strip():
            return
        before = text[: len(text) - len(text.lstrip())]
        yield span[0] + before.rfind("\n") + 1, span[0] + len(text.rstrip())

    # --- Counting ------------------------------------------------------------------------------------

    def _counted(self, drafts: list[Draft]) -> Iterator[TextChunk]:
        while drafts:
            counts = self._count([self._embedded(draft) for draft in drafts], special=True)
            over: list[Draft] = []
            for draft, count in zip(drafts, counts, strict=True):
                if count <= self.max_tokens:
                    yield self._chunk(draft, count)
                else:
                    over.extend(self._cut_again(draft, count - self.max_tokens))
            drafts = over

    def _embedded(self, draft: Draft) -> str:
        return embedding_text(draft.heading, self.markdown[slice(*draft.span)])

    def _chunk(self, draft: Draft, tokens: int) -> TextChunk:
        start, end = draft.span
        return TextChunk(self.markdown[start:end], start, end, draft.heading, draft.anchor, tokens)

    def _cut_again(self, draft: Draft, excess: int) -> list[Draft]:
        """At least two parts, each smaller; a single character that is still too much is left out."""
        start, end = draft.span
        spans = list(self._pack([draft.span], max(1, self._tokens(draft.span) - excess)))
        if spans == [draft.span]:
            middle = (start + end) // 2
            spans = [part for half in ((start, middle), (middle, end)) for part in self._trimmed(half)]
        return [Draft(span, draft.heading, draft.anchor) for span in spans if span != draft.span]


def split_lines(markdown: str, span: Span) -> Iterator[Span]:
    return _split_after(re.compile("\n"), markdown, span)


def split_sentences(markdown: str, span: Span) -> Iterator[Span]:
    return _split_after(_SENTENCE_ENDS, markdown, span)


def _split_after(pattern: re.Pattern[str], markdown: str, span: Span) -> Iterator[Span]:
    start, end = span
    for match in pattern.finditer(markdown, start, end):
        yield start, match.end()
        start = match.end()
    if start < end:
        yield start, end


SPLITTERS: tuple[Splitter, ...] = (split_lines, split_sentences)
