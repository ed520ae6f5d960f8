"""Passages compared with a question token by token: equal to FlagEmbedding's, with a head of seeded weights."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from ingestion.embedding.loading import read_model
from ingestion.types import ModelSpec

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

QUESTION = "How are migrations created?"
TEXTS = ["Run makemigrations.", "A template has tags. " * 9, "", "x", "嗯 " * 700, "x y z " * 20]
AN_HOUR_FROM_NOW = 3600.0


@pytest.fixture(scope="module")
def seeded(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """The stand-in with token vectors that are not its hidden states."""
    import torch

    folder = tmp_path_factory.mktemp("seeded") / "model"
    shutil.copytree(model_path, folder, copy_function=os.link)
    torch.manual_seed(3)
    (folder / "colbert_linear.pt").unlink()
    torch.save(torch.nn.Linear(384, 384).state_dict(), folder / "colbert_linear.pt")
    return ModelSpec(str(folder), "cls", 384)


@pytest.mark.parametrize(("dtype", "difference"), [("float32", 1e-5), ("int8", 0.02)])
def test_similarities_are_those_of_flagembedding(seeded: ModelSpec, dtype: str, difference: float) -> None:
    from FlagEmbedding import BGEM3FlagModel

    theirs = BGEM3FlagModel(seeded.path, pooling_method="cls", devices="cpu", use_fp16=False)
    wanted = {"return_dense": False, "return_sparse": False, "return_colbert_vecs": True}
    [asked] = theirs.encode([QUESTION], **wanted)["colbert_vecs"]
    read = theirs.encode(TEXTS, max_length=512, **wanted)["colbert_vecs"]
    expected = [float(theirs.colbert_score(asked, each)) for each in read]

    ours = read_model("cpu", seeded, dtype)
    question, *texts = ours.tokenise([QUESTION, *TEXTS])
    ours.batch_tokens = 60  # several batches, one of them of one text that is longer
    found = ours.similarities(question, texts, time.monotonic() + AN_HOUR_FROM_NOW)
    assert np.allclose(found, expected, atol=difference)
    assert len({round(each, 3) for each in expected}) == len(TEXTS)
    assert ours.similarities(question, [], time.monotonic() + AN_HOUR_FROM_NOW) == []


def test_it_stops_between_two_batches_when_the_time_is_over(seeded: ModelSpec) -> None:
    ours = read_model("cpu", seeded, "float32")
    question, *texts = ours.tokenise([QUESTION, *TEXTS])
    with pytest.raises(TimeoutError):
        ours.similarities(question, texts, time.monotonic() - 1)
