"""A passage's Markdown → plain sentences and blocks of code, for answers and previews.

Prose is cut into sentences, without markup; a block of code stays whole. What is code comes out as it went in, between
backticks (``code_marks``). Where Markdown might be read as emphasis or as a link but looks like code (``__init__``,
``2**10``, ``calls[0](x)``), the marks stay.

Sentences are sentencex', which knows abbreviations ("e.g. Redis", "v. 2.0") in the text's language: on 200 passages of
documentation no wrong cut in 422, 0.03 ms a passage. pysbd cut ".txt, .rst" and "<!--" apart and took 4.0 ms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import sentencex
from markdown_it import MarkdownIt

from ingestion.words.language import Language, language_of
from search.code_marks import as_code, open_run, unpadded

if TYPE_CHECKING:
    from markdown_it.token import Token

PREVIEW_CHARS = 240
# Markup and addresses of links are rarely three times as long as the text.
PREVIEW_SOURCE_CHARS = 4 * PREVIEW_CHARS
# A preview takes 0.5 ms to make; popular passages are found again and again. 1.5 kB each.
PREVIEWS_KEPT = 5_000

# sentencex does not end a sentence before these, as is right after a full stop that may belong to an abbreviation.
BEHIND_IDEOGRAPHIC_STOP = re.compile(r"(?<=[。！？])[a-z0-9]")
SPACES = re.compile(r"\s+")
WORD_CHARACTER = re.compile(r"[A-Za-z0-9_]")
IDENTIFIER = re.compile(r"\w+")
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


class Unit(NamedTuple):
    """A sentence, a whole block of code, or a row of a table; ``text`` has code between backticks, ``plain`` it bare.

    ``kind`` is "sentence", "item" (a sentence of a list), "row" or "code"; ``mark`` is what begins a list's item.
    Units of one paragraph, list or table have the same ``block``. ``heading`` is the last one above it in the passage.
    """

    text: str
    plain: str
    is_code: bool
    kind: str = "sentence"
    mark: str = ""
    block: int = 0
    heading: str = ""


class Piece(NamedTuple):
    """A part of a line: prose without its marks, or code as it was."""

    text: str
    is_code: bool


def preview(markdown: str) -> str:
    """Return the beginning of a passage as plain text."""
    return preview_of(markdown[:PREVIEW_SOURCE_CHARS])


@lru_cache(PREVIEWS_KEPT)
def preview_of(beginning: str) -> str:
    """Return the preview of a passage that begins so."""
    text = " ".join(u.plain for u in units(beginning))
    return shortened(" ".join(text.split()), PREVIEW_CHARS)


def units(markdown: str) -> Iterator[Unit]:
    """Yield sentences, blocks of code and rows of tables, in order, without markup; headings are in the units."""
    tokens = reader().parse(markdown)
    language = language_of(" ".join(token.content for token in tokens if token.type == "inline"))
    cells: list[list[Unit]] = []
    heading, mark, block, depth = "", "", 0, 0
    for at, token in enumerate(tokens):
        block += token.level == 0 and token.nesting >= 0
        place: dict[str, Any] = {"block": block, "heading": heading}
        match token.type:
            case "heading_open":
                heading = " ".join(unit.plain for unit in inline_units(tokens[at + 1], language))
            case "list_item_open":
                number = f"{token.info}{token.markup} " if token.info else "- "
                mark = "  " * depth + number
                depth += 1
            case "list_item_close":
                depth -= 1
            case "fence" | "code_block":
                yield from (unit._replace(**place) for unit in block_of_code(token.content))
            case "html_block":
                yield from (
                    unit._replace(**place) for unit in sentences([Piece(token.content, is_code=False)], language)
                )
            case "tr_open":
                cells = []
            case "tr_close":
                yield row_of(cells)._replace(**place)
            case "inline" if tokens[at - 1].type in ("th_open", "td_open"):
                cells.append(list(inline_units(token, language)))
            case "inline" if tokens[at - 1].type != "heading_open":
                for unit in inline_units(token, language):
                    yield unit._replace(**place, kind="item" if depth else "sentence", mark=mark)
                    mark = ""


def inline_units(token: Token, language: Language) -> Iterator[Unit]:
    """Yield the sentences of a line."""
    yield from sentences(list(pieces(token.children or [])), language)


def row_of(cells: list[list[Unit]]) -> Unit:
    """Return the row of a table as one unit."""
    texts = [" ".join(unit.text for unit in cell) for cell in cells]
    plain = " ".join(unit.plain for cell in cells for unit in cell)
    return Unit(f"| {' | '.join(texts)} |", plain, is_code=False, kind="row")


@cache
def reader() -> MarkdownIt:
    """Return a parser of CommonMark with tables.

    Headings are left out of answers, and a line of dashes below a sentence must not make it one.
    """
    return MarkdownIt("commonmark").enable("table").disable("lheading")


def block_of_code(code: str) -> Iterator[Unit]:
    """Yield a block of code as one unit, without empty lines around it; nothing for an empty block."""
    lines = code.rstrip().split("\n")
    while lines and not lines[0].strip():
        del lines[0]
    if bare := "\n".join(lines):
        yield Unit(as_code(bare), bare, is_code=True, kind="code")


def pieces(tokens: Sequence[Token]) -> Iterator[Piece]:
    """Yield a line's code as it stands, and its prose without Markdown's marks.

    Marks that may be code stay, as ``kept_marks`` says.
    """
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
    """Return index of a token -> the text of its mark, for marks that are kept because they may be code.

    Such stand within a word, or are underscores around one identifier.
    """
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


def sentences(line: Sequence[Piece], language: Language) -> Iterator[Unit]:
    """Yield the sentences of a line of prose; code is never cut."""
    parts = [p if p.is_code else Piece(SPACES.sub(" ", p.text).replace("`", "'"), is_code=False) for p in line]
    # The same text twice, the second time with a capital for every character of code: no sentence ends with one, and
    # one may begin with it.
    text = "".join(as_code(p.text) if p.is_code else p.text for p in parts)
    masked = "".join("X" * len(as_code(p.text)) if p.is_code else p.text for p in parts)
    start = 0
    for segment in sentencex.segment(language.code, BEHIND_IDEOGRAPHIC_STOP.sub("X", masked)):
        end = start + len(segment)
        if sentence := text[start:end].strip():
            plain = CODE_SPAN.sub(lambda span: unpadded(span[2]), sentence)
            yield Unit(sentence, plain, is_code=bool(CODE_SPAN.fullmatch(sentence)))
        start = end


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
