"""Token counts -> batches of positions, bounded by tokens. The network reads a batch as one stream without
padding, so nothing is lost by mixing lengths; the longest come first, so that memory runs out at once or never.

Where several batches compute at a time, each holds at most a share of what is left: they are large as long as there is
much to do, and end together (guided self-scheduling; Polychronopoulos and Kuck, IEEE Transactions on Computers, 1987).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# Smaller batches waste a tenth of a core.
LEAST_SHARE = 256


def batches_by_tokens(lengths: Sequence[int], budget: int, lanes: int = 1) -> Iterator[list[int]]:
    """Positions grouped so that their tokens add up to ``budget`` at most; a longer text goes alone. ``lanes``: how
    many compute at a time."""
    batch: list[int] = []
    tokens, left = 0, sum(lengths)
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and tokens + lengths[i] > share(left, budget, lanes):
            yield batch
            left -= tokens
            batch, tokens = [], 0
        batch.append(i)
        tokens += lengths[i]
    if batch:
        yield batch


def share(left: int, budget: int, lanes: int) -> int:
    return budget if lanes == 1 else min(budget, max(LEAST_SHARE, left // (2 * lanes)))


def halves(batch: list[int]) -> tuple[list[int], list[int]]:
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]
