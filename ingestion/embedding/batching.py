"""Token counts -> batches of positions, bounded by tokens. The network reads a batch as one stream without
padding, so nothing is lost by mixing lengths; the longest come first, so that memory runs out at once or never.

Where several batches compute at a time, none is larger than its equal part, so that all have something to do. To make
them smaller towards the end, so that they end together, costs more than it brings: whoever embeds many texts has the
next ones ready.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def batches_by_tokens(lengths: Sequence[int], budget: int, lanes: int = 1) -> Iterator[list[int]]:
    """Positions grouped so that their tokens add up to ``budget`` at most; a longer text goes alone. ``lanes``: how
    many compute at a time."""
    most = min(budget, -(-sum(lengths) // lanes))
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


def halves(batch: list[int]) -> tuple[list[int], list[int]]:
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]
