"""Vectors equal to FlagEmbedding's own, whatever the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import embedder
from ingestion.embedder import Embedder, batches_by_tokens, lexical_weights, load_model, looks_like_path
from ingestion.exceptions import ModelError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

TEXTS = ["How do I declare a foreign key?", "a", "", "two words " * 100, "naïve café — 東京", "x" * 3000]


@pytest.fixture(scope="module")
def model(model_path: Path) -> Embedder:
    return load_model("cpu")


def test_vectors_equal_those_of_flagembedding(model: Embedder, model_path: Path) -> None:
    from FlagEmbedding import BGEM3FlagModel

    theirs = BGEM3FlagModel(str(model_path), pooling_method="mean", devices="cpu", use_fp16=False).encode(
        TEXTS, return_dense=True, return_sparse=True, max_length=model.max_tokens
    )
    for ours, dense, words in zip(model.embed(TEXTS), theirs["dense_vecs"], theirs["lexical_weights"], strict=True):
        assert float(ours.dense @ dense) > 0.9999
        found = dict(zip(map(str, ours.indices.tolist()), ours.weights.tolist(), strict=True))
        assert found == pytest.approx({k: float(w) for k, w in words.items()}, abs=1e-3)


def test_a_vector_does_not_depend_on_its_batch(model: Embedder) -> None:
    together, alone = model.embed(TEXTS), [model.embed([t])[0] for t in TEXTS]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a.dense, b.dense, atol=1e-5)
        assert a.indices.tolist() == b.indices.tolist()


def test_similar_texts_are_closer_than_others(model: Embedder) -> None:
    question, near, far = model.embed(
        ["How do I join two tables?", "A query that spans relationships between models", "Bake bread for an hour"]
    )
    assert question.dense @ near.dense > question.dense @ far.dense


def test_exhausted_memory_halves_the_batch_and_loses_nothing(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    expected, run, sizes = model.embed(TEXTS), model._run, []

    def small_device(ids: list[list[int]]) -> list[object]:
        sizes.append(len(ids))
        if len(ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(ids)

    monkeypatch.setattr(model, "_run", small_device)
    found = model.embed(TEXTS)
    assert max(sizes) > 2
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.dense, b.dense, atol=1e-5)


@given(st.lists(st.integers(1, 600), max_size=60), st.integers(50, 5000))
def test_batches_cover_everything_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(batches_by_tokens(lengths, budget))
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 9, width=32)), min_size=4, max_size=4), min_size=1))
def test_lexical_weights_keep_the_largest_weight_of_each_word(rows: list[list[tuple[int, float]]]) -> None:
    ids = np.array([[i for i, _ in row] for row in rows])
    weights = np.array([[w for _, w in row] for row in rows], np.float32)
    for row, (words, values) in zip(rows, lexical_weights(ids, weights), strict=True):
        expected = {i: max(w for j, w in row if j == i) for i, w in row if w > 0}
        assert dict(zip(words.tolist(), values.tolist(), strict=True)) == {
            i: max(w for j, w in row if j == i and w > 0) for i in expected
        }


def test_a_missing_model_folder_is_named(settings, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    settings.MODEL_PATH = str(tmp_path / "nothing")
    with pytest.raises(ModelError, match="does not exist"):
        load_model.__wrapped__("cpu")


def test_a_damaged_model_folder_is_named(settings, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    settings.MODEL_PATH = str(tmp_path)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model.__wrapped__("cpu")


def test_a_model_of_another_dimension_is_refused(settings, model_path: Path) -> None:  # type: ignore[no-untyped-def]
    settings.EMBED_DIMENSION = 1024
    with pytest.raises(ModelError, match="384 dimensions"):
        load_model.__wrapped__("cpu")


def test_half_precision_on_a_cpu_becomes_full(settings) -> None:  # type: ignore[no-untyped-def]
    settings.EMBED_DTYPE = "float16"
    assert embedder.resolve_dtype("cpu") == "float32"


@pytest.mark.parametrize(
    ("name", "path"), [("BAAI/bge-m3", False), ("/models/bge-m3", True), ("./m", True), ("m", True)]
)
def test_hub_ids_and_folders_are_told_apart(name: str, path: bool) -> None:
    assert looks_like_path(name) is path
