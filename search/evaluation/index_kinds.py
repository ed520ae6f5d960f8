"""Kinds of dense indexes beside exact search, on the vectors of the searched collection.

In: the collection's own vectors, up to MOST of them. Out: for each kind that the server has, how many of the ten
nearest it finds, and how long a search takes. A question is a vector between two neighbours, as near to passages as
questions are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from ingestion.exceptions import IngestionError
from ingestion.types import FloatArray, Json
from ingestion.vector_store.index_kinds import KINDS, TrialCollection, trial_collection
from ingestion.vector_store.store import VectorStore, open_store
from search.retrieval import question_model

Say = Callable[[str], object]
NEAREST, QUESTIONS = 10, 100
MOST, AT_ONCE = 1_000_000, 2000


def compared(say: Say) -> list[Json]:
    """Measure each kind of index on the vectors of the searched collection, and return the figures.

    A kind that the server refuses has the reason instead.
    """
    collection = question_model.searched_collection()
    vectors = stored_vectors(open_store(collection.name, collection.dimension))
    chance = np.random.default_rng(0)
    drawn = vectors[chance.integers(len(vectors), size=QUESTIONS)]
    questions = drawn + 0.03 * chance.standard_normal(drawn.shape, np.float32)
    questions /= np.linalg.norm(questions, axis=1, keepdims=True)
    exact = np.argsort(-(questions @ vectors.T), axis=1)[:, :NEAREST]
    with trial_collection(vectors) as trials:
        return [measured(kind, trials, questions, exact, say) for kind in KINDS]


def stored_vectors(store: VectorStore) -> FloatArray:
    """Return the dense vectors of the collection."""
    return np.stack(list(read_vectors(store)))


def read_vectors(store: VectorStore) -> Iterator[FloatArray]:
    """Yield the dense vectors of the collection, at most MOST of them."""
    keys = islice(store.keys(), MOST)
    while part := list(islice(keys, AT_ONCE)):
        yield from (vectors.dense for vectors in store.vectors(part).values())


def measured(kind: str, trials: TrialCollection, questions: FloatArray, exact: np.ndarray, say: Say) -> Json:
    """Return recall of the nearest and the milliseconds of a search with this kind of index."""
    say(f"index {kind}")
    try:
        trial = trials.tried(kind, questions, NEAREST)
    except IngestionError as error:
        return {"kind": kind, "refused": str(error)}
    shared = [len(set(found) & set(nearest)) for found, nearest in zip(trial.found, exact.tolist(), strict=True)]
    p50, p95 = (round(1000 * float(np.percentile(trial.seconds, share)), 2) for share in (50, 95))
    recall = round(sum(shared) / (NEAREST * len(questions)), 3)
    return {"kind": kind, "recall@10": recall, "p50": p50, "p95": p95, "build_seconds": round(trial.build_seconds, 1)}
