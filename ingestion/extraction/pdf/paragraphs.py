"""Lines of running text → paragraphs: where one begins, and how lines are joined."""

from __future__ import annotations

import re

from ingestion.extraction.pdf.lines import Line

# A gap so many times as wide as the page's usual one parts paragraphs; within them it varies by a few percent.
PARAGRAPH_GAP = 1.3
# Lines of a paragraph stand no further apart than this many times their height, whatever is usual on the page.
WIDEST_SPACING = 2.0
# A line that begins so many letters' heights further to the right, after the end of a sentence, begins a paragraph.
INDENT = 0.8
# Letters of another height begin a paragraph; footnotes are set at 0.8.
OTHER_SIZE = 0.12

_HYPHEN = "-\u00ad\ufffe"
_BULLET = re.compile(r"[•▪◦‣⁃∙●○■□➢\uf0b7\uf0a7][ \t]*|[–-][ \t]+")
_NUMBERED = re.compile(r"\(?(?:\d{1,3}|[a-z])[.)][ \t]")
_MARKUP = re.compile(r"(?=#{1,6}[ \t]|```|~~~|\|)")
_DIGITS = re.compile(r"\d+")
_ENDS = (".", "!", "?", ":", ";", "。", "！", "？", "：", "；", "।")
# Scripts without spaces between words: Chinese and Japanese, their punctuation and wide forms; Thai, Lao, Khmer.
_CUT_ADDRESS = re.compile(r"https?:\S*/$")  # broken at the end of a line
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffee\U00020000-\U0003ffff]"
)


def begins_item(text: str) -> bool:
    """Return whether a line begins an item of a list."""
    return bool(_BULLET.match(text) or _NUMBERED.match(text))


def begins_paragraph(before: Line, line: Line, usual_gap: float) -> bool:
    """Return whether a line begins a paragraph after the line before it in the same column."""
    gap = before.bottom - line.bottom
    if not 0 < gap <= PARAGRAPH_GAP * min(max(usual_gap, line.size), WIDEST_SPACING * line.size) or begins_item(
        line.text
    ):
        return True
    if abs(before.size - line.size) > OTHER_SIZE * before.size:
        return True
    return line.left - before.left > INDENT * line.size and before.text.endswith(_ENDS) and not begins_item(before.text)


def is_row_like(before: Line, line: Line) -> bool:
    """Return whether two lines differ in their numbers only, as the rows of a table do."""
    return before.text != line.text and _DIGITS.sub("#", before.text) == _DIGITS.sub("#", line.text)


def goes_on(text: str, line: str) -> bool:
    """Return whether the paragraph ``text`` goes on with ``line`` in the next column or on the next page."""
    if not text or not line or text.endswith(_ENDS):
        return False
    return line[0].islower() or bool(_UNSPACED.match(text[-1]) and _UNSPACED.match(line[0]))


def plain(text: str) -> str:
    """Return the first line of a paragraph, with Markdown's bullet and without accidental markup."""
    bullet = _BULLET.match(text)
    return f"- {text[bullet.end() :]}" if bullet else _MARKUP.sub(r"\\", text, count=1) if _MARKUP.match(text) else text


def joined(lines: list[str]) -> str:
    """Return lines as one; a word that was hyphenated at the end of a line becomes whole."""
    parts: list[str] = []
    last = ""
    for line in lines:
        if last[-1:] in _HYPHEN and last[-2:-1].isalpha() and line[:1].islower():
            parts[-1] = last[:-1]
        elif (
            last and not (_UNSPACED.match(last[-1]) and _UNSPACED.match(line)) and not _CUT_ADDRESS.search(last[-200:])
        ):
            parts.append(" ")
        parts.append(line)
        last = line
    return "".join(parts).replace("\ufffe", "-").replace("\u00ad", "")
