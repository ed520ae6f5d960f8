"""Where Markdown is cut first: between sections, then blocks, items, sentences, lines."""

from __future__ import annotations

import pytest

from ingestion.chunking.split_points import Grip, between_blocks, inside_block

# In the texts "^" marks a seam of the grip in question.


def marked(markdown: str, grip: Grip, *, inside: bool = False) -> str:
    find = inside_block if inside else between_blocks
    text = markdown.replace("^", "")
    for seam in reversed(find(f"..\n{text}", 3, 3 + len(text))):
        if seam.grip == grip:
            text = f"{text[: seam.at - 3]}^{text[seam.at - 3 :]}"
    return text


@pytest.mark.parametrize(
    ("grip", "markdown"),
    [
        (Grip.SECTION, "a\n\n^# Tea\n\n## Green\n\nb\n\n^## Black\n\nc"),
        (Grip.LED, "# Tea\n\n^## Green\n\n^b\n\n# Black\n\n^c"),
        (Grip.BLOCK, "a\n\n^b\n\n^```\nc\n```\n^d\n^| e |\n\n\n^f"),
        (Grip.LED, "For example:\n\n^```\na\n```\n\n**Note**\n\n^b\n\n**Mind:**\n\n^- c\n\n茶：\n\n^d"),
        (Grip.BLOCK, "**Note** that this is\n\n^one **thing**\n\n^and another"),
        (Grip.NESTED, "- a\n\n^  b\n\n^  ```\n  c\n  ```\n\n- d\n\n^\te"),
        (Grip.TAIL, "One. Two. ^Pour:\n\n```\na\n```"),
        (Grip.TAIL, "- a\n- b. c\n^- d. e\n\n  f"),
        (Grip.TAIL, "- a\n- b. c\n- d. ^e:\n\n  f"),
        (Grip.TAIL, "One. ``` a:\n\nTwo. # b:\n\n- c"),
        (Grip.TAIL, "a\n\nb:\n\n- c"),
    ],
)
def test_blocks_hold_together(grip: Grip, markdown: str) -> None:
    assert marked(markdown, grip) == markdown


@pytest.mark.parametrize(
    ("grip", "markdown"),
    [
        (Grip.PART, "```\na\n\n^b\n  c\n\n^  d\n```"),
        (Grip.ITEM, "```\na\n^b(\n  c\n)\n^d {\n}\n```"),
        (Grip.LINE, "```\na\nb(\n^  c\n^)\nd {\n^}\n```"),
        (Grip.EDGE, "```\n^a\nb\n^```"),
        (Grip.ITEM, "  ~~~\n  a\n^  b\n    c\n^  d\n  ~~~"),
        (Grip.EDGE, "| a |\n^| - |\n^| b |\n| c |"),
        (Grip.LINE, "| a |\n| - |\n| b |\n^| c. D |\n^| e |"),
        (Grip.LINE, "==== ====\na    b\n==== ====\n^c.   D\n^e    f"),
        (Grip.LINE, "+---+\n| a |\n+---+\n^| b |\n^+---+"),
        (Grip.PART, "intro\n^- a\n  - b\n  c\n^1. d\n^2) e\n^* f"),
        (Grip.ITEM, "- a\n^  - b\n^\t1. c\n- d"),
        (Grip.LINE, "- a\n^  b\n^c\n- d"),
        (Grip.SENTENCE, 'One, e.g. this. ^Two! ^"Three?" ^(Four.) ^3.5 five.six. ^seven'),
        (Grip.SENTENCE, "茶。^茶！^茶？^茶，茶"),
        (Grip.SENTENCE, "One.\n^Two\nthree"),
    ],
)
def test_blocks_are_opened_where_it_hurts_least(grip: Grip, markdown: str) -> None:
    assert marked(markdown, grip, inside=True) == markdown


def test_what_cannot_be_cut_has_no_seams() -> None:
    assert between_blocks("tea", 0, 3) == inside_block("tea", 0, 3) == []
