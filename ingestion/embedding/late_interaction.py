"""A question and passages → how near each passage is, token by token.

In: streams of token ids, and the network. Out: for each passage the mean, over the question's tokens, of the largest
cosine to one of its own: ColBERT's MaxSim with BGE-M3's token vectors, equal to FlagEmbedding's ``colbert_score``.
Nothing is kept: a passage's token vectors are some hundred times as large as its dense one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ingestion.embedding.packed_encoder import Network, Stream


def similarities(network: Network, question: torch.Tensor, passages: Stream) -> torch.Tensor:
    """Return the similarity of each passage. ``question``: the vectors of its tokens, (tokens, size)."""
    with torch.inference_mode():
        cosines = network.token_vectors(passages) @ question.T
        lengths = torch.from_numpy(passages.lengths - 1).to(cosines.device)
        nearest = torch.segment_reduce(cosines, "max", lengths=lengths, unsafe=True)
        return nearest.mean(dim=1)
