"""Where Markdown is cut first: between sections, then blocks, items, sentences, lines."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ingestion.chunking.split_points import Cohesion, between_blocks, inside_block

# In the texts "^" marks a split point of the cohesion in question.


def marked(markdown: str, cohesion: Cohesion, *, inside: bool = False) -> str:
    find = inside_block if inside else between_blocks
    text = markdown.replace("^", "")
    for point in reversed(find(f"..\n{text}", 3, 3 + len(text))):
        if point.cohesion == cohesion:
            text = f"{text[: point.offset - 3]}^{text[point.offset - 3 :]}"
    return text


@pytest.mark.parametrize(
    ("cohesion", "markdown"),
    [
        (Cohesion.SECTION, "a\n\n^# Tea\n\n## Green\n\nb\n\n^## Black\n\nc"),
        (Cohesion.LED, "# Tea\n\n^## Green\n\n^b\n\n# Black\n\n^c"),
        (Cohesion.BLOCK, "a\n\n^b\n\n^```\nc\n```\n^d\n^| e |\n\n\n^f"),
        (Cohesion.LED, "For example:\n\n^```\na\n```\n\n**Note**\n\n^b\n\n**Mind:**\n\n^- c\n\n茶：\n\n^d"),
        (Cohesion.BLOCK, "**Note** that this is\n\n^one **thing**\n\n^and another"),
        (Cohesion.NESTED, "- a\n\n^  b\n\n^  ```\n  c\n  ```\n\n- d\n\n^\te"),
        (Cohesion.TAIL, "One. Two. ^Pour:\n\n```\na\n```"),
        (Cohesion.TAIL, "- a\n- b. c\n^- d. e\n\n  f"),
        (Cohesion.TAIL, "- a\n- b. c\n- d. ^e:\n\n  f"),
        (Cohesion.TAIL, "One. ``` a:\n\nTwo. # b:\n\n- c"),
        (Cohesion.TAIL, "a\n\nb:\n\n- c"),
    ],
)
def test_blocks_hold_together(cohesion: Cohesion, markdown: str) -> None:
    assert marked(markdown, cohesion) == markdown


@pytest.mark.parametrize(
    ("cohesion", "markdown"),
    [
        (Cohesion.PART, "```\na\n\n^b\n  c\n\n^  d\n```"),
        (Cohesion.ITEM, "```\na\n^b(\n  c\n)\n^d {\n}\n```"),
        (Cohesion.LINE, "```\na\nb(\n^  c\n^)\nd {\n^}\n```"),
        (Cohesion.EDGE, "```\n^a\nb\n^```"),
        (Cohesion.ITEM, "  ~~~\n  a\n^  b\n    c\n^  d\n  ~~~"),
        (Cohesion.EDGE, "| a |\n^| - |\n^| b |\n| c |"),
        (Cohesion.LINE, "| a |\n| - |\n| b |\n^| c. D |\n^| e |"),
        (Cohesion.LINE, "==== ====\na    b\n==== ====\n^c.   D\n^e    f"),
        (Cohesion.LINE, "+---+\n| a |\n+---+\n^| b |\n^+---+"),
        (Cohesion.PART, "intro\n^- a\n  - b\n  c\n^1. d\n^2) e\n^* f"),
        (Cohesion.ITEM, "- a\n^  - b\n^\t1. c\n- d"),
        (Cohesion.LINE, "- a\n^  b\n^c\n- d"),
        (Cohesion.SENTENCE, 'One, e.g. this. ^Two! ^"Three?" ^(Four.) ^3.5 five.six. ^seven'),
        (Cohesion.SENTENCE, "茶。^茶！^茶？^茶，茶"),
        (Cohesion.SENTENCE, "One.\n^Two\nthree"),
    ],
)
def test_blocks_are_opened_where_it_hurts_least(cohesion: Cohesion, markdown: str) -> None:
    assert marked(markdown, cohesion, inside=True) == markdown


def test_what_cannot_be_cut_has_no_split_points() -> None:
    assert between_blocks("tea", 0, 3) == inside_block("tea", 0, 3) == []


# --- Sentences of every script ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sentences",
    [
        ["यह बहुत सरल है। ", "हरा बटन दबाएँ॥ ", "रुकिए।"],
        ["هل انتهيت؟ ", "نعم. ", "یہ آسان ہے۔ ", "شکریہ۔"],
        ["请先打开阀门。", "是否继续？！", "按下按钮！", "好｡", "完．", "共１．５升。"],
        ["彼は「押して。」", "（はい！）", "『本当？』", "【終わり。】", "と言う。"],
        ["すごい!", "本当?", "はい。"],
        ['He said "stop." ', "(So did I!) ", "“Really?” ", "«Oui.» ", "E.g. this one is whole. ", "End."],
        ["Բարեւ։ ", "ሰላም። ", "សួស្តី។ ", "မင်္ဂလာပါ။ ", "བོད། ", "End."],
        ["Version 1.5 of a.txt is out! ", "Use f(x). ", "End."],
    ],
)
def test_a_sentence_ends_behind_what_closes_it(sentences: list[str]) -> None:
    text = "".join(sentences)
    offsets = [point.offset for point in inside_block(text, 0, len(text)) if point.cohesion is Cohesion.SENTENCE]
    parts = [text[a:b] for a, b in pairwise([0, *offsets, len(text)]) if a < b]
    assert parts == sentences
