"""A question and passages → how near each passage is, token by token, by the model that embeds questions.

It is in memory already, here or in an embedding worker, so that no second model is loaded. All passages are read anew:
with a GPU that is one batch; a CPU is seldom fast enough.
"""

from __future__ import annotations

from collections.abc import Sequence

from search.retrieval import question_model
from search.retrieval.cross_encoder import NotLoaded


def scores(question: str, texts: Sequence[str], until: float) -> list[float]:
    """Return how similar each text is to the question, token by token.

    Raises NotLoaded, TimeoutError when the monotonic clock passes ``until``, NobodyAnswers, or what PyTorch raises.
    """
    embedder = question_model.in_memory()
    if embedder is None:
        raise NotLoaded
    asked, *ids = embedder.tokenise([question, *texts])
    return embedder.similarities(asked, ids, until)
