"""A question and passages → a score of each passage, by a server like text-embeddings-inference or Cohere.

In: ``RERANK_URL``, the whole address of the method, and what is to be scored. Out: a finite number for each passage.
What the server says is not trusted: it is read up to a size and a time, redirects are not followed, and an answer that
lacks a passage, or has one twice or without a number, raises ValueError. Raises httpx2.HTTPError when it does not
answer, TimeoutError when it takes too long.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    import httpx2

# A score of a passage has 60 bytes; servers that send the passages back are asked not to.
MOST_BYTES = 256 * 1024
MOST_CHARS = 8000
CONNECTIONS = 16


def scores(question: str, texts: Sequence[str], until: float) -> list[float]:
    """Return the score that the reranking server gives each text; ``until`` is a time of the monotonic clock.

    Raises TimeoutError, ValueError for an answer of another form, or what httpx2 raises.
    """
    import httpx2

    cut = [text[:MOST_CHARS] for text in texts]
    key = settings.RERANK_API_KEY
    asked = client().stream(
        "POST",
        settings.RERANK_URL,
        json=request_of(question, cut),
        # Its bytes are read as they come: what a few of them decompress to has no bound.
        headers={"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})},
        timeout=httpx2.Timeout(max(0.001, until - monotonic())),
    )
    body = b""
    with asked as response:
        response.raise_for_status()
        for part in response.iter_raw():
            body += part
            if len(body) > MOST_BYTES:
                raise ValueError(f"its answer is longer than {MOST_BYTES} bytes")
            if monotonic() > until:
                raise TimeoutError
    return scores_of(json.loads(body), len(texts))


def request_of(question: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return the body of the request, in the form of the API that RERANKER names."""
    if settings.RERANKER == "tei":
        return {"query": question, "texts": texts, "raw_scores": True, "truncate": True}
    return {
        "model": settings.RERANK_MODEL, "query": question, "documents": texts, "top_n": len(texts),
        "return_documents": False,
    }  # fmt: skip


def scores_of(answer: Any, count: int) -> list[float]:
    """Return the scores that an answer of either form holds, one for each of ``count`` texts. Raises ValueError."""
    results: Any = answer.get("results") if isinstance(answer, dict) else answer
    try:
        found = {int(each["index"]): float(each.get("relevance_score", each.get("score"))) for each in results}
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"its answer has another form ({error})") from error
    if len(results) != count or set(found) != set(range(count)) or not all(map(isfinite, found.values())):
        raise ValueError(f"its answer has no number for each of {count} passages")
    return [found[n] for n in range(count)]


@cache
def client() -> httpx2.Client:
    """Return this process's client, which keeps connections alive."""
    import httpx2

    return httpx2.Client(follow_redirects=False, limits=httpx2.Limits(max_connections=CONNECTIONS))
