"""A question and its passages -> the sentences that answer best, for sites without a language model.

Chooses by the question's words, rare ones first, within passages that the retriever already ranked by
meaning; generates nothing. Prose is cut into sentences, without markup; a block of code stays whole. What is code comes
out as it went in, between backticks (``code_marks``). Where Markdown might be read as emphasis or as a link but looks
like code (``__init__``, ``2**10``, ``calls[0](x)``), the marks stay.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, NamedTuple

from markdown_it import MarkdownIt

from search.code_marks import as_code, open_run, split_open_code, unpadded

if TYPE_CHECKING:
    from markdown_it.token import Token

# More than three extracts read like the list of passages below them.
EXTRACTS = 3
EXTRACT_CHARS = 600
PREVIEW_CHARS = 240
# Markup and addresses of links are rarely three times as long as the text.
PREVIEW_SOURCE_CHARS = 4 * PREVIEW_CHARS
# A shorter sentence is given its neighbours, because "Yes, it can." answers nothing alone.
SHORT_CHARS = 120
FOLLOWING = 2
# A passage whose best sentence has less than this part of the best score is left to the list.
WORTH = 0.5
# Words of one stem share their beginning: migrate, migrations; index, indexes.
STEM_CHARS = 5
# The words that shape a question in English; words of other languages weigh little by being frequent.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can could do does for from has have how i if in into is it its me my of on or "
        "should so that the their them there these they this those to use using was what when where which who "
        "why will with would you your",
    )
)

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\sa-z])|(?<=[。！？])")
WORD = re.compile(r"[^\W_]+")
SPACES = re.compile(r"\s+")
WORD_CHARACTER = re.compile(r"[A-Za-z0-9_]")
IDENTIFIER = re.compile(r"\w+")
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
# Scripts without spaces: every two neighbouring characters count as a word.
SPACELESS = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Extract:
    """Sentences of one passage, and the passage's number."""

    text: str
    number: int


class Unit(NamedTuple):
    """A sentence, or a whole block of code; ``text`` has code between backticks, ``plain`` has it bare."""

    text: str
    plain: str
    is_code: bool


class Piece(NamedTuple):
    """A part of a line: prose without its marks, or code as it was."""

    text: str
    is_code: bool


def best_extracts(question: str, texts: Sequence[str], fences: Sequence[str] = ()) -> list[Extract]:
    """Return at most EXTRACTS, in the order of ``texts``; none only when there is no text. ``fences`` are those that
    are open where each text begins."""
    read = [list(units(text, fence)) for text, fence in zip_longest(texts, fences, fillvalue="")]
    wanted = rarity(words(question), [u.text for p in read for u in p])
    scored = [(best_unit(p, wanted), n) for n, p in enumerate(read, 1) if p]
    best = max((score for (score, _), _ in scored), default=0.0)
    chosen = [(at, n) for (score, at), n in scored if score >= WORTH * best][:EXTRACTS]
    if best == 0.0:
        chosen = chosen[:1]
    return [Extract(around(read[n - 1], at), n) for at, n in chosen]


def preview(markdown: str, fence: str = "") -> str:
    """Return the beginning of a passage as plain text; ``fence`` is the one that is open where it begins."""
    text = " ".join(u.plain for u in units(markdown[:PREVIEW_SOURCE_CHARS], fence))
    return shortened(" ".join(text.split()), PREVIEW_CHARS)


def units(markdown: str, fence: str = "") -> Iterator[Unit]:
    """Yield sentences and blocks of code, in order, without headings and markup."""
    code, rest = split_open_code(markdown, fence)
    yield from block_of_code(code)
    heading = False
    for token in reader().parse(rest):
        match token.type:
            case "heading_open" | "heading_close":
                heading = token.type == "heading_open"
            case "fence" | "code_block":
                yield from block_of_code(token.content)
            case "html_block":
                yield from sentences([Piece(token.content, is_code=False)])
            case "inline" if not heading:
                yield from sentences(list(pieces(token.children or [])))


@cache
def reader() -> MarkdownIt:
    """Return CommonMark with tables; a line of dashes below a sentence must not make it a heading, which is left
    out."""
    return MarkdownIt("commonmark").enable("table").disable("lheading")


def block_of_code(code: str) -> Iterator[Unit]:
    """Yield the block, without empty lines around it."""
    lines = code.rstrip().split("\n")
    while lines and not lines[0].strip():
        del lines[0]
    if bare := "\n".join(lines):
        yield Unit(as_code(bare), bare, is_code=True)


