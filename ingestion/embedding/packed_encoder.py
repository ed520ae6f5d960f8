"""One stream of tokens → dense vectors and a weight per token, packed into one tensor.

``Layers`` are those that FlagEmbedding loads, run by PyTorch over all texts of a batch as one row without padding or
mask; CPUs have a network of their own (``cpu_network``). 160 of Django's chunks with the stand-in, in processor time
of one core, 3 030 tokens/s, of which 85 % is matrix products at the rate of bare ones; FlagEmbedding's ``encode`` 2 650
(batch 4), 2 600 (8), 2 370 (16) and called once a page 770; sentence-transformers 2 490. Batches of 512-4 096 tokens
differ little, and one matrix for query, key and value gains nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize

from ingestion.embedding import packed_attention
from ingestion.embedding.stream import Stream
from ingestion.embedding.tokenizer import first_position
from ingestion.types import FloatArray


class Layers:
    """The layers in PyTorch. ``module``: FlagEmbedding's, on its device and in its precision."""

    def __init__(self, module: Any, *, compiled: bool = False) -> None:
        packed_attention.register()
        self.module = module
        self.config = module.config
        self.weight: torch.Tensor = next(module.parameters())
        self.module.set_attn_implementation(packed_attention.NAME)
        self.flash = packed_attention.has_flash(self.weight, self.config.hidden_size // self.config.num_attention_heads)
        self._hidden = torch.compile(self._read, dynamic=True) if compiled else self._read

    def __call__(self, stream: Stream) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the hidden states (tokens, size) and the offsets of the texts, on the device.

        On CUDA nothing is waited for.
        """
        whole = stream.rounded_up()
        bounds = np.concatenate([[0], np.cumsum(whole.lengths)])
        arrays = (whole.ids, self._positions(whole, bounds), bounds)
        # All in one copy; from pinned memory, CUDA does not wait for it.
        joined = torch.from_numpy(np.concatenate(arrays).astype(np.int64))
        if self.weight.is_cuda:
            joined = joined.pin_memory()
        moved = joined.to(self.weight.device, non_blocking=True)
        ids, positions, limits = torch.split(moved, [len(array) for array in arrays])
        lengths = torch.from_numpy(whole.lengths)
        hidden = self._hidden(ids, positions, limits.int(), lengths, int(whole.lengths.max()))
        return hidden[: len(stream.ids)], limits[: len(stream.lengths) + 1]

    def _read(
        self, ids: torch.Tensor, positions: torch.Tensor, bounds: torch.Tensor, lengths: torch.Tensor, longest: int
    ) -> torch.Tensor:
        """Return the hidden states (tokens, size) that the layers make of several texts in one row.

        ``ids`` and ``positions`` have one number a token; ``bounds`` are the offsets of the texts and the end of the
        last, ``lengths`` their tokens, on the host, ``longest`` the largest of these.
        """
        found = self.module(
            input_ids=ids[None],
            position_ids=positions[None],
            token_type_ids=torch.zeros_like(ids)[None],
            bounds=bounds,
            lengths=lengths,
            longest=longest,
            flash=self.flash,
        )
        hidden: torch.Tensor = found.last_hidden_state[0]
        return hidden

    def _positions(self, stream: Stream, bounds: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the position of each token, counted per text from the first position.

        RoBERTa skips padding tokens, which a page about tokenizers may spell out.
        """
        first = first_position(self.config)
        if not first:
            counted_from_0: npt.NDArray[np.int64] = np.arange(len(stream.ids)) - np.repeat(bounds[:-1], stream.lengths)
            return counted_from_0
        counted = stream.ids != self.config.pad_token_id
        so_far = np.concatenate([[0], np.cumsum(counted)])
        within: npt.NDArray[np.int64] = so_far[1:] - np.repeat(so_far[bounds[:-1]], stream.lengths)
        positions: npt.NDArray[np.int64] = within * counted + (first - 1)
        return positions


class TorchNetwork:
    """A ``Network`` in PyTorch.

    ``layers``: the encoder; ``head`` and ``token_head``: FlagEmbedding's, hidden states → lexical weights and token
    vectors; ``pooling``: "cls" or "mean".
    """

    def __init__(self, layers: Layers, head: torch.nn.Linear, token_head: torch.nn.Linear, pooling: str) -> None:
        self.layers = layers
        self.head = head
        self.token_head = token_head
        self.config = layers.config
        self.pooling = pooling

    def __call__(self, stream: Stream) -> Transfer:
        """Start to compute the dense vectors and the tokens' weights, in float32."""
        with torch.inference_mode():
            hidden, bounds = self.layers(stream)
            if self.pooling == "cls":
                pooled = hidden[bounds[:-1]]
            else:
                pooled = torch.segment_reduce(hidden.float(), "mean", lengths=bounds.diff(), unsafe=True)
            dense = normalize(pooled.float(), dim=-1)
            weights = torch.relu(self.head(hidden)).float()
            return Transfer(torch.cat([dense.flatten(), weights.flatten()]))

    def tokens_read(self, stream: Stream) -> int:
        """Return how many tokens the layers compute for a stream."""
        return len(stream.rounded_up().ids)

    def token_vectors(self, stream: Stream) -> torch.Tensor:
        """Return a vector of unit length, in float32, for each token but the first of a text."""
        others = torch.from_numpy(stream.but_first())
        with torch.inference_mode():
            hidden, _ = self.layers(stream)
            return normalize(self.token_head(hidden[others.to(hidden.device)]).float(), dim=-1)

    def similarities(self, question: torch.Tensor, passages: Stream) -> FloatArray:
        """Return the similarity of each passage. ``question``: the vectors of its tokens, (tokens, size)."""
        with torch.inference_mode():
            cosines = self.token_vectors(passages) @ question.T
            lengths = torch.from_numpy(passages.lengths - 1).to(cosines.device)
            nearest = torch.segment_reduce(cosines, "max", lengths=lengths, unsafe=True)
            found: FloatArray = nearest.mean(dim=1).cpu().numpy()
            return found


class Transfer:
    """A result on its way to the host."""

    def __init__(self, packed: torch.Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._host = packed
        if packed.device.type == "cuda":
            self._host = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)
            self._host.copy_(packed, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(packed.device))

    def wait(self) -> npt.NDArray[np.float32]:
        """Wait for the result and return it as an array."""
        array: npt.NDArray[np.float32] = self._host.cpu().numpy()
        if self._event is None:
            return array
        self._event.synchronize()
        return array.copy()  # pinned memory is reused, while vectors are kept
