"""Token counts → batches of positions, bounded by tokens.

The network reads a batch as one stream without padding, so nothing is lost by mixing lengths; the longest come first,
so that memory runs out at once or never.

Where several batches compute in parallel and the texts are too few to fill one each, they are divided into equal parts:
a batch of a few texts takes as long as one text, since the network is read for each. Making batches smaller towards the
end of many texts, so that all threads end together, costs more than it saves: callers that embed many have the next
ones ready.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def batches_by_tokens(lengths: Sequence[int], budget: int, parallel: int = 1) -> Iterator[list[int]]:
    """Yield positions of texts, grouped so that their tokens add up to ``budget`` at most; a longer text goes alone.

    ``lengths``: the tokens of each text. ``parallel``: how many batches compute at a time.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    parts = equal_parts(order, lengths, parallel)
    if all(sum(lengths[i] for i in part) <= budget for part in parts):
        yield from parts
        return
    batch: list[int] = []
    tokens = 0
    for i in order:
        if batch and tokens + lengths[i] > budget:
            yield batch
            batch, tokens = [], 0
        batch.append(i)
        tokens += lengths[i]
    yield batch


def equal_parts(order: Sequence[int], lengths: Sequence[int], count: int) -> list[list[int]]:
    """Return up to ``count`` parts of about as many tokens: each text, longest first, goes to the smallest part."""
    parts: list[list[int]] = [[] for _ in range(count)]
    sizes = [0] * count
    for i in order:
        at = sizes.index(min(sizes))
        parts[at].append(i)
        sizes[at] += lengths[i]
    return [part for part in parts if part]
