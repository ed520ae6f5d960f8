"""Questions of other processes → vectors or similarities, by this worker's model; for QUERY_EMBEDDER=worker.

A thread beside the time slices: a question is started between two batches of chunks and waits for no window of them. It
ends with its process. Another task of the worker starts it again.
"""

from __future__ import annotations

import logging
import threading
import time

from django.conf import settings

from ingestion.coordination import question_service
from ingestion.embedding.embedder import Embedder
from ingestion.embedding.loading import configured_model
from ingestion.exceptions import BufferUnavailable
from ingestion.types import Vectors

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0

_thread: threading.Thread | None = None


def wanted() -> bool:
    """Return whether questions are to be answered by workers, and none says that it does."""
    return bool(settings.QUERY_EMBEDDER == "worker") and question_service.served() is None


def start(embedder: Embedder) -> None:
    """Start the thread that answers questions, unless it runs already or QUERY_EMBEDDER is not "worker"."""
    global _thread
    if settings.QUERY_EMBEDDER != "worker" or (_thread and _thread.is_alive()):
        return
    _thread = threading.Thread(target=answer_forever, args=(embedder,), name="questions", daemon=True)
    _thread.start()


def answer_forever(embedder: Embedder) -> None:
    """Answer one request after the other; while Redis does not answer, wait."""
    model = configured_model()
    while True:
        try:
            question_service.serve(model)
            answer_next(embedder)
        except BufferUnavailable:
            time.sleep(PAUSE_SECONDS)


def answer_next(embedder: Embedder) -> None:
    """Answer the next request, if one comes within a moment."""
    request = question_service.next_request()
    if request is None:
        return
    try:
        reply = answer(embedder, request)
    except Exception as error:  # whoever asked does without; a device that failed shows in the next batch of chunks
        logger.warning("a question could not be embedded: %s", error)
        reply = question_service.Reply(error=f"{type(error).__name__}: {error}")
    question_service.send(request, reply)


def answer(embedder: Embedder, request: question_service.Request) -> question_service.Reply:
    """Return the reply to a request. Raises what the model raises, and TimeoutError."""
    ids = [each[: embedder.max_tokens] for each in question_service.token_ids(request)]
    if request.compared:
        until = time.monotonic() + request.until - time.time()
        return question_service.Reply(similarities=embedder.similarities(ids[0], ids[1:], until))
    found: dict[int, Vectors] = {}
    for positions, vectors in embedder.embed_tokens(ids, urgent=True):
        found.update(zip(positions, vectors, strict=True))
    return question_service.of_vectors([found[at] for at in range(len(ids))])
