"""`manage.py benchmark query`: what is measured, on a small index and on a generated one."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.db import transaction
from pymilvus import MilvusClient
from rich.console import Console

from ingestion.exceptions import IngestionError
from ingestion.models import Chunk, Collection, Document, TermFrequencies
from ingestion.vector_store.index_kinds import Trial, TrialCollection, trial_collection
from ingestion.vector_store.store import open_store
from search.access.caller import OPERATOR
from search.evaluation import benchmark, generated_index, index_kinds
from search.evaluation.benchmark import Cell, asked_texts, figures_of
from search.exceptions import QuestionRefused
from search.questions import Question
from search.retrieval import question_model
from search.retrieval.retriever import retrieve
from search.timings import Timings


def test_no_question_is_asked_twice_unless_that_is_measured() -> None:
    cells = [cell for cell in benchmark.cells() if cell.option != "asked before"]
    texts = [text for cell in cells for text in asked_texts(cell, 40)]
    assert len(set(texts)) == len(texts) == 40 * len(cells)
    assert len(set(asked_texts(Cell("short", 1, "asked before"), 5))) == 1
    short, long = asked_texts(Cell("short", 1), 20), asked_texts(Cell("long", 1), 20)
    assert 10 * sum(map(len, short)) < sum(map(len, long))


def test_figures_are_of_each_stage() -> None:
    found = figures_of(Cell("short", 8), {"embed": [1.0, 2.0, 3.0, 10.0]}, 2)
    assert found["stages"]["embed"] == {"mean": 4.0, "p50": 2.5, "p95": 8.9, "p99": 9.8}
    assert (found["refused"], found["at_once"]) == (2, 8)


@pytest.mark.django_db(transaction=True)
def test_every_stage_of_every_cell_is_measured(index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "AT_ONCE", (1, 3))
    out = StringIO()
    call_command("benchmark", "query", "--questions", "3", "--json", stdout=out, stderr=StringIO())
    figures = json.loads(out.getvalue())
    cells = {(c["length"], c["at_once"], c["option"]): c for c in figures["cells"]}
    assert {(length, count, "hybrid") for length in benchmark.LENGTHS for count in (1, 3)} <= set(cells)
    assert {("short", 1, option) for option in ("dense", "sparse", "words", "asked before")} <= set(cells)
    stages = {"parse", "embed", "search", "fuse", "rows", "total", "ours"}
    assert all(set(c["stages"]) == stages and c["refused"] == 0 for c in cells.values())
    assert [each["at_once"] for each in figures["peers"]] == [1, 8]
    shown = StringIO()
    Console(file=shown, width=250).print(*benchmark.table(figures))
    assert "sentence-transformers" in shown.getvalue() and "8 short" not in shown.getvalue()


@pytest.fixture
def generated(db: None, clean_milvus: MilvusClient, model_path: Any) -> None:
    generated_index.generate(2500)


def test_generated_chunks_are_found_through_every_channel(generated: None) -> None:
    collection = question_model.searched_collection()
    store = open_store(collection.name, collection.dimension)
    assert store.count() == Chunk.objects.live().count() == 2500
    assert Document.objects.count() == 209
    assert TermFrequencies.objects.get().chunks == 2500
    question_model.load(collection)
    for mode in ("hybrid", "dense", "sparse", "words"):
        assert len(retrieve(Question("How are migrations created?", OPERATOR, mode=mode), Timings())) == 5


def test_chunks_are_not_generated_beside_documents(rows: None) -> None:
    with pytest.raises(QuestionRefused, match="DATA_DIR of their own"):
        generated_index.generate(10)
    assert Collection.objects.count() == 1


def test_the_same_chunks_are_generated_each_time(db: None) -> None:
    words = generated_index.vocabulary()
    assert len(set(words)) == len(words) == generated_index.VOCABULARY
    made = []
    for _ in range(2):
        with transaction.atomic():
            [part] = generated_index.parts(12)
            made.append([(chunk.text, chunk.vectors.dense.tolist()) for chunk in part])
            transaction.set_rollback(True)
    assert made[0] == made[1]


def test_kinds_of_indexes_are_compared_with_exact_search(generated: None, clean_milvus: MilvusClient) -> None:
    held = set(clean_milvus.list_collections())
    found = {each["kind"]: each for each in index_kinds.compared(lambda text: None)}
    assert found["FLAT"]["recall@10"] == 1.0
    assert 0.5 < found["IVF_FLAT"]["recall@10"] <= 1.0
    assert "local mode only support" in found["HNSW"]["refused"]  # Milvus Lite's words
    assert set(clean_milvus.list_collections()) == held


def test_recall_counts_the_exact_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = np.array([[0, 1], [2, 3]])
    trials = TrialCollection(None, "trials", 2, 1.0)

    def half(self: TrialCollection, kind: str, *args: object) -> Trial:
        return Trial([[0, 3], [1, 0]], [0.001, 0.003], 2.0)

    monkeypatch.setattr(TrialCollection, "tried", half)
    monkeypatch.setattr(index_kinds, "NEAREST", 2)
    found = index_kinds.measured("HNSW", trials, np.eye(2, dtype=np.float32), exact, lambda text: None)
    assert found == {"kind": "HNSW", "recall@10": 0.25, "p50": 2.0, "p95": 2.9, "build_seconds": 2.0}


def test_a_kind_that_a_server_lacks_costs_the_others_nothing(clean_milvus: MilvusClient) -> None:
    vectors = np.eye(384, dtype=np.float32)
    with trial_collection(vectors) as trials:
        with pytest.raises(IngestionError):
            trials.tried("HNSW", vectors[:2], 1)
        for kind in ("IVF_FLAT", "FLAT"):
            assert trials.tried(kind, vectors[:2], 1).found == [[0], [1]]
    assert not clean_milvus.has_collection(trials.name)
