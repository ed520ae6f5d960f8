"""Texts -> dense and sparse vectors, with BGE-M3's network through FlagEmbedding.

In: texts. Out: one ``Vectors`` each. Knows nothing of rows, queues or Milvus. torch and FlagEmbedding
are imported only inside ``load_model``: importing them takes ~7 s and hundreds of MB, so whoever
does not embed never pays.

The network and its weights are FlagEmbedding's; batching and post-processing are ours. Its ``encode``
runs the longest batch twice, pads by count and walks token weights in Python; here texts are sorted by
length, a batch is bounded by padded tokens, and lexical weights are reduced by numpy: 7 300-7 600
tokens/s against 5 400-6 000 on two cores with the stand-in.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings

from ingestion.exceptions import ModelError
from ingestion.types import FloatArray, IndexArray, Vectors

if TYPE_CHECKING:
    import torch

# Row and token id are packed into one sortable integer; XLM-R's vocabulary is 250 002 < 2**18.
ID_BITS = 18
BATCH_TOKENS = {"cpu": 4096, "cuda": 16_384, "mps": 4096}
MODEL_MAX_TOKENS = 8192


class Embedder:
    """One loaded model. Safe to share between threads: one forward pass runs at a time."""

    def __init__(self, model: Any, device: str, batch_tokens: int) -> None:
        self.device = device
        self.batch_tokens = batch_tokens
        self.network = model.model
        self.tokenizer = model.tokenizer
        self.dimension = int(self.network.config.hidden_size)
        self.max_tokens = usable_positions(self.network.config)
        self.special_ids = np.array(sorted(lexically_unused(self.tokenizer)), dtype=np.int64)
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> list[Vectors]:
        """All vectors, in the order of ``texts``."""
        found: dict[int, Vectors] = {}
        for positions, vectors in self.embed_batches(texts):
            found.update(zip(positions, vectors, strict=True))
        return [found[i] for i in range(len(texts))]

    def embed_batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[Vectors]]]:
        """Yield (positions in ``texts``, their vectors) as each batch is done, longest texts first."""
        if not texts:
            return
        ids = self.tokenizer(list(texts), truncation=True, max_length=self.max_tokens, return_attention_mask=False)[
            "input_ids"
        ]
        for batch in batches_by_tokens([len(i) for i in ids], self.batch_tokens):
            yield batch, self._forward([ids[i] for i in batch])

    def _forward(self, ids: list[list[int]]) -> list[Vectors]:
        """One batch; when the device's memory is exhausted the halves are tried, down to one text."""
        import torch

        try:
            return self._run(ids)
        except torch.OutOfMemoryError:
            if len(ids) == 1:
                raise
            torch.cuda.empty_cache()
            half = len(ids) // 2
            return self._forward(ids[:half]) + self._forward(ids[half:])

    def _run(self, ids: list[list[int]]) -> list[Vectors]:
        import torch

        padded, mask = pad(ids, int(self.tokenizer.pad_token_id))
        with self._lock, torch.inference_mode():
            features = {
                "input_ids": torch.from_numpy(padded).to(self.device),
                "attention_mask": torch.from_numpy(mask).to(self.device),
            }
            out = self.network(features, return_dense=True, return_sparse=True)
            dense = to_numpy(out["dense_vecs"])
            weights = to_numpy(out["sparse_vecs"].squeeze(-1))
        weights[(mask == 0) | np.isin(padded, self.special_ids)] = 0
        lexical = lexical_weights(padded, weights)
        return [Vectors(d, i, w) for d, (i, w) in zip(dense, lexical, strict=True)]


def to_numpy(tensor: torch.Tensor) -> FloatArray:
    array: FloatArray = tensor.float().cpu().numpy()
    return array


