"""Token counts → batches of positions, bounded by tokens.

The network reads a batch as one stream without padding, so nothing is lost by mixing lengths; the longest come first,
so that memory runs out at once or never.

Where several batches compute in parallel, none is larger than its equal part, so that every thread has one. Making them
smaller towards the end, so that all threads end together, costs more than it saves: callers that embed many texts have
the next ones ready.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def batches_by_tokens(lengths: Sequence[int], budget: int, parallel: int = 1) -> Iterator[list[int]]:
    """Yield positions of texts, grouped so that their tokens add up to ``budget`` at most; a longer text goes alone.

    ``lengths``: the tokens of each text. ``parallel``: how many batches compute at a time.
    """
    most = min(budget, -(-sum(lengths) // parallel))
    batch: list[int] = []
    tokens = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and tokens + lengths[i] > most:
            yield batch
            batch, tokens = [], 0
        batch.append(i)
        tokens += lengths[i]
    if batch:
        yield batch
