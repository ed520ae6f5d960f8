"""A question and passages → a score of each passage, by a cross-encoder in this process.

The model is one that FlagEmbedding's ``FlagReranker`` takes, such as bge-reranker-v2-m3, and the scores are those that
it gives: the logits. Batching is ours, because its ``compute_score`` runs the first batch twice and cannot be stopped.
The model loads in the background; until it is there, NotLoaded is raised. One thread runs it and looks at the clock
between two batches.

torch and transformers are imported in that thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from time import monotonic
from typing import Any

from django.conf import settings

# The clock is looked at after as many: a second of two cores with bge-reranker-v2-m3, whatever the rest takes.
BATCH_PAIRS = 4
# FlagReranker's: of a pair, and of the question in it.
MAX_TOKENS, QUESTION_TOKENS = 512, 384

_model_thread = ThreadPoolExecutor(1, "cross-encoder")


class NotLoaded(Exception):
    """The model is being loaded."""


class CrossEncoder:
    """A loaded model. Raises OSError or ValueError where there is none at ``path``, a folder or a hub id."""

    def __init__(self, path: str, device: str) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(path)
        self.model: Any = AutoModelForSequenceClassification.from_pretrained(path).to(device).eval()

    def scores(self, question: str, texts: Sequence[str], until: float) -> list[float]:
        """Return the score of each text. Raises TimeoutError when the monotonic clock passes ``until``."""
        import torch

        found = [0.0] * len(texts)
        by_length = sorted(range(len(texts)), key=lambda n: -len(texts[n]))
        asked = self.cut(question)
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH_PAIRS):
                if monotonic() > until:
                    raise TimeoutError
                part = by_length[start : start + BATCH_PAIRS]
                pairs = self.tokenizer(
                    [asked] * len(part), [texts[n] for n in part], padding=True, truncation="only_second",
                    max_length=MAX_TOKENS, return_tensors="pt",
                ).to(self.model.device)  # fmt: skip
                for n, score in zip(part, self.model(**pairs).logits.view(-1).tolist(), strict=True):
                    found[n] = score
        return found

    def cut(self, question: str) -> str:
        """Return as much of a question as leaves room for a passage."""
        read = self.tokenizer(question, return_offsets_mapping=True, truncation=True, max_length=QUESTION_TOKENS)
        return question[: max(end for _, end in read["offset_mapping"])]


def scores(question: str, texts: Sequence[str], until: float) -> list[float]:
    """Return the score of each text by the configured model.

    Raises NotLoaded, TimeoutError, or what prevented loading; then the next call tries again.
    """
    loading = loaded(settings.RERANK_MODEL, settings.QUERY_DEVICE)
    if not loading.done():
        raise NotLoaded
    if loading.exception():
        loaded.cache_clear()
    computing = _model_thread.submit(loading.result().scores, question, texts, until)
    try:
        return computing.result(max(0.0, until - monotonic()))
    finally:
        computing.cancel()


@cache
def loaded(path: str, device: str) -> Future[CrossEncoder]:
    """Return the model, which the first call begins to load."""
    return _model_thread.submit(CrossEncoder, path, device)
