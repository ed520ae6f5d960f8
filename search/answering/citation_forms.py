"""The ways in which models write citations, and whether numbers in brackets are one.

Asked for [1], models also write 【1†source】, [Document 1], [1-3], [^1], [[1]](address) and more. In: text and a
position in it. Out: a ``Form`` with the passages that it names. Numbers in brackets are no citations everywhere:
``argv[2]``, "ports [80, 443]", "- [1] first" stay as they are (``cited`` is None). Where a form or a number can only be
meant as a citation, of a passage that does not exist, nothing is to be left of it (``cited`` is empty).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# An answer is made of at most so many passages: a larger number was never meant to be one of them.
LARGEST = 20
# More than this of the text before a form never decides.
BEFORE_CHARS = 60
# Stands in that text for a citation; what follows one directly is another.
CITED = "\0"

WORD = r"(?:documents?|docs?|sources?|refs?|references?|passages?|citations?|cite|chunks?|excerpts?|extracts?)"
ITEM = rf"(?:{WORD}\s{{0,2}}[:#._-]?\s{{0,2}})?[#^]?\d{{1,3}}"
JOIN = r"(?:\s{0,2}(?:,\s{0,2}(?:and|&)|[,;、，；&–—‑-]|and|und|et|y|to|bis)\s{0,2})"
ITEMS = rf"{ITEM}(?:{JOIN}{ITEM}){{0,9}}"
# What some add: the source's name or lines, a part of the source, a page.
REMARK = (
    r"(?:\s?[†‡][^\[\]【】\n]{0,60}|:\d{1,3}(?:†[^\[\]【】\n]{0,60})?|,\s?(?:pp?\.|lines?|section)\s?[\w.–-]{1,12})"
)
INSIDE = rf"\s{{0,3}}(?:see\s|cf\.?\s)?{ITEMS}{REMARK}?\^?\s{{0,3}}"
ENCLOSED = "|".join(
    f"{opening}{INSIDE}{closing}"
    for opening, closing in (
        (r"\[", r"\]"), (r"\[\[", r"\]\]"), (r"\\\[", r"\\\]"), ("[【［〔]", "[】］〕]"), (rf"\((?={WORD})", r"\)"),
        (r"<sup>\[?", r"\]?</sup>"),
    )
)  # fmt: skip
# A model may make a link of a citation; where it leads is not for readers.
ADDRESS = r"\((?:https?:|#|/|www\.|<)[^()\s]{0,120}\)"
FORM = re.compile(
    rf"[ \t]?(?P<around>\*\*|<cite>|<ref>)?(?P<core>{ENCLOSED})(?:{ADDRESS})?(?(around)(?:\*\*|</cite>|</ref>))", re.I
)
START = (
    r"[ \t]?(?:\*\*|<cite>|<ref>)?(?:\\?\[|[【［〔]|\((?=[a-z]|\Z)|<(?=sup|\Z))"
    r"|[ \t]\Z|[ \t]?(?:\\|\*\*?|<[a-z]{0,4})\Z"
)
# What may become a form with more text.
BEGINNING = re.compile(
    r"[ \t]?(?:\*\*?|<[a-z]{0,4}>?)?"
    r"(?:\\?(?:\[\[?[^\[\]\n]{0,80}\n?[ \t]{0,2}(?:\\|\]\*?|\]<[/a-z]{0,5})?)?"
    r"|[【［〔][^】］〕\n]{0,80}"
    r"|\((?:[a-z]{0,10}(?:\s?(?:\d[^()\n]{0,60})?)?)?"
    r"|<sup>[^<\n]{0,40}<?/?s?u?p?)?\Z",
    re.IGNORECASE,
)
ITEMS_IN = re.compile(ITEMS, re.I)
RANGE = re.compile(r"(\d{1,3})\s*(?:[–—‑-]|to|bis)\D{0,14}(\d{1,3})", re.I)
# A form that cannot be anything but a citation.
CERTAIN = re.compile(rf"{WORD}|[\^†【〔［]|<sup>|\[\[", re.I)

# Directly behind one of these names, or one letter, brackets are an index.
INDEXED = re.compile(
    r"(?:\b(?:\w|argv?s?|params?|arr|array|list|lst|items?|rows?|cols?|data|values?|vals?|elements?|results?|matrix|tuple"
    r"|dict|map|self)|[\])}'\"])\Z"
)
# Behind these stands a value, not its source.
BEFORE_VALUE = re.compile(
    r"(?:\s[<>]|[=≤≥∈+%]|\b(?:returns?|returned|yields?|prints?|outputs?|equals?|gives|contains?|evaluates to|like"
    r"|such as|range|interval|array|tuple|vector|shape|indices|values?|ports?|codes?|numbers|retry on|e\.g\.))\Z",
    re.I,
)
# Behind these stands a citation ("as said in [1]") or a value ("in [7]"): what exists decides.
BEFORE_EITHER = re.compile(r"\b(?:in|on|of|to|from|with|than|at|by|is|are|be|since|until|list|set|and|or)\Z", re.I)
LIST_MARK = re.compile(r"(?:^|\n)[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+\Z")


@dataclass(frozen=True, slots=True)
class Form:
    """What looks like a citation: where it ends, the passages that it cites, and whether a space precedes it."""

    end: int
    cited: list[int] | None
    spaced: bool


def form_at(text: str, at: int, before: str, passages: int) -> Form | None:
    """Return the citation, or numbers in brackets that may be one, that begins at ``at``; None where none does.

    ``before`` is the end of the text in front of it, ``passages`` the number of passages that can be cited.
    """
    found = FORM.match(text, at)
    if not found:
        return None
    space = found[0][:1] if found[0][0] in " \t" else ""
    items = ITEMS_IN.search(found["core"])
    numbers = numbers_in(items[0] if items else "")
    known = [number for number in numbers if 1 <= number <= passages]
    if found["around"] or before.endswith(CITED) or CERTAIN.search(found["core"]):
        return Form(found.end(), known, bool(space))
    after = text[found.end() : found.end() + 1]
    is_range = bool(RANGE.search(found["core"]))
    is_text = (
        not_of_documents(numbers, passages, is_range=is_range)
        or is_value(before, space, after, known)
        or (LIST_MARK.search(before + space) and after == " ")
    )
    return Form(found.end(), None if is_text else known, bool(space))


def not_of_documents(numbers: list[int], passages: int, *, is_range: bool) -> bool:
    """Return whether these numbers cannot be meant as numbers of passages, which are counted from 1.

    So it is where one is 0 or far too large, or a range ends behind the last of the ``passages``.
    """
    return not all(0 < number <= max(LARGEST, passages) for number in numbers) or (is_range and max(numbers) > passages)


def is_value(before: str, space: str, after: str, known: list[int]) -> bool:
    """Return whether the text around brackets shows that they hold a value or an index, and no citation.

    ``space`` is the white space in front of them, ``known`` are those of the numbers that passages have.
    """
    if not space and before[-1:] and (before[-1].isalnum() or before[-1] in "_)]}'\""):
        return not known or bool(INDEXED.search(before)) or after.isalnum() or after in ("[", "(", "_")
    bare = before.rstrip()
    return bool(BEFORE_VALUE.search(bare)) or (not known and bool(BEFORE_EITHER.search(bare)))


def numbers_in(items: str) -> list[int]:
    """Return the numbers of a list, with those between the ends of a range."""
    found: list[int] = []
    for part in re.split(r"[,;、，；&]|\b(?:and|und|et|y)\b", items):
        ends = RANGE.search(part)
        if ends and int(ends[1]) < int(ends[2]) <= int(ends[1]) + LARGEST:
            found += range(int(ends[1]), int(ends[2]) + 1)
        else:
            found += map(int, re.findall(r"\d+", part))
    return list(dict.fromkeys(found))
