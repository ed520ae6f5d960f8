"""The network on a CPU, in float32 or in 8 bits, run by CTranslate2; without PyTorch.

In: a folder that ``conversion`` wrote. CTranslate2 brings the products that fit the CPU (oneDNN on AMD, MKL on Intel,
Ruy on Arm) and does without padding where it can. A batch is one call that leaves Python to other threads: in a process
that answers requests meanwhile a question takes 8 ms, with PyTorch, which comes back to Python after each of some
hundred operations, 30 ms. Attention is computed over whole batches: a text of 8 192 tokens takes 4 GB.

On two cores with AVX2, without VNNI. 330 of Django's chunks with the stand-in, tokens/s: 7 800, with PyTorch 6 800, in
8 bits 16 600. One question, quiet: 7 ms, 11, 2. BGE-M3's size with random weights, a question: in one thread 200 ms, in
two 113, with PyTorch 195, in 8 bits 62. Vectors and weights differ from PyTorch's by 2e-6, and by 2e-4 in a text that
spells XLM-RoBERTa's token for padding, whose position counts here. Those of 8 bits, with one scale per token and one
per row of weights, have a cosine to it of at least 0.995 (of a row of dashes 0.98). Tried before for 8 bits: PyTorch's
FBGEMM 1.1-1.3 times as fast as float32 at 0.992-0.996, its ``quantize_dynamic`` 1.4 at 0.90, OpenVINO 0.9 at 0.991.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ctranslate2
import numpy as np
import numpy.typing as npt

from ingestion.embedding.stream import Stream
from ingestion.types import FloatArray

# Smaller layers are faster in one thread: the stand-in's, of 384, take 6.9 ms for a question, in two threads 7.7.
WIDE = 512


class Computed:
    """A result that is there."""

    def __init__(self, packed: npt.NDArray[np.float32]) -> None:
        self._packed = packed

    def wait(self) -> npt.NDArray[np.float32]:
        """Return, at once, the dense vectors of all texts one after the other, then a weight per token."""
        return self._packed


class CpuNetwork:
    """A ``Network`` on a CPU. ``parallel``: how many batches compute at a time, each in ``threads`` threads."""

    def __init__(self, folder: Path, dtype: str, pooling: str, *, parallel: int, threads: int) -> None:
        self.config = configuration(folder)
        self.pooling = pooling
        head, token_head = np.load(folder / "head.npz"), np.load(folder / "token_head.npz")
        self.head, self.head_bias = head["weight"][:, 0], head["bias"]
        self.token_head, self.token_bias = token_head["weight"], token_head["bias"]
        self._encoder = ctranslate2.Encoder(
            str(folder), compute_type=dtype, inter_threads=parallel, intra_threads=threads
        )

    def __call__(self, stream: Stream) -> Computed:
        """Return the dense vectors of all texts, and the weights of their tokens."""
        hidden, starts = self._hidden(stream), np.cumsum(stream.lengths) - stream.lengths
        if self.pooling == "cls":
            pooled = hidden[starts]
        else:
            pooled = np.add.reduceat(hidden, starts) / stream.lengths[:, None].astype(np.float32)
        # Not BLAS, which has threads of its own.
        weights = np.einsum("tk,k->t", hidden, self.head) + self.head_bias
        return Computed(np.concatenate([normalized(pooled).ravel(), np.maximum(weights, 0)]).astype(np.float32))

    def tokens_read(self, stream: Stream) -> int:
        """Return how many tokens all layers but attention compute for a stream: those of the texts, without padding."""
        return len(stream.ids)

    def token_vectors(self, stream: Stream) -> FloatArray:
        """Return a vector of unit length for each token but the first of a text: (tokens, size)."""
        return normalized(self._hidden(stream)[stream.but_first()] @ self.token_head + self.token_bias)

    def similarities(self, question: FloatArray, passages: Stream) -> FloatArray:
        """Return the similarity of each passage. ``question``: the vectors of its tokens, (tokens, size)."""
        cosines, lengths = self.token_vectors(passages) @ question.T, passages.lengths - 1
        nearest: FloatArray = np.maximum.reduceat(cosines, np.cumsum(lengths) - lengths)
        return np.asarray(nearest.mean(axis=1), np.float32)

    def _hidden(self, stream: Stream) -> FloatArray:
        """Return the hidden states of the tokens: (tokens, size)."""
        texts = np.split(stream.ids, np.cumsum(stream.lengths)[:-1])
        found = np.asarray(self._encoder.forward_batch([text.tolist() for text in texts]).last_hidden_state)
        hidden: FloatArray = found[np.arange(found.shape[1]) < stream.lengths[:, None]]
        return hidden


def normalized(rows: FloatArray) -> FloatArray:
    """Return the rows at unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def configuration(folder: Path) -> Any:
    """Return the entries of the model's config.json as attributes of an object; ``folder`` has them in network.json."""
    return SimpleNamespace(**json.loads((folder / "network.json").read_text())["config"])


def special_ids(folder: Path) -> npt.NDArray[np.int64]:
    """Return the ids of tokens that have no lexical weight."""
    return np.array(json.loads((folder / "network.json").read_text())["unused_ids"], np.int64)


def question_threads(config: Any, dtype: str, cores: int) -> int:
    """Return in how many threads one text is read fastest.

    In 8 bits one: CTranslate2 4.8 gives other vectors in several, off by more than 0.5.
    """
    return cores if dtype == "float32" and config.hidden_size >= WIDE else 1
