"""What a language model reads: passages with what stands around them, each text once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from ingestion.chunking import chunker
from ingestion.models import Chunk, Document, Source
from ingestion.types import Extracted
from search.access.caller import OPERATOR
from search.questions import Passage
from search.retrieval.confirmed_hits import ConfirmedHits
from search.retrieval.expansion import expanded
from search.retrieval.folding import Found
from search.retrieval.passages import passages_of
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = pytest.mark.django_db
CODE = "\n".join(f"line_{n} = calculate(first={n}, second={n + 1})" for n in range(24))
PROSE = "\n\n".join(f"Paragraph {n} of the section tells what a reader of part {n} has to know." for n in range(24))
TABLE = "| Option | Meaning |\n| --- | --- |\n" + "\n".join(f"| option_{n} | It is used for {n}. |" for n in range(20))
MARKDOWN = (
    f"# Guide\n\n## Reading\n\n{PROSE}\n\n## Code\n\nRun this:\n\n```python\n{CODE}\n```\n\nThen go on.\n\n"
    f"## Options\n\n{TABLE}\n\n## End\n\nThat is all."
)


@pytest.fixture
def document(model_path: Path) -> Document:
    return stored(make_source(), MARKDOWN, model_path)


def stored(source: Source, markdown: str, model_path: Path, url: str = "file:///docs/a.md") -> Document:
    """A document whose chunks are cut by the real chunker."""
    tokenizer = chunker.load_tokenizer(str(model_path))
    extracted = Extracted("Guide", markdown, anchors={"Guide › Code": "code"})
    document = make_document(source, url, title="Guide", markdown=markdown)
    for position, chunk in enumerate(chunker.chunk(extracted, tokenizer=tokenizer, max_tokens=96)):
        make_chunk(
            document, position, text=chunk.shown, start=chunk.start, end=chunk.end, heading=chunk.heading,
            anchor=chunk.anchor, tokens=chunk.tokens, state=Chunk.State.INDEXED,
        )  # fmt: skip
    return document


def passages(document: Document, *texts: str) -> list[Passage]:
    """The passages of the chunks with these texts, best first."""
    rows = list(document.chunks.all())
    hits = {next(r.key for r in rows if text in r.text): 1.0 / n for n, text in enumerate(texts, 1)}
    found = [Found(score, row) for score, row in ConfirmedHits(OPERATOR, len(rows)).of(hits)]
    return passages_of(found, {})


def test_a_passage_grows_within_its_section_first(document: Document, settings: Settings) -> None:
    settings.ANSWER_PASSAGE_TOKENS = 250
    [hit] = passages(document, "Paragraph 12")
    [whole] = expanded([hit])
    assert whole.text in MARKDOWN and hit.text in whole.text
    assert set(re.findall(r"Paragraph (\d+)", whole.text)) > set(re.findall(r"Paragraph (\d+)", hit.text))
    assert "Code" not in whole.text
    assert (whole.excerpt, whole.position, whole.heading, whole.anchor) == (
        hit.text, hit.position, hit.heading, hit.anchor,
    )  # fmt: skip


def test_it_keeps_to_the_budget(document: Document, settings: Settings) -> None:
    for budget in (1, 100, 200, 400, 4000):
        settings.ANSWER_PASSAGE_TOKENS = budget
        [hit] = passages(document, "Paragraph 12")
        [whole] = expanded([hit])
        used = [row.tokens for row in document.chunks.all() if row.text in whole.text]
        assert sum(used) <= max(budget, used[0]) or whole == hit
    assert whole.text.startswith("Paragraph 0") and "## Code" in whole.text


def test_code_that_was_cut_reads_whole(document: Document, settings: Settings) -> None:
    settings.ANSWER_PASSAGE_TOKENS = 2000
    pieces = [row for row in document.chunks.all() if "line_" in row.text]
    assert len(pieces) > 2
    for piece in pieces:
        [whole] = expanded(passages(document, piece.text))
        assert f"Run this:\n\n```python\n{CODE}\n```\n\nThen go on." in whole.text


def test_a_part_of_cut_code_is_still_code(document: Document, settings: Settings) -> None:
    settings.ANSWER_PASSAGE_TOKENS = 200
    middle = [row for row in document.chunks.all() if "line_" in row.text][1]
    [whole] = expanded(passages(document, middle.text))
    assert len(whole.text) > len(middle.text)
    assert len(re.findall("^```", whole.text, re.MULTILINE)) % 2 == 0


def test_a_part_of_a_cut_table_keeps_its_header(document: Document, settings: Settings) -> None:
    settings.ANSWER_PASSAGE_TOKENS = 200
    last = [row for row in document.chunks.all() if "option_" in row.text][-1]
    [whole] = expanded(passages(document, last.text))
    assert whole.text.count("| Option | Meaning |") == 1
    assert whole.text.startswith("| Option | Meaning |")


def test_hits_of_one_section_become_one_passage(document: Document, settings: Settings) -> None:
    settings.ANSWER_PASSAGE_TOKENS = 220
    first, second = passages(document, "Paragraph 0", "Paragraph 23")
    [whole] = expanded([first, second])
    assert whole.text == PROSE and whole.score == first.score and whole.excerpt == first.text


def test_hits_of_one_section_stay_apart_where_they_are_far_from_each_other(
    document: Document, settings: Settings
) -> None:
    settings.ANSWER_PASSAGE_TOKENS = 100
    assert len(expanded(passages(document, "Paragraph 0", "Paragraph 23"))) == 2


def test_no_text_comes_twice(document: Document, settings: Settings) -> None:
    settings.ANSWER_PASSAGE_TOKENS = 1000
    found = expanded(passages(document, "Paragraph 23", "Run this", "option_19", "That is all"))
    said = "\n".join(passage.text for passage in found)
    for words in ("Paragraph 23", "Run this", "line_23", "option_19", "That is all"):
        assert said.count(words) == 1


def test_another_document_s_chunks_are_no_neighbours(document: Document, settings: Settings, model_path: Path) -> None:
    other = stored(document.source, "# Other\n\nA single section.", model_path, "file:///docs/b.md")
    settings.ANSWER_PASSAGE_TOKENS = 1000
    one, two = expanded([*passages(other, "A single"), *passages(document, "That is all")])
    assert (one.text, two.text) == ("A single section.", "That is all.")


def test_chunks_that_leave_the_index_are_left_out(document: Document, settings: Settings) -> None:
    settings.ANSWER_PASSAGE_TOKENS = 1000
    [hit] = passages(document, "Paragraph 0")
    document.chunks.filter(position=hit.position + 1).update(state=Chunk.State.REMOVING)
    assert expanded([hit]) == [hit]


def test_a_passage_stays_as_it_is_where_the_document_is_newer(document: Document, settings: Settings) -> None:
    settings.ANSWER_PASSAGE_TOKENS = 1000
    hits = passages(document, "Paragraph 12")
    Document.objects.update(markdown=f"New first line.\n\n{MARKDOWN}")
    assert expanded(hits) == hits


def test_nothing_grows_without_a_budget(document: Document, settings: Settings) -> None:
    settings.ANSWER_PASSAGE_TOKENS = 0
    hits = passages(document, "Paragraph 12", "Paragraph 20")
    assert expanded(hits) == hits
    assert expanded([]) == []


def test_two_queries_serve_all_passages(document: Document, settings: Settings) -> None:
    settings.ANSWER_PASSAGE_TOKENS = 300
    hits = passages(document, "Paragraph 12", "option_1", "line_3", "That is all")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        expanded(hits)
    assert len(queries) == 2