def pad(ids: list[list[int]], pad_id: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(rows, longest) int64 ids and the attention mask that goes with them."""
    lengths = np.array([len(i) for i in ids])
    mask = np.arange(lengths.max())[None, :] < lengths[:, None]
    padded = np.full(mask.shape, pad_id, dtype=np.int64)
    padded[mask] = np.concatenate([np.array(i, dtype=np.int64) for i in ids])
    return padded, mask.astype(np.int64)


def batches_by_tokens(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Positions grouped so that rows x longest row <= ``budget``; a longer text goes alone."""
    batch: list[int] = []
    longest = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = longest or lengths[i]
        if batch and (len(batch) + 1) * longest > budget:
            yield batch
            batch, longest = [], lengths[i]
        batch.append(i)
    if batch:
        yield batch


def lexical_weights(ids: np.ndarray[Any, Any], weights: FloatArray) -> list[tuple[IndexArray, FloatArray]]:
    """Per row: the token ids of positive weight and the largest weight of each.

    ``ids``: (rows, length) integers. ``weights``: the same shape; 0 means "not a word".
    """
    rows, columns = np.nonzero(weights > 0)
    packed = (rows << ID_BITS) | ids[rows, columns]
    order = np.argsort(packed, kind="stable")
    packed, values = packed[order], weights[rows, columns][order]
    starts = np.flatnonzero(np.diff(packed, prepend=-1))
    if not len(starts):
        return [(np.empty(0, np.uint32), np.empty(0, np.float32)) for _ in ids]
    largest = np.maximum.reduceat(values, starts).astype(np.float32)
    unique = packed[starts]
    bounds = np.searchsorted(unique >> ID_BITS, np.arange(len(ids) + 1))
    words = (unique & ((1 << ID_BITS) - 1)).astype(np.uint32)
    return [(words[a:b], largest[a:b]) for a, b in pairwise(bounds)]


def lexically_unused(tokenizer: Any) -> set[int]:
    """Special tokens that FlagEmbedding leaves out of the lexical weights."""
    names = ("cls_token_id", "eos_token_id", "pad_token_id", "unk_token_id")
    return {i for name in names if (i := getattr(tokenizer, name)) is not None}


def usable_positions(config: Any) -> int:
    """Longest input in tokens. RoBERTa-like models lose padding_idx + 1 positions to an offset."""
    offset = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return min(int(config.max_position_embeddings) - offset, MODEL_MAX_TOKENS)


@functools.cache
def load_model(device: str = "auto") -> Embedder:
    """The configured model on ``device`` ("auto", "cpu", "cuda:0", "mps"), loaded once per process.

    Raises ModelError when it is missing, damaged or not of ``EMBED_DIMENSION``.
    """
    if looks_like_path(settings.MODEL_PATH) and not Path(settings.MODEL_PATH).is_dir():
        raise ModelError(
            f"The model folder {settings.MODEL_PATH} does not exist. Set EMBED_MODEL to a folder with "
            "BGE-M3, to a hub id such as BAAI/bge-m3, or to stand-in."
        )
    device = resolve_device(device)
    dtype = resolve_dtype(device)
    try:
        model = read_weights(device, dtype)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"The model {settings.MODEL_PATH} cannot be loaded: {error}. Check EMBED_MODEL; without a "
            "connection to the model hub it must be a folder that holds the complete model."
        ) from error
    kind = device.partition(":")[0]
    embedder = Embedder(model, device, settings.EMBED_BATCH_TOKENS or BATCH_TOKENS[kind])
    if embedder.dimension != settings.EMBED_DIMENSION:
        raise ModelError(
            f"The model {settings.MODEL_PATH} has {embedder.dimension} dimensions, EMBED_DIMENSION says "
            f"{settings.EMBED_DIMENSION}. Correct EMBED_DIMENSION or EMBED_MODEL."
        )
    return embedder


def read_weights(device: str, dtype: str) -> Any:
    import torch
    from FlagEmbedding import BGEM3FlagModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = BGEM3FlagModel(
        settings.MODEL_PATH,
        pooling_method=settings.EMBED_POOLING,
        devices=device,
        use_fp16=dtype == "float16",
        use_bf16=dtype == "bfloat16",
    )
    model.model.to(device=torch.device(device), dtype=getattr(torch, dtype))
    model.model.eval()
    return model


def looks_like_path(model: str) -> bool:
    """A hub id has the form "owner/name"; everything else names a folder."""
    return Path(model).is_absolute() or model.startswith(".") or model.count("/") != 1


def resolve_device(device: str) -> str:
    import torch

    if device != "auto":
        return device
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def resolve_dtype(device: str) -> str:
    """float16 on CUDA, float32 elsewhere; 16 bits on a CPU are over 100x slower and refused."""
    if settings.EMBED_DTYPE == "auto":
        return "float16" if device.startswith("cuda") else "float32"
    if device == "cpu" and settings.EMBED_DTYPE != "float32":
        return "float32"
    return str(settings.EMBED_DTYPE)
