"""The candidates of several channels → one ranked list, by their scores.

In: for each channel the candidates with its scores, and the channels' weights. Out: the candidates, best first. Each
channel's scores are mapped onto 0 to 1, from its worst candidate to its best; a candidate that a channel did not offer
has 0 there. The fused score is the weighted mean. Unlike ranks, scores say by how much the best is better: on the
questions of ``evaluation.sets`` that is worth more than any constant of reciprocal rank fusion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ingestion.types import Hit

Pools = Mapping[str, Sequence[Hit]]


def fuse(pools: Pools, weights: Mapping[str, float]) -> list[Hit]:
    """Return the candidates of all pools, best first; their scores lie between 0 and 1.

    Pools of channels without a weight are left out. The weights of those that are there are scaled to a sum of 1.
    """
    used = {channel: weights[channel] for channel in pools if weights.get(channel)}
    fused: defaultdict[str, float] = defaultdict(float)
    for channel, weight in used.items():
        for hit in scaled(pools[channel]):
            fused[hit.key] += weight / sum(used.values()) * hit.score
    return sorted((Hit(key, score) for key, score in fused.items()), key=lambda hit: (-hit.score, hit.key))


def scaled(pool: Sequence[Hit]) -> list[Hit]:
    """Return the candidates of a pool with scores from 0 to 1; 1 for all when there is no difference between them."""
    if not pool:
        return []
    worst, best = min(hit.score for hit in pool), max(hit.score for hit in pool)
    return [Hit(hit.key, (hit.score - worst) / (best - worst) if best > worst else 1.0) for hit in pool]
