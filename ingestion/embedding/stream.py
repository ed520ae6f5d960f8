"""What a network reads and gives: several texts as one array of token ids, and results that are waited for.

Loads numpy alone. ``cpu_network`` and ``packed_encoder`` hold the networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ingestion.types import FloatArray, IndexArray

# Tensors of ever new sizes leave gaps that the allocator does not fill again: after 1 000 of Django's chunks a process
# of 550 MB had 1 110 and went on growing, in steps of 256 tokens 720, for 3 % more tokens in a batch of 4 096.
STEP, LONG = 64, 256


@dataclass(frozen=True, slots=True)
class Stream:
    """The token ids of several texts, one after the other, on the host, and the tokens of each text."""

    ids: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[IndexArray]) -> Stream:
        """Return the stream of texts that are given as token ids."""
        lengths = np.array([len(text) for text in texts], np.int64)
        return cls(np.concatenate(texts).astype(np.int64), lengths)

    def rounded_up(self) -> Stream:
        """Return the stream with one meaningless text more, so that long streams come in few sizes.

        Streams below ``LONG``, like a question, stay as they are.
        """
        missing = -len(self.ids) % STEP
        if not missing or len(self.ids) < LONG:
            return self
        return Stream(np.append(self.ids, np.ones(missing, np.int64)), np.append(self.lengths, missing))

    def but_first(self) -> npt.NDArray[np.int64]:
        """Return the positions of all tokens but the first of each text, which stands for all of it."""
        return np.delete(np.arange(len(self.ids)), np.cumsum(self.lengths) - self.lengths)


class Result(Protocol):
    """Vectors that are computed, or on their way to the host."""

    def wait(self) -> npt.NDArray[np.float32]:
        """Wait, and return the dense vectors of all texts one after the other, then a weight per token."""


class Network(Protocol):
    """Streams of token ids → dense vectors of unit length, a weight per token, and vectors of tokens.

    ``config`` holds the names of the model's config.json.
    """

    config: Any

    def __call__(self, stream: Stream) -> Result:
        """Start to compute the dense vectors of texts and their tokens' weights; on CUDA nothing is waited for."""

    def tokens_read(self, stream: Stream) -> int:
        """Return how many tokens the layers compute for a stream, padding included."""

    def token_vectors(self, stream: Stream) -> Any:
        """Return a vector of unit length for each token but the first of a text."""

    def similarities(self, question: Any, passages: Stream) -> FloatArray:
        """Return how near each passage is to a question, by the vectors of its tokens: ColBERT's MaxSim.

        That is the mean, over the question's tokens, of the largest cosine to one of the passage's, as FlagEmbedding's
        ``colbert_score`` has it. Nothing is kept: a passage's token vectors are some hundred times as large as its
        dense one.
        """
