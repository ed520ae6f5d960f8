"""Token ids → vectors, or how near passages are to a question, by an embedding worker's model, through Redis.

Both sides: a worker says that it serves (``serve``), takes requests and replies; another process asks. Nothing is kept:
a request that nobody takes and a reply that nobody reads are gone after seconds. Does not know what embeds.

Raises NobodyAnswers on the asking side, BufferUnavailable on the other.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import astuple
from time import monotonic, time

import msgspec
import numpy as np
from django.conf import settings

from ingestion.coordination.redis_client import available
from ingestion.exceptions import BufferUnavailable, NobodyAnswers
from ingestion.types import IndexArray, ModelSpec, Vectors

# A worker that serves says so more often than this.
ALIVE_SECONDS = 6
# Redis is asked again after this, before the connection's own time-out.
LOOK_SECONDS = 1.0
# Sixty-four sentences take the stand-in 0.3 s on two cores; beside an ingest three times as long.
WAIT_SECONDS = 3.0


class Request(msgspec.Struct, array_like=True, frozen=True):
    """Texts as token ids (little-endian uint32). After the time ``until`` nobody waits for the reply.

    ``compared``: the first is a question, and what is asked is how near each other text is to it.
    """

    id: str
    until: float
    texts: list[bytes]
    compared: bool = False


class Reply(msgspec.Struct, array_like=True, frozen=True):
    """The dense vector, term ids and weights of each text, or similarities; or why there are none."""

    vectors: list[tuple[bytes, bytes, bytes]] = []
    error: str = ""
    similarities: list[float] = []


def served() -> ModelSpec | None:
    """Return the model by which a worker answers questions now, if one does."""
    with available() as client:
        found = client.get(key("service"))
    return ModelSpec(*msgspec.msgpack.decode(found)) if found else None


def serve(model: ModelSpec) -> None:
    """Announce, for ALIVE_SECONDS, that this worker answers questions with this model."""
    with available() as client:
        client.set(key("service"), msgspec.msgpack.encode(astuple(model)), ex=ALIVE_SECONDS)


def ask(model: ModelSpec, texts: Sequence[IndexArray]) -> list[Vectors]:
    """Return a worker's vectors of texts given as token ids. Raises NobodyAnswers, with the worker's error if any."""
    found = replied(model, texts, WAIT_SECONDS).vectors
    if len(found) != len(texts):
        raise NobodyAnswers("The embedding worker left texts out.")
    return [
        Vectors(np.frombuffer(dense, "<f4"), np.frombuffer(ids, "<u4"), np.frombuffer(weights, "<f4"))
        for dense, ids, weights in found
    ]


def ask_similarities(
    model: ModelSpec, question: IndexArray, texts: Sequence[IndexArray], seconds: float
) -> list[float]:
    """Return how near each text is to the question, as a worker computes it within ``seconds``.

    The texts are given as token ids. Raises NobodyAnswers.
    """
    found = replied(model, [question, *texts], seconds, compared=True).similarities
    if len(found) != len(texts):
        raise NobodyAnswers("The embedding worker left texts out.")
    return found


def replied(model: ModelSpec, texts: Sequence[IndexArray], seconds: float, *, compared: bool = False) -> Reply:
    """Return a worker's reply to a request about texts that are given as token ids.

    Raises NobodyAnswers when no worker serves the model, none replies within ``seconds``, or the reply is an error.
    """
    ends_at = monotonic() + seconds
    packed = [ids.astype("<u4").tobytes() for ids in texts]
    request = Request(uuid.uuid4().hex, time() + seconds, packed, compared)
    try:
        if served() != model:
            raise NobodyAnswers(f"No embedding worker answers questions with {model.path}.")
        with available() as client:
            client.rpush(key("questions"), msgspec.msgpack.encode(request))
            client.expire(key("questions"), ALIVE_SECONDS)
            found = None
            while found is None and monotonic() < ends_at:
                found = client.blpop([key(request.id)], timeout=look_seconds())
    except BufferUnavailable as error:
        raise NobodyAnswers(str(error)) from error
    if found is None:
        raise NobodyAnswers(f"The embedding worker did not answer within {seconds:g} s.")
    reply = msgspec.msgpack.decode(found[1], type=Reply)
    if reply.error:
        raise NobodyAnswers(f"The embedding worker failed: {reply.error}")
    return reply


def next_request() -> Request | None:
    """Return the next request, or None when none comes within a moment or nobody waits for its reply any more."""
    with available() as client:
        found = client.blpop([key("questions")], timeout=look_seconds())
    request = msgspec.msgpack.decode(found[1], type=Request) if found else None
    return request if request and time() < request.until else None


def token_ids(request: Request) -> list[IndexArray]:
    """Return the token ids of a request's texts."""
    return [np.frombuffer(text, "<u4") for text in request.texts]


def of_vectors(vectors: Sequence[Vectors]) -> Reply:
    """Return the reply that holds these vectors."""
    packed = [
        (v.dense.astype("<f4").tobytes(), v.indices.astype("<u4").tobytes(), v.weights.astype("<f4").tobytes())
        for v in vectors
    ]
    return Reply(packed)


def send(request: Request, reply: Reply) -> None:
    """Send the reply to a request."""
    with available() as client:
        client.rpush(key(request.id), msgspec.msgpack.encode(reply))
        client.expire(key(request.id), ALIVE_SECONDS)


def look_seconds() -> float:
    """Return how long one request to Redis may wait for an answer."""
    return min(LOOK_SECONDS, settings.SERVICE_TIMEOUT_SECONDS / 2)


def key(name: str) -> str:
    """Return the Redis key of the requests ("questions"), the service ("service"), or a reply (its request's id)."""
    return f"{settings.EMBEDDINGS_KEY}:questions:{name}"
