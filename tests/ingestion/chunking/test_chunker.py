"""Markdown becomes chunks: paths, whole fences, exact offsets, and a budget that is never exceeded."""

from __future__ import annotations

import random
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, pre_tokenizers

from ingestion import markdown_outline
from ingestion.chunking.chunker import chunk
from ingestion.chunking.token_counter import TokenCounter
from ingestion.extraction.extract import extract
from ingestion.types import Extracted, Page, TextChunk, embedding_text
from tests.support.growth import calls
from tests.support.tokenizers_of_all_kinds import KINDS, WORDS, built, readable


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return built(request.param)


@pytest.fixture(scope="module")
def word_piece() -> Tokenizer:
    return built("word piece")


def cut(markdown: str, tokenizer: Tokenizer, max_tokens: int = 64, title: str = "Tea") -> list[TextChunk]:
    """Return the chunks, after checking what must hold for all of them."""
    found = chunk(Extracted(title, markdown), tokenizer=tokenizer, max_tokens=max_tokens)
    for part in found:
        assert markdown[part.start : part.end] == part.text
        assert part.text.strip()
        assert part.tokens == len(tokenizer.encode(readable(embedding_text(part.heading, part.shown))).ids)
        assert part.tokens <= max_tokens
        assert len(part.shown.encode(errors="replace")) < 65_535
    for before, after in pairwise(found):
        assert before.end <= after.start
    assert lost(markdown, found) == ""
    return found


def lost(markdown: str, found: list[TextChunk]) -> str:
    """Return what no chunk holds, except white space and the lines of headings."""
    rest = list(markdown)
    for part in found:
        rest[part.start : part.end] = " " * (part.end - part.start)
    blocks = (block for block in markdown_outline.blocks(markdown) if block.kind != markdown_outline.HEADING)
    return "".join("".join(rest[block.start : block.end]) for block in blocks).strip()


def prose(words: int, seed: int = 1) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + rng.choice(["", "", "", ","]) for _ in range(words)) + "."


def texts(found: list[TextChunk]) -> list[str]:
    return [part.text for part in found]


# --- Headings --------------------------------------------------------------------------------------------

LARGE = prose(20)


def test_a_chunk_carries_the_path_of_its_headings_and_their_anchor(word_piece: Tokenizer) -> None:
    markdown = f"{LARGE}\n\n# Tea\n\n{LARGE}\n\n## Green `sencha`\n\n### Steps\n\n{LARGE}\n\n## Black\n\n{LARGE}\n"
    anchors = {"Tea › Black": "black-tea"}
    found = chunk(Extracted("Tea", markdown, anchors=anchors), tokenizer=word_piece, max_tokens=64)
    assert [(part.heading, part.text, part.anchor) for part in found] == [
        ("Tea", LARGE, ""),
        ("Tea", LARGE, ""),
        ("Tea › Green sencha › Steps", LARGE, ""),
        ("Tea › Black", LARGE, "black-tea"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("## `save(*args, **kwargs)` ##", "save(*args, **kwargs)"),
        ("## A *fine* **cup** of C#", "A fine cup of C#"),
        ("## [Tea](/tea) \\# 1 {#tea}", "Tea # 1"),
        ("## Cups {: .green #tea}", "Cups"),
        ("## Cups {-}", "Cups"),
        ("## GET /teas/{teaId}", "GET /teas/{teaId}"),
        ("## `interface{}`", "interface{}"),
        ("## {% load %}", "{% load %}"),
    ],
)
def test_a_path_holds_words_without_markup(line: str, words: str, word_piece: Tokenizer) -> None:
    assert [part.heading for part in cut(f"{line}\n\nText.", word_piece)] == [f"Tea › {words}"]


def test_a_hash_inside_a_fence_is_no_heading(word_piece: Tokenizer) -> None:
    found = cut("# Tea\n\n~~~sh\n# comment\n```\n~~~\n\n- item\n\n  ```\n# still code\n  ```\n", word_piece, 320)
    assert {part.heading for part in found} == {"Tea"}


def test_headings_and_fences_may_touch(word_piece: Tokenizer) -> None:
    found = cut("# Tea\n## Green\n### Cold\n```\na\n```\n```\nb\n```\n", word_piece)
    assert [(part.heading, part.text) for part in found] == [
        ("Tea › Green › Cold", "```\na\n```\n```\nb\n```"),
    ]


