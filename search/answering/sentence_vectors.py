"""Sentences → how near each is to a question in meaning, by the model that embeds the questions.

Vectors of sentences are kept in this process: the same passages answer many questions. Bounded, because embedding takes
the time of other readers' questions; sentences beyond the bound, and all where no model is loaded, count by words only.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ingestion.exceptions import IngestionError
from ingestion.types import ModelSpec
from search.retrieval.query_embedder import kept_by, question_tokens
from search.retrieval.question_model import in_memory, searched_collection, served_model
from search.timings import Timings

if TYPE_CHECKING:
    import numpy.typing as npt

    from search.retrieval.question_model import QuestionModel


# 768 bytes each with 384 dimensions, 2 kB with BGE-M3's 1 024: 40 MB at most.
VECTORS_KEPT = 20_000
# The sentences of five passages, and what of each is read: about 1 500 tokens, 0.3 s with the stand-in on two cores.
SENTENCES, SENTENCE_CHARS = 64, 240

Key = tuple[ModelSpec, str]

_vectors: OrderedDict[Key, npt.NDArray[np.float16]] = OrderedDict()
_lock = threading.Lock()


def nearness(question: str, sentences: Sequence[str]) -> list[float]:
    """Return the cosine of each sentence and the question, not below 0; empty where there is no model."""
    if not sentences:
        return []
    try:
        served = served_model(searched_collection(), Timings())
        texts = [sentence[:SENTENCE_CHARS] for sentence in sentences[:SENTENCES]]
        vectors = vectors_of(served.collection.spec(), served.embedder, texts)
        near = np.clip(vectors @ question_vector(question), 0, 1)
    except IngestionError:
        return []
    return [float(value) for value in near] + [0.0] * (len(sentences) - len(near))


def question_vector(question: str) -> npt.NDArray[np.float32]:
    """Return the dense vector of a question, the one that it was searched by where that is kept.

    Raises IngestionError where there is no model.
    """
    embedder = in_memory()
    kept = kept_by(embedder).get(question_tokens(embedder, [question])[0]) if embedder else None
    vector: npt.NDArray[np.float32] = kept.dense if kept else question_vectors([question])[0]
    return vector


def question_vectors(questions: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the dense vectors of questions. Raises IngestionError where there is no model."""
    served = served_model(searched_collection(), Timings())
    return vectors_of(served.collection.spec(), served.embedder, questions)


def vectors_of(spec: ModelSpec, embedder: QuestionModel, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the dense vectors of the texts; those that are not kept yet are embedded together."""
    with _lock:
        known = {text: _vectors[spec, text] for text in texts if (spec, text) in _vectors}
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    if missing:
        embedded = zip(missing, embedder.embed(missing), strict=True)
        known |= {text: vectors.dense.astype(np.float16) for text, vectors in embedded}
    with _lock:
        for text in texts:
            _vectors[spec, text] = known[text]
            _vectors.move_to_end((spec, text))
        while len(_vectors) > VECTORS_KEPT:
            _vectors.popitem(last=False)
    return np.stack([known[text] for text in texts]).astype(np.float32)
