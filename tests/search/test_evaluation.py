"""Measures of retrieval, on files in BEIR's formats and on a real index."""

from __future__ import annotations

import json
from io import StringIO
from math import log2
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from ingestion.models import Source
from search.evaluation import evaluate
from search.exceptions import QuestionRefused
from search.questions import Passage
from tests.support.search_services import CACHE, GUIDE


def passage(url: str) -> Passage:
    return Passage(1.0, "", url, "", "", "", 1, "docs", 0)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_the_measures_are_those_of_the_field() -> None:
    qrels = {"a": {"x": 1, "y": 1}, "b": {"z": 2}}
    found = evaluate.measures(qrels, {"a": ["x", "n", "y"], "b": ["n", "z"]})
    ideal = 1 + 1 / log2(3)
    assert found["recall@1"] == 0.25
    assert found["recall@3"] == found["recall@10"] == 1.0
    assert found["mrr@10"] == 0.75
    assert found["map"] == round(((1 + 2 / 3) / 2 + 1 / 2) / 2, 4)
    assert found["ndcg@10"] == round((((1 + 1 / 2) / ideal) + 1 / log2(3)) / 2, 4)


def test_a_query_that_finds_nothing_counts_as_nothing_found() -> None:
    found = evaluate.measures({"a": {"x": 1}, "b": {"x": 1}}, {"a": ["x"], "b": []})
    assert (found["recall@1"], found["ndcg@10"]) == (0.5, 0.5)


def test_a_document_stands_where_its_best_passage_stands() -> None:
    passages = [
        passage(url) for url in ("https://a", "jsonl:c.jsonl#1%2F2", "https://a", "https://linked", "file:///b")
    ]
    names = evaluate.rank(passages, {"file:///b": 1}, {"https://linked": "7"})
    assert names == ["https://a", "1/2", "7", "file:///b"]


def test_qrels_are_read_with_and_without_a_header(tmp_path: Path) -> None:
    with_header = write(tmp_path / "a.tsv", "query-id\tcorpus-id\tscore", "1\tx\t2", "1\ty\t0", "2\tx\t1")
    without = write(tmp_path / "b.tsv", "1\tx\t2", "1\ty\t0", "2\tx\t1")
    assert evaluate.read_qrels(with_header) == evaluate.read_qrels(without) == {"1": {"x": 2}, "2": {"x": 1}}


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [("q.jsonl", '{"_id": "1"}', "line 2"), ("q.jsonl", "no json", "line 2"), ("r.tsv", "1 x 1", "line 2")],
)
def test_a_line_that_cannot_be_used_is_named(name: str, line: str, said: str, tmp_path: Path) -> None:
    good = '{"_id": 1, "text": "What?"}' if name == "q.jsonl" else "1\tx\t1"
    read = evaluate.read_queries if name == "q.jsonl" else evaluate.read_qrels
    with pytest.raises(QuestionRefused, match=said):
        read(write(tmp_path / name, good, line))


@pytest.mark.django_db
def test_a_line_with_a_web_address_is_known_by_its_id(tmp_path: Path) -> None:
    corpus = write(tmp_path / "c.jsonl", '{"_id": 5, "url": "https://a", "text": "x"}', "broken", '{"_id": 6}')
    Source.objects.create(name="corpus", kind="jsonl", target=str(corpus))
    assert evaluate.identifiers() == {"https://a": "5"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    asked = {"m": "How are migrations created?", "c": "Caching in Redis", "unjudged": "Nobody knows?"}
    queries = [json.dumps({"_id": name, "text": text}) for name, text in asked.items()]
    return {
        "queries": write(tmp_path / "queries.jsonl", *queries),
        "qrels": write(tmp_path / "qrels.tsv", f"m\t{GUIDE}\t1", f"c\t{CACHE}\t1"),
    }


def test_the_command_measures_every_mode(index: None, files: dict[str, Path]) -> None:
    out = StringIO()
    call_command("evaluate", **files, json=True, stdout=out, stderr=StringIO())
    figures = json.loads(out.getvalue())
    assert set(figures) == {"hybrid", "dense", "sparse"}
    assert set(figures["dense"]) == {
        "recall@1", "recall@3", "recall@5", "recall@10", "mrr@10", "ndcg@10", "map", "p50_ms",
    }  # fmt: skip
    assert figures["hybrid"]["recall@1"] == figures["dense"]["ndcg@10"] == 1.0


def test_a_source_that_holds_no_answer_answers_nothing(index: None, files: dict[str, Path]) -> None:
    out = StringIO()
    call_command("evaluate", **files, source="Site", json=True, stdout=out, stderr=StringIO())
    assert json.loads(out.getvalue())["hybrid"]["recall@10"] == 0.5


@pytest.mark.usefixtures("rows")
def test_files_that_do_not_fit_together_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    other = write(tmp_path / "other.tsv", "1\tx\t1")
    with pytest.raises(CommandError, match="ids of both files"):
        call_command("evaluate", queries=files["queries"], qrels=other)
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("evaluate", queries=tmp_path / "none", qrels=other)