def test_a_heading_with_nothing_under_it_is_kept(word_piece: Tokenizer) -> None:
    found = cut(f"# Tea\n\n## Green\n\n## Black\n\n{LARGE}\n", word_piece)
    assert [(part.heading, part.text) for part in found] == [("Tea › Green", "## Green"), ("Tea › Black", LARGE)]


def test_a_long_path_leaves_room_for_the_text(tokenizer: Tokenizer) -> None:
    titles = [prose(12, seed) for seed in range(4)]
    markdown = "\n\n".join(f"{'#' * (level + 1)} {title}" for level, title in enumerate(titles)) + "\n\n" + prose(60)
    found = cut(markdown, tokenizer, 64, title=titles[0].rstrip("."))
    assert all(len(tokenizer.encode(part.heading, add_special_tokens=False).ids) <= 64 // 4 + 1 for part in found)


# --- Sections that share a chunk -------------------------------------------------------------------------


def shared(markdown: str, tokenizer: Tokenizer, **anchors: str) -> list[tuple[str, str, str]]:
    paths = {path.replace("_", " › "): anchor for path, anchor in anchors.items()}
    found = chunk(Extracted("Tea", markdown, anchors=paths), tokenizer=tokenizer, max_tokens=64)
    return [(part.heading, part.text, part.anchor) for part in found]


def test_small_siblings_share_a_chunk_under_their_parent_s_path(word_piece: Tokenizer) -> None:
    siblings = "### Sencha\n\nSteep.\n\n### Matcha\n\nWhisk."
    markdown = f"# Tea\n\n{LARGE}\n\n## Green\n\n{siblings}\n\n## Black\n\n{LARGE}\n"
    found = shared(markdown, word_piece, Tea_Green_Sencha="sencha", Tea_Green="green")
    assert found[1] == ("Tea › Green", siblings, "sencha")


def test_small_sections_share_the_chunk_of_the_small_text_above_them(word_piece: Tokenizer) -> None:
    below = "Two ways.\n\n### Sencha\n\nSteep."
    markdown = f"# Tea\n\n{LARGE}\n\n## Green\n\n{below}\n\n## Black\n\n{LARGE}\n"
    assert shared(markdown, word_piece, Tea_Green="green")[1] == ("Tea › Green", below, "green")


def test_a_small_page_is_one_chunk(word_piece: Tokenizer) -> None:
    markdown = "# Tea\n\n## Green\n\n### Sencha\n\nSteep.\n\n## Black\n\nBoil.\n"
    assert shared(markdown, word_piece) == [("Tea", markdown[7:].strip(), "")]


def test_sections_are_not_merged_with_those_of_another_parent(word_piece: Tokenizer) -> None:
    markdown = f"# Tea\n\n## Green\n\n{LARGE}\n\n### Sencha\n\nSteep.\n\n## Black\n\nBoil.\n"
    assert [found[0] for found in shared(markdown, word_piece)] == [
        "Tea › Green",
        "Tea › Green › Sencha",
        "Tea › Black",
    ]


@pytest.mark.parametrize("sizes", [(3, 45, 3), (45, 3, 45)])
def test_a_section_that_is_not_small_stays_alone(sizes: tuple[int, ...], word_piece: Tokenizer) -> None:
    markdown = "# Tea\n\n" + "\n\n".join(f"## Cup {n}\n\n{prose(size)}" for n, size in enumerate(sizes))
    assert [part.heading for part in cut(markdown, word_piece, 200)] == [f"Tea › Cup {n}" for n in range(3)]


def test_small_sections_are_merged_up_to_a_share_of_the_budget(word_piece: Tokenizer) -> None:
    found = cut("# Tea\n\n" + "\n\n".join(f"## Cup {n}\n\nA small cup." for n in range(40)), word_piece, 200)
    assert all(50 < part.tokens <= 200 * 0.45 + 5 for part in found[:-1])


def test_without_a_common_heading_nothing_is_merged(word_piece: Tokenizer) -> None:
    assert len(cut("# Green\n\nSteep.\n\n# Black\n\nBoil.\n", word_piece, title="")) == 2


def test_no_chunk_ends_with_a_heading(word_piece: Tokenizer) -> None:
    small = "\n\n".join(f"## Cup {n}\n\nA small cup." for n in range(3))
    markdown = f"# Tea\n\n{small}\n\n## Pot\n\n### Lid\n\n{prose(40)}\n\n## Spoon\n\n### Long\n\nStirs.\n"
    found = cut(markdown, word_piece, 150)
    assert [part.heading for part in found] == ["Tea", "Tea › Pot › Lid", "Tea › Spoon › Long"]
    assert texts(found)[0] == small


# --- Blocks ------------------------------------------------------------------------------------------------


def fence(lines: int, indent: str = "") -> str:
    return "\n".join([f"{indent}```python", *(f"{indent}cup({n})\n" for n in range(lines)), f"{indent}```"])


def test_a_fence_that_fits_stays_whole(tokenizer: Tokenizer) -> None:
    for before in range(0, 60, 7):
        code = fence(5)
        found = cut(f"# Tea\n\n{prose(before)}\n\n{code}\n\n{prose(40)}", tokenizer, 100)
        assert any(code in text for text in texts(found))


def test_a_table_that_fits_stays_whole(word_piece: Tokenizer) -> None:
    table = "| pot | cup |\n| --- | --- |\n| one | two |\n| three | four |"
    for before in range(20, 60, 5):
        assert any(table in text for text in texts(cut(f"{prose(before)}\n{table}\n{prose(30)}", word_piece, 64)))


@pytest.mark.parametrize("lead", ["Pour it like this:", "**Note**", "**Warning:**", "1. Pour.\n2. Wait for this:"])
@pytest.mark.parametrize("follows", [fence(3), "| a | b |\n| --- | --- |\n| 1 | 2 |", "- one\n- two", prose(12, 7)])
def test_what_announces_something_stays_with_it(lead: str, follows: str, word_piece: Tokenizer) -> None:
    kept = lead.split("\n")[-1] + "\n\n" + follows
    for before in range(20, 50, 6):
        found = cut(f"{prose(before)}\n\n{lead}\n\n{follows}\n\n{prose(40)}", word_piece, 64)
        assert any(kept in text for text in texts(found))


def test_the_last_sentence_of_a_paragraph_stays_with_the_code_that_it_announces(word_piece: Tokenizer) -> None:
    found = cut(f"{prose(30)} {prose(10)} Pour it:\n\n{fence(7)}", word_piece, 64)
    assert found[-1].text == f"Pour it:\n\n{fence(7)}"


def test_a_list_item_stays_with_what_is_nested_in_it(word_piece: Tokenizer) -> None:
    items = [f"- {prose(8, n)}\n\n  {prose(6, n)}\n\n{fence(2, '  ')}" for n in range(6)]
    found = cut("\n\n".join(items), word_piece, 90)
    assert all(any(item in text for text in texts(found)) for item in items)


def test_a_list_is_cut_between_its_items(word_piece: Tokenizer) -> None:
    items = [f"- {prose(9, n)}\n  {prose(4, n)}\n  - {prose(5, n)}" for n in range(9)]
    found = cut("\n".join(items), word_piece, 64)
    assert all(part.text.startswith("- ") for part in found)


def test_a_fence_over_the_budget_is_cut_at_blank_lines_first(word_piece: Tokenizer) -> None:
    parts = [f"def cup_{n}():\n    pour({n})\n\n    drink({n})" for n in range(9)]
    found = cut("```python\n" + "\n\n\n".join(parts) + "\n```", word_piece, 64)
    assert all(part.text.lstrip("`python\n").startswith(("def", "    drink")) for part in found)
    assert all(part.text.rstrip("`\n").endswith(")") for part in found)


def test_a_fence_without_blank_lines_is_cut_at_statements(word_piece: Tokenizer) -> None:
    parts = [f"  pour_{n}(\n    kettle={n},\n    cup={n},\n  )" for n in range(12)]
    found = cut("  ```\n" + "\n".join(parts) + "\n  ```", word_piece, 64)
    assert len(found) > 2
    assert all(part.text.removeprefix("  ```\n").startswith("  pour") for part in found)


def test_the_first_and_last_line_of_a_fence_do_not_stand_alone(word_piece: Tokenizer) -> None:
    for lines in range(12, 40):
        found = cut(
            f"{prose(15)}\n\n```python\n" + "\n\n".join(f"cup({n})" for n in range(lines)) + "\n```", word_piece
        )
        assert not any(part.text.endswith("```python") or part.text == "```" for part in found)


def test_a_fence_over_the_budget_keeps_its_indentation(word_piece: Tokenizer) -> None:
    code = "```python\n" + "".join(f"    cup_{n} = kettle.pour({n})\n" for n in range(60)) + "```"
    found = cut(code, word_piece)
    assert len(found) > 5
    assert all(part.text.startswith(("```", "    cup_")) for part in found)


@pytest.mark.parametrize("row", ["| cup {n} | pot. Pan {n} |", "cup {n}  pot. Pan {n}"], ids=["pipes", "drawn"])
def test_a_table_over_the_budget_is_cut_between_rows(row: str, word_piece: Tokenizer) -> None:
    head = "| a | b |\n| - | - |" if row.startswith("|") else "====== ======\na      b\n====== ======"
    rows = [row.format(n=n) for n in range(40)]
    found = cut(head + "\n" + "\n".join(rows), word_piece)
    assert found[0].text.startswith(f"{head}\n{rows[0]}\n")
    assert "\n".join(texts(found)) == head + "\n" + "\n".join(rows)


def test_a_long_paragraph_is_cut_after_sentences(word_piece: Tokenizer) -> None:
    found = cut(" ".join(f"{prose(7, n)} e.g. {prose(2, n)}".replace(".", "", 1) for n in range(30)), word_piece)
    assert len(found) > 3
    assert all(part.text.endswith(".") and not part.text.endswith("e.g.") for part in found)


def test_a_chinese_paragraph_is_cut_after_sentences(word_piece: Tokenizer) -> None:
    found = cut("".join("漢字，" * n + "字。" for n in range(1, 12)), word_piece)
    assert len(found) > 2
    assert all(part.text.endswith("。") for part in found)


def test_chunks_are_filled(tokenizer: Tokenizer) -> None:
    sections = (f"## Cup {n}\n\n{prose(150, n)}\n\n{fence(8)}\n\n- {prose(5)}\n- {prose(70)}" for n in range(5))
    found = cut("\n\n".join(sections), tokenizer)
    assert sum(part.tokens for part in found) / len(found) > 64 / 2


def test_the_last_chunk_of_a_section_is_no_scrap(word_piece: Tokenizer) -> None:
    for sentences in range(5, 40):
        sizes = [part.tokens for part in cut(" ".join(prose(5, n) for n in range(sentences)), word_piece, 128)]
        assert min(sizes) > max(sizes) / 2


# --- Hostile input -----------------------------------------------------------------------------------------

PIECES = ["# a\n", "## b `c`\n", "```\n", "~~~ py\n", "    x = 1\n", "\n", "\n\n", "| a | b |\n", "- item\n", "word. ",
          "a:\n\n", "**b**\n\n", "。漢字", "🍵", "e\u0301", " \u0301", "\u200b", "\t", "<b>", "x" * 300, "#", "`", "  ",
          "ﷺ", "\u2028", "\r\n", "\x0b", "\x00", "\x1c", "\ud800", "[SEP]", "<s> ", "1. ", "=" * 9 + "\n"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(
    markdown=st.lists(st.sampled_from([*PIECES, *WORDS, " ", ". "]) | st.text(max_size=9), max_size=250).map("".join),
    max_tokens=st.sampled_from([64, 80, 320]),
    title=st.sampled_from(["", "Tea", prose(40), "<s>", "a\u0301 [SEP]"]),
)
def test_any_mixture_keeps_the_rules(kind: str, markdown: str, max_tokens: int, title: str) -> None:
    found = cut(markdown, built(kind), max_tokens, title=title)
    assert bool(found) == bool(markdown.strip())


@pytest.mark.slow
@pytest.mark.parametrize(
    "markdown",
    [
        "a" * 5_000_000,
        "tea " * 500_000,
        "漢字" * 200_000,
        "🍵" * 100_000,
        "\n" * 1_000_000 + "tea" + " " * 1_000_000 + "cup" + "\n \n" * 300_000,
        "".join(f"{'#' * (1 + n % 6)} Cup {n}\n" for n in range(20_000)),
        "# Tea\n" * 40_000,
        "| " + "tea | " * 170_000,
        "```\n" + "pour()\n" * 40_000,
        "- tea\n\n  ```\n" * 20_000,
        "a:\n\n" * 30_000,
        "x.) " * 50_000 + "'" * 200_000,
    ],
    ids=lambda markdown: repr(markdown[:9]),
)
def test_megabytes_are_cut(markdown: str, word_piece: Tokenizer) -> None:
    found = chunk(Extracted("Tea", markdown), tokenizer=word_piece, max_tokens=320)
    assert all(part.tokens <= 320 and len(part.text.encode()) < 65_535 for part in found)
    assert lost(markdown, found) == ""


@pytest.mark.parametrize(
    ("before", "line", "most"),
    [("", "a\n", 25), ("", "|a\n", 30), ("", "a. ", 20), ("```\n", "a\n", 35), ("", "a\n\n", 36), ("", "# a\n", 65)],
)
def test_the_shortest_of_lines_cost_few_calls_each(before: str, line: str, most: int, word_piece: Tokenizer) -> None:
    """There are pages of megabytes of them, and a call takes a tenth of a microsecond or more."""
    text = Extracted("Tea", before + line * 4000)
    assert calls(lambda: chunk(text, tokenizer=word_piece, max_tokens=320)) < most * 4000


@pytest.mark.parametrize(("line", "most"), [("a\n", 300), ("a\n\n", 300), ("# a\n", 500)])
def test_the_shortest_of_lines_take_few_bytes_each(line: str, most: int, word_piece: Tokenizer) -> None:
    """A worker has 150 MB for a page of half a million of them."""
    text = Extracted("Tea", line * 20_000)
    tracemalloc.start()
    chunk(text, tokenizer=word_piece, max_tokens=320)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < most * 20_000


@pytest.mark.parametrize("title", ["Tea", "x" * 150, "tea " * 200])
def test_one_long_word_has_no_other_chunk_counted_whole(
    title: str, word_piece: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    count = TokenCounter.count

    def noted(self: TokenCounter, texts: list[str], *, special: bool = False) -> list[int]:
        counted.extend(texts)
        return count(self, texts, special=special)

    markdown = "x" * 200 + "\n\n" + f"# Pot\n\n{prose(60)}\n\n" * 40
    monkeypatch.setattr(TokenCounter, "count", noted)
    found = cut(markdown, word_piece, title=title)
    assert len(found) > 40
    assert sum(text.endswith(part.text) for text in counted for part in found if len(part.text) > 100) <= 2


@pytest.mark.parametrize(
    ("markdown", "title"),
    [
        ("tea " * 9 + "x" * 300, "Tea"),  # one unknown word, but more than one slice
        ("tea " * 9, "x" * 150),
        ("a-" * 60, "Tea"),  # a word over the budget
        ("tea " * 90, "Tea a\u0301 <mask> "),
        (" tea\n" * 90, "<mask>"),
        (f"# <mask>\n\n{'tea ' * 30}\n\n## a <mask>\n\n{'tea ' * 30}", ""),
    ],
)
def test_words_that_do_not_add_up_are_counted_together(markdown: str, title: str) -> None:
    marked = Tokenizer.from_str(built("unigram").to_str())
    marked.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    marked.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True)])
    for tokenizer in (built("word piece"), marked):
        assert cut(markdown, tokenizer, 64, title=title)


def test_a_character_that_is_over_the_budget_is_left_out(word_piece: Tokenizer) -> None:
    found = chunk(Extracted("", "tea ﷺ cup"), tokenizer=built("unigram"), max_tokens=6)
    assert "".join(texts(found)).replace(" ", "") == "teacup"


@pytest.mark.parametrize("markdown", ["", "\n", " \n\t\n ", "\u2028\x1c"])
def test_white_space_has_no_chunks(markdown: str, word_piece: Tokenizer) -> None:
    assert chunk(Extracted("Tea", markdown), tokenizer=word_piece, max_tokens=320) == []


def test_a_page_keeps_its_anchors_through_both_stages(word_piece: Tokenizer) -> None:
    body = "<main><h1 id=t>Tea</h1><p>{0}</p><section id=g><h2>Green <i>one</i></h2><p>{0}</p></section></main>"
    page = extract(Page("https://docs.example/tea", body.format(prose(99)).encode(), "text/html"))
    found = chunk(page, tokenizer=word_piece, max_tokens=320)
    assert [(part.heading, part.anchor) for part in found] == [("Tea", "t"), ("Tea › Green one", "g")]