def pieces(tokens: Sequence[Token]) -> Iterator[Piece]:
    """Yield a line's code as it stands, and its prose without marks where they are certainly marks."""
    kept = kept_marks(tokens)
    after_code = False
    for at, token in enumerate(tokens):
        if token.type == "code_inline":
            if after_code:
                yield Piece(" ", is_code=False)
            yield Piece(token.content, is_code=True)
            after_code = True
        elif text := " " if token.type in ("softbreak", "hardbreak") else kept.get(at, token.content):
            yield Piece(text, is_code=False)
            after_code = False


def kept_marks(tokens: Sequence[Token]) -> dict[int, str]:
    """Return the marks that may be code: within a word, or underscores around one identifier."""
    kept: dict[int, str] = {}
    opened: list[int] = []
    for end, token in enumerate(tokens):
        if token.nesting == 1:
            opened.append(end)
        elif token.nesting == -1:
            start = opened.pop()
            before = bool(WORD_CHARACTER.match(tokens[start - 1].content[-1:])) if start else False
            after = bool(WORD_CHARACTER.match(tokens[end + 1].content)) if end + 1 < len(tokens) else False
            inside = "".join(t.content for t in tokens[start + 1 : end])
            if token.type == "link_close" and before:
                kept |= {start: "[", end: f"]({tokens[start].attrGet('href')})"}
            elif token.type != "link_close" and (
                before or after or (token.markup[0] == "_" and IDENTIFIER.fullmatch(inside))
            ):
                kept |= {start: token.markup, end: token.markup}
    return kept


def sentences(line: Sequence[Piece]) -> Iterator[Unit]:
    """Cut a line between sentences, never within code."""
    parts = [p if p.is_code else Piece(SPACES.sub(" ", p.text).replace("`", "'"), is_code=False) for p in line]
    # The same text twice, the second time with a letter for every character of code: no sentence ends with one, and
    # one may begin with it.
    text = "".join(as_code(p.text) if p.is_code else p.text for p in parts)
    masked = "".join("X" * len(as_code(p.text)) if p.is_code else p.text for p in parts)
    ends = [0, *(m.end() for m in SENTENCE.finditer(masked)), len(text)]
    for start, end in pairwise(ends):
        if sentence := text[start:end].strip():
            yield Unit(sentence, bare(sentence), is_code=bool(CODE_SPAN.fullmatch(sentence)))


def bare(sentence: str) -> str:
    """Return it without the backticks around code."""
    return CODE_SPAN.sub(lambda span: unpadded(span[2]), sentence)


def words(text: str) -> set[str]:
    found = (w.casefold() for w in WORD.findall(text))
    return {stem for w in found if w not in STOP_WORDS for stem in stems(w)}


def stems(word: str) -> Iterator[str]:
    if not SPACELESS.search(word):
        yield word[:STEM_CHARS]
        return
    yield from (word[i : i + 2] for i in range(max(1, len(word) - 1)))


def rarity(wanted: set[str], candidates: Sequence[str]) -> dict[str, float]:
    """A word in every candidate tells them apart no better than a stop word."""
    frequency = Counter(w for c in candidates for w in words(c) & wanted)
    return {w: math.log(1 + len(candidates) / frequency[w]) for w in frequency}


def best_unit(passage: Sequence[Unit], wanted: dict[str, float]) -> tuple[float, int]:
    """(score, position) of the first best unit."""
    scores = [score(unit, wanted) for unit in passage]
    best = max(range(len(scores)), key=scores.__getitem__)
    return scores[best], best


def score(unit: Unit, wanted: dict[str, float]) -> float:
    """What the unit says of the question, a little less for every doubling of its length, and half in code,
    which shows how but does not say what."""
    said = words(unit.text)
    weight = (0.5 if unit.is_code else 1) / (1 + 0.1 * math.log2(1 + len(said)))
    return weight * sum(wanted[w] for w in said & wanted.keys())


def around(passage: Sequence[Unit], at: int) -> str:
    """Return the unit, and what follows while it is short or announces something."""
    chosen = [passage[at]]
    for following in passage[at + 1 : at + 1 + FOLLOWING]:
        if not chosen[-1].text.endswith(":") and sum(len(u.text) for u in chosen) >= SHORT_CHARS:
            break
        chosen.append(following)
    return shortened(joined(chosen), EXTRACT_CHARS)


def joined(chosen: Sequence[Unit]) -> str:
    """Return one text, in which code has its own lines."""
    text = chosen[0].text
    for before, unit in pairwise(chosen):
        text += ("\n" if before.is_code or unit.is_code else " ") + unit.text
    return text


def shortened(text: str, size: int) -> str:
    """Return at most about ``size`` characters, whole words, and no code left open."""
    if len(text) <= size:
        return text
    kept = text[:size].rsplit(None, 1)[0]
    run = open_run(kept)
    if run and not open_run(opening := kept.removesuffix(run)):
        kept = opening.rstrip()  # nothing of the code is left
    elif run:
        kept += f" {run}" if kept.endswith("`") else run
    return f"{kept} …"
