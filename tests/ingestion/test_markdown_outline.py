"""Blocks, sections, paths and parents of Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import markdown_outline
from ingestion.markdown_outline import BLANK, FENCE, HEADING, TABLE, TEXT

PIECES = [
    "# a\n",
    "## b\n",
    "```\n",
    "~~~~ py\n",
    "  ````\n",
    "\n",
    " \n",
    "| a |\n",
    "text\n",
    "- item\n",
    "#x\n",
    "\u2028",
]


def kinds(markdown: str) -> list[tuple[str, str]]:
    return [(block.kind, markdown[block.start : block.end]) for block in markdown_outline.blocks(markdown)]


def test_blocks_are_headings_fences_tables_paragraphs_and_blank_lines() -> None:
    markdown = "# Tea\na\nb\n\n| x |\n| y |\n```py\n# c\n\n```\n \n## Cup"
    assert kinds(markdown) == [
        (HEADING, "# Tea\n"),
        (TEXT, "a\nb\n"),
        (BLANK, "\n"),
        (TABLE, "| x |\n| y |\n"),
        (FENCE, "```py\n# c\n\n```\n"),
        (BLANK, " \n"),
        (HEADING, "## Cup"),
    ]


@pytest.mark.parametrize(
    ("markdown", "fences"),
    [
        ("```\na\n~~~\n```\nb", ["```\na\n~~~\n```\n"]),
        ("````\n```\n````\nb", ["````\n```\n````\n"]),
        ("  ~~~ sh\n  a\n  ~~~~~\nb", ["  ~~~ sh\n  a\n  ~~~~~\n"]),
        ("```\na\n```\n```\nb\n```\n", ["```\na\n```\n", "```\nb\n```\n"]),
        ("```never closed\n# a\n\nb", ["```never closed\n# a\n\nb"]),
        ("```inline``` code\n``\n~~ a", []),
    ],
)
def test_a_fence_ends_where_it_is_closed(markdown: str, fences: list[str]) -> None:
    assert [text for kind, text in kinds(markdown) if kind == FENCE] == fences


@pytest.mark.parametrize("line", ["#hash", "    # code", "#", "# " + "a" * 300, "####### seven", "\u00a0# a", "a # b"])
def test_other_lines_with_a_hash_are_text(line: str) -> None:
    assert [kind for kind, _ in kinds(line)] == [TEXT]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5)).map("".join))
def test_blocks_have_no_gaps(markdown: str) -> None:
    found = markdown_outline.blocks(markdown)
    assert "".join(markdown[block.start : block.end] for block in found) == markdown
    assert all(block.start < block.end for block in found)


def test_sections_know_their_path_and_the_one_above() -> None:
    markdown = "a\n\n# Tea\n\n### Deep\n\n## Green\n\n### Sencha\n\n# Cups\n"
    assert [(section.path, section.parent) for section in markdown_outline.sections(markdown, "Tea")] == [
        ("Tea", ""),
        ("Tea", ""),
        ("Tea › Deep", "Tea"),
        ("Tea › Green", "Tea"),
        ("Tea › Green › Sencha", "Tea › Green"),
        ("Tea › Cups", "Tea"),
    ]


def test_without_a_title_the_highest_headings_have_none_above() -> None:
    found = [(section.path, section.parent) for section in markdown_outline.sections("# Tea\n\n## Green\n", "")]
    assert found == [("", ""), ("Tea", ""), ("Tea › Green", "Tea")]


def test_long_paths_are_not_repeated_for_each_section() -> None:
    """Tens of thousands of small headings may stand under five long ones."""
    above = "".join(f"{'#' * level} {'x' * 280}{level}\n\n" for level in range(1, 6))
    found = list(markdown_outline.sections(f"{above}###### a\n\nb\n\n###### c\n", "Tea"))
    third = f"Tea › … › {'x' * 280}3"
    assert (found[3].path, found[3].parent) == (third, "Tea › …")
    assert (found[4].path, found[4].parent) == (f"{third} › {'x' * 280}4", third)
    assert found[6].parent == found[7].parent == found[5].path
    assert all(len(section.path) < 750 for section in found)
    *_, last = markdown_outline.sections("# a\n", "x" * 5000)
    assert last.path == "x" * 300 + " › a"


def test_sections_of_one_path_share_it() -> None:
    paths = [section.path for section in markdown_outline.sections("# Tea\n\n" + "## Cup\n\na\n\n" * 9, "Tea")]
    assert len(set(map(id, paths[2:]))) == 1


@pytest.mark.parametrize("above", [4000, 4095, 4096, 4097, 40_000])
def test_the_first_heading_may_stand_far_down(above: int) -> None:
    assert markdown_outline.first_heading("a" * (above - 1) + "\n# Tea\nb\n") == "Tea"
    assert markdown_outline.first_heading("```\n# no\n" + "a\n" * above + "```\n# Tea\n") == "Tea"


def test_the_first_heading_may_be_asked_for_by_depth() -> None:
    assert markdown_outline.first_heading("### Deep\n\n# Tea\n", deepest=1) == "Tea"
    assert markdown_outline.first_heading("### Deep\n\n# Tea\n") == "Deep"
    assert markdown_outline.first_heading("text") == ""


def test_the_first_of_equal_paths_keeps_its_anchor() -> None:
    numbers = iter("123")
    assert markdown_outline.anchors("# Tea\n\n## Cup\n\n## Cup\n", "Tea", lambda words: words + next(numbers)) == {
        "Tea": "Tea1",
        "Tea › Cup": "Cup2",
    }
