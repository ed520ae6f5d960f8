"""Measures of retrieval, on files in BEIR's formats and on a real index."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from io import StringIO
from math import log2
from pathlib import Path

import pytest
from django.conf import settings as project
from django.core.management import CommandError, call_command
from pytest_django import Settings

from ingestion.models import Source
from search.evaluation import question_sets
from search.evaluation.evaluate import ModeResult, compare
from search.evaluation.measures import answer_token_recall, interval, means, measure
from search.evaluation.question_sets import DocumentNames, JudgedQuestion
from search.evaluation.tune import grid
from search.exceptions import QuestionRefused
from search.questions import Passage
from search.retrieval import reranker
from tests.support.search_services import CACHE, GUIDE


def passage(url: str) -> Passage:
    return Passage(1.0, "", url, "", "", "", 1, "docs", 0)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def judged(**relevant: dict[str, int]) -> list[JudgedQuestion]:
    return [JudgedQuestion(name, "?", "", grades) for name, grades in relevant.items()]


def test_the_measures_are_those_of_the_field() -> None:
    found = means(measure(judged(a={"x": 1, "y": 1}, b={"z": 2}), {"a": ["x", "n", "y"], "b": ["n", "z"]}))
    ideal = 1 + 1 / log2(3)
    assert found["recall@1"] == 0.25
    assert found["recall@3"] == found["recall@10"] == 1.0
    assert found["mrr@10"] == 0.75
    assert found["map"] == round(((1 + 2 / 3) / 2 + 1 / 2) / 2, 4)
    assert found["ndcg@10"] == round((((1 + 1 / 2) / ideal) + 1 / log2(3)) / 2, 4)


def test_a_query_that_finds_nothing_counts_as_nothing_found() -> None:
    found = means(measure(judged(a={"x": 1}, b={"x": 1}), {"a": ["x"], "b": []}))
    assert (found["recall@1"], found["ndcg@10"]) == (0.5, 0.5)


@pytest.mark.django_db
def test_a_document_stands_where_its_best_passage_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_sets, "identifiers", lambda: {"https://linked": "7"})
    passages = [
        passage(url) for url in ("https://a", "jsonl:c.jsonl#1%2F2", "https://a", "https://linked", "file:///b")
    ]
    names = DocumentNames().ranked(passages, {"file:///b": 1})
    assert names == ["https://a", "1/2", "7", "file:///b"]


def test_qrels_are_read_with_and_without_a_header(tmp_path: Path) -> None:
    with_header = write(tmp_path / "a.tsv", "query-id\tcorpus-id\tscore", "1\tx\t2", "1\ty\t0", "2\tx\t1")
    without = write(tmp_path / "b.tsv", "1\tx\t2", "1\ty\t0", "2\tx\t1")
    assert question_sets.read_qrels(with_header) == question_sets.read_qrels(without) == {"1": {"x": 2}, "2": {"x": 1}}


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [("q.jsonl", '{"_id": "1"}', "line 2"), ("q.jsonl", "no json", "line 2"), ("r.tsv", "1 x 1", "line 2")],
)
def test_a_line_that_cannot_be_used_is_named(name: str, line: str, said: str, tmp_path: Path) -> None:
    good = '{"_id": 1, "text": "What?"}' if name == "q.jsonl" else "1\tx\t1"
    read = question_sets.read_queries if name == "q.jsonl" else question_sets.read_qrels
    with pytest.raises(QuestionRefused, match=said):
        list(read(write(tmp_path / name, good, line)))


@pytest.mark.django_db
def test_a_line_with_a_web_address_is_known_by_its_id(tmp_path: Path) -> None:
    corpus = write(tmp_path / "c.jsonl", '{"_id": 5, "url": "https://a", "text": "x"}', "broken", '{"_id": 6}')
    Source.objects.create(name="corpus", kind="jsonl", target=str(corpus))
    assert question_sets.identifiers() == {"https://a": "5"}


@pytest.mark.django_db
def test_a_local_file_is_known_by_its_path_below_the_folder(tmp_path: Path) -> None:
    Source.objects.create(name="docs", kind="files", target=str(tmp_path))
    page = tmp_path / "topics" / "how to.txt"
    assert DocumentNames().of(page.as_uri(), {"topics/how to.txt": 1}) == "topics/how to.txt"
    assert DocumentNames().of(page.as_uri(), {"how to.txt": 1}) == page.as_uri()
    assert DocumentNames().of("https://other/topics/how", {"topics/how to.txt": 1}) == "https://other/topics/how"


def test_a_query_may_name_its_answers_and_its_kind(tmp_path: Path) -> None:
    lines = ['{"_id": 1, "text": "What?", "kind": "code", "relevant": {"a.txt": 2}}', '{"_id": 2, "text": "Nobody?"}']
    [question] = question_sets.read_set(write(tmp_path / "q.jsonl", *lines))
    assert question == JudgedQuestion("1", "What?", "code", {"a.txt": 2})


def test_the_projects_own_questions_are_of_every_kind() -> None:
    questions = list(question_sets.read_queries(question_sets.DJANGO))
    kinds = Counter(question.kind for question in questions)
    assert kinds["words"] + kinds["meaning"] >= 120 and kinds["code"] >= 40 and kinds["none"] >= 20
    assert all(bool(question.relevant) == (question.kind != "none") for question in questions)
    assert len({question.id for question in questions}) == len({question.text for question in questions})


def test_an_interval_is_as_wide_as_the_values_differ() -> None:
    assert interval([0.5] * 20) == (0.5, 0.5)
    low, high = interval([0.0, 1.0] * 50)
    assert 0.35 < low < 0.45 and 0.55 < high < 0.65
    assert interval([0.0, 1.0] * 50) == (low, high)


def result(**ndcg: float) -> ModeResult:
    return ModeResult("hybrid", {name: {"ndcg@10": value, "recall@5": 1.0} for name, value in ndcg.items()}, [1.0])


def test_a_result_is_compared_with_its_baseline_question_by_question() -> None:
    changes = {c.measure: c for c in compare([result(a=0.5, b=1.0, new=0.0)], {"hybrid": result(a=1.0, b=1.0).values})}
    assert changes["ndcg@10"].difference == -0.25
    assert (changes["ndcg@10"].low, changes["ndcg@10"].high) == (-0.5, 0.0)
    assert changes["ndcg@10"].is_regression and not changes["recall@5"].is_regression
    with pytest.raises(QuestionRefused, match="no question of this set"):
        list(compare([result(a=0.5)], {"hybrid": result(b=1.0).values}))


def test_every_channel_alone_is_one_of_the_weights_to_choose_from() -> None:
    weights = [tuple(round(w, 2) for w in each.values()) for each in grid()]
    assert {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.1, 0.4)} <= set(weights)
    assert len(weights) == len(set(weights)) == 231
    assert all(abs(sum(each) - 1) < 1e-6 for each in weights)


def test_figures_are_grouped_by_kind_and_by_source() -> None:
    questions = [JudgedQuestion(name, "?", name, {"x": 1}) for name in "ab"]
    figures = result(a=0.5, b=1.0).figures(questions, {"a": "Site", "b": "Handbook"})
    assert figures["kinds"] == {"a": {"ndcg@10": 0.5, "recall@5": 1.0}, "b": {"ndcg@10": 1.0, "recall@5": 1.0}}
    assert figures["sources"]["Site"]["ndcg@10"] == 0.5
    assert result(a=0.5, b=1.0).figures(questions, {"a": "Site", "b": "Site"})["sources"] == {}


def test_the_share_of_an_answers_words_that_the_passages_hold() -> None:
    answer = "Run the makemigrations command; CharField needs max_length."
    both = ["Commands: makemigrations", "a CharField with max_length is needed. Running"]
    assert answer_token_recall(answer, both) == 1
    assert answer_token_recall(answer, both[:1]) == 2 / 6
    assert answer_token_recall(answer, []) == answer_token_recall("the of", ["the of"]) == 0


def test_the_source_of_a_question_is_that_of_its_document(rows: None) -> None:
    assert question_sets.sources_of(judged(m={GUIDE: 1}, c={CACHE: 1}, lost={"nowhere": 1})) == {
        "m": "Handbook", "c": "Site",
    }  # fmt: skip


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
    assert set(figures) == {"hybrid", "dense", "sparse", "words"}
    assert set(figures["dense"]) == {
        "recall@1", "recall@3", "recall@5", "recall@10", "mrr@10", "ndcg@10", "map", "p50_ms",
        "p95_ms", "intervals", "kinds", "sources",
    }  # fmt: skip
    assert figures["hybrid"]["recall@1"] == figures["dense"]["ndcg@10"] == 1.0


def test_a_source_that_holds_no_answer_answers_nothing(index: None, files: dict[str, Path]) -> None:
    out = StringIO()
    call_command("evaluate", **files, source="Site", json=True, stdout=out, stderr=StringIO())
    assert json.loads(out.getvalue())["hybrid"]["recall@10"] == 0.5


def test_a_version_is_searched_where_one_is_named(index: None, files: dict[str, Path]) -> None:
    Source.objects.filter(name="Site").update(product="guide", version="2.0")
    Source.objects.filter(name="Handbook").update(product="guide", version="1.0")
    for version, recall in (("", 0.5), ("1.0", 0.5), ("all", 1.0)):
        out = StringIO()
        call_command("evaluate", **files, version=version, json=True, stdout=out, stderr=StringIO())
        assert json.loads(out.getvalue())["hybrid"]["recall@10"] == recall


@pytest.mark.usefixtures("rows")
def test_files_that_do_not_fit_together_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    other = write(tmp_path / "other.tsv", "1\tx\t1")
    with pytest.raises(CommandError, match="ids of both files"):
        call_command("evaluate", queries=files["queries"], qrels=other)
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("evaluate", queries=tmp_path / "none", qrels=other)


def test_a_baseline_that_was_better_fails_the_command(index: None, files: dict[str, Path], tmp_path: Path) -> None:
    saved, out = tmp_path / "saved.json", StringIO()
    call_command("evaluate", **files, save=saved, stdout=out)
    assert re.search(r"hybrid .* 1–1", " ".join(out.getvalue().split()))
    call_command("evaluate", **files, baseline=saved, stdout=out)
    assert "hybrid    ndcg@10 +0 [+0, +0] against the baseline" in out.getvalue()
    with pytest.raises(CommandError, match=r"Worse than the baseline: hybrid ndcg@10, hybrid recall@5, dense"):
        call_command("evaluate", **files, baseline=saved, source="Site", stdout=out)
    with pytest.raises(CommandError, match="evaluate --save FILE"):
        call_command("evaluate", **files, baseline=tmp_path / "none", stdout=out)


def test_refused_questions_are_counted_right_and_wrong_ones(
    index: None, files: dict[str, Path], settings: Settings
) -> None:
    settings.ANSWER_LEAST_COSINE = 0.0
    with files["queries"].open("a") as queries:
        queries.write('{"_id": "o", "text": "Where do penguins breed?"}\n')
    with files["qrels"].open("a") as qrels:
        qrels.write(f"unjudged\t{GUIDE}\t1\n")
    out = StringIO()
    call_command("evaluate", **files, refusals=True, json=True, stdout=out, stderr=StringIO())
    figures = json.loads(out.getvalue())
    assert figures.pop("answerable_refused") == 0.333
    assert figures == {
        "answerable": 3, "refused": ["Nobody knows?"],
        "on_other_subjects": 1, "on_other_subjects_refused": 1.0, "answered": [],
    }  # fmt: skip
    settings.ANSWER_LEAST_COSINE = 0.01
    call_command("evaluate", **files, refusals=True, stdout=(out := StringIO()))
    assert "3 questions that the index answers: 0.0% refused" in out.getvalue()
    assert "  answered: Where do penguins breed?" in out.getvalue()


@pytest.mark.usefixtures("rows")
def test_questions_that_the_index_can_tell_nothing_of_are_not_counted(tmp_path: Path) -> None:
    queries = write(tmp_path / "q.jsonl", '{"_id": "1", "text": "What?", "relevant": {"elsewhere.txt": 1}}')
    with pytest.raises(CommandError, match="holds no document that answers"):
        call_command("evaluate", queries=queries, refusals=True)


def test_the_reranker_is_measured_beside_the_fused_order(
    index: None, files: dict[str, Path], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandError, match="set RERANKER"):
        call_command("evaluate", **files, rerank=True)
    settings.RERANKER, settings.RERANK_MARGIN = "local", 1.0

    def last_first(question: str, texts: Sequence[str], until: float) -> list[float]:
        return [float(n) for n in range(len(texts))]

    monkeypatch.setattr(reranker, "SCORERS", {"local": last_first})
    out = StringIO()
    call_command("evaluate", **files, rerank=True, json=True, stdout=out, stderr=StringIO())
    figures = json.loads(out.getvalue())
    assert figures["hybrid"]["ndcg@10"] == 1.0 > figures["reranked"]["ndcg@10"]


def test_a_folder_that_is_not_beirs_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "corpus.jsonl", "{}")
    with pytest.raises(CommandError, match=r"no .*queries.jsonl and no .*qrels/test.tsv"):
        call_command("evaluate", beir=tmp_path)


@pytest.mark.e2e
def test_a_folder_of_beirs_is_evaluated_on_an_index_of_its_own_that_goes_again(
    tmp_path: Path, model_path: Path
) -> None:
    texts = {
        "m": "Migrations record changes to models.",
        "c": "Redis is one of the caches.",
        "t": "Templates have tags.",
    }
    write(tmp_path / "corpus.jsonl", *(json.dumps({"_id": id, "title": "", "text": t}) for id, t in texts.items()))
    write(tmp_path / "queries.jsonl", '{"_id": "q", "text": "What records the changes to a model?"}')
    (tmp_path / "qrels").mkdir()
    write(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore", "q\tm\t1")
    before, out = sorted(project.DATA_DIR.iterdir()), StringIO()
    call_command("evaluate", beir=tmp_path, json=True, stdout=out, stderr=StringIO())
    figures = json.loads(out.getvalue())
    assert figures["ingested"] == {"documents": 3, "chunks": 3, "failed": 0}
    assert {figures[mode]["recall@1"] for mode in ("hybrid", "dense", "sparse", "words")} == {1.0}
    assert sorted(project.DATA_DIR.iterdir()) == before


def test_the_command_finds_weights(index: None, files: dict[str, Path]) -> None:
    out = StringIO()
    call_command("evaluate", **files, tune=True, json=True, stdout=out, stderr=StringIO())
    found = json.loads(out.getvalue())
    assert found["ndcg@10"] == found["channels"]["dense"] == 1.0
    assert abs(sum(map(float, found["weights"].split(","))) - 1) < 1e-6
