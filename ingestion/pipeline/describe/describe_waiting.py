"""Chunks that want a sentence of context → the sentence on their rows; what reads otherwise now waits for the embedder.

In: rows with ``context_wanted``. Out: rows with ``context``, or with ``context_error`` where the model has none: those
go on without. Where the server gives no sentence to anybody, rows stay as they are, the runs say why, and it is asked
again after PAUSE_SECONDS. Does not embed, and sends no message.

One process does it at a time, with CONTEXT_REQUESTS requests at once, for SLICE_SECONDS: CPU workers have other work.
A sentence is kept under the hash of what it was made of before its chunk has it, so that none is asked for twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from django.conf import settings
from django.db import transaction
from django.db.models import F

from ingestion.context.sentence import Passage, around, sentence
from ingestion.coordination.locks import Lease, hold
from ingestion.coordination.redis_client import available
from ingestion.exceptions import ContextRefused, LanguageModelUnavailable, LeaseLost
from ingestion.models import Chunk, ChunkQuerySet, ContextSentence, Document
from ingestion.pipeline.state.fingerprints import context_key, context_model, embedding_digest
from ingestion.pipeline.state.transitions import explain_wait

logger = logging.getLogger(__name__)

SLICE_SECONDS = 20.0
PAUSE_SECONDS = 30
# Chunks that are described while others wait for the embedder: a chunk that is embedded again counts as waiting, and
# the fewer do, the sooner each is back.
AHEAD = 1000
ERROR_CHARS = 300
# A passage that took too long so often, although no other was there to show that the server answers, is not waited for
# any longer: 15 min at the least.
SLOW_ATTEMPTS = 10


def describe_waiting() -> bool:
    """Describe chunks for one time slice. Return whether more chunks could be described at once."""
    if not settings.CONTEXT_MODEL:  # they do not want it any more
        wanting = Chunk.objects.filter(context_wanted=True)
        wanting.filter(state=Chunk.State.WAITING).update(attempts=0)  # those that were asked for a sentence in vain
        wanting.update(context_wanted=False)
        return False
    if pause_reason():
        return False
    with hold("describe", seconds=settings.LLM_TIMEOUT_SECONDS + SLICE_SECONDS) as lease:
        return lease is not None and describe_for_a_slice(lease)


def describe_for_a_slice(lease: Lease) -> bool:
    """Describe group after group for SLICE_SECONDS.

    Return True when chunks are left then, and False when none are, the server does not answer, or the lock was lost.
    """
    ends_at = time.monotonic() + SLICE_SECONDS
    with ThreadPoolExecutor(settings.CONTEXT_REQUESTS, "describe") as requests:
        while chunks := next_group():
            if time.monotonic() > ends_at:
                return True
            try:
                lease.renew()
                describe(chunks, requests, lease)
            except LanguageModelUnavailable as fault:
                pause(str(fault))
                return False
            except LeaseLost as error:
                logger.warning("%s", error)
                return False
    return False


def wanting() -> ChunkQuerySet:
    """Return the chunks that want a sentence of context and are not being embedded, buffered or removed."""
    settled = (Chunk.State.WAITING, Chunk.State.INDEXED, Chunk.State.FAILED)
    return Chunk.objects.filter(context_wanted=True, state__in=settled)


def next_group() -> list[Chunk]:
    """Return the next chunks, oldest first; none where the embedder has enough to do."""
    if Chunk.objects.filter(state=Chunk.State.WAITING, context_wanted=False)[:AHEAD].count() == AHEAD:
        return []
    return list(wanting().select_related("document").order_by("id")[: 4 * settings.CONTEXT_REQUESTS])


def describe(chunks: Sequence[Chunk], requests: ThreadPoolExecutor, lease: Lease) -> None:
    """Ask for the sentences that are not kept, keep them, and settle the chunks.

    The lease is renewed with each sentence, so that no other process asks for the same ones meanwhile. A request that
    takes too long is the passage's fault where the server answers others, or after SLOW_ATTEMPTS. Raises
    LanguageModelUnavailable for what is left, and LeaseLost.
    """
    keys = {chunk.pk: context_key(chunk.document.title, chunk.heading, chunk.text) for chunk in chunks}
    known = dict(ContextSentence.objects.filter(key__in=keys.values()).values_list("key", "text"))
    asked: dict[str, Future[str]] = {}
    for chunk in chunks:
        if (key := keys[chunk.pk]) not in known and key not in asked:
            asked[key] = requests.submit(sentence, passage_of(chunk))
    errors: dict[str, ContextRefused | LanguageModelUnavailable] = {}
    for key, answer in asked.items():
        try:
            known[key] = answer.result()
            ContextSentence.objects.update_or_create(key=key, defaults={"text": known[key]})
        except (ContextRefused, LanguageModelUnavailable) as error:
            errors[key] = error
        lease.renew()
    alive = any(key in known for key in asked)
    faults = []
    for chunk in chunks:
        problem = errors.get(keys[chunk.pk])
        if problem is None:
            settle(chunk, known[keys[chunk.pk]])
        elif isinstance(problem, ContextRefused) or (problem.slow and (alive or chunk.attempts >= SLOW_ATTEMPTS)):
            logger.warning("chunk %s goes on without a sentence of context: %s", chunk.pk, problem)
            settle(chunk, "", str(problem))
        else:
            Chunk.objects.filter(id=chunk.pk).update(attempts=F("attempts") + int(problem.slow))
            faults.append(problem)
    if faults:
        raise faults[0]


def passage_of(chunk: Chunk) -> Passage:
    """Return a chunk as the model reads it."""
    document = chunk.document
    return Passage(document.title, chunk.heading, chunk.text, around(document.markdown, chunk.start, chunk.end))


@transaction.atomic
def settle(chunk: Chunk, context: str, error: str = "") -> None:
    """Store a chunk's sentence, or why it has none; have the chunk embedded again if its sentence changed."""
    row = Chunk.objects.filter(id=chunk.pk)
    row.update(
        context=context,
        context_model=context_model(),
        context_error=error[:ERROR_CHARS],
        context_wanted=False,
        attempts=0,
        digest=embedding_digest(chunk.heading, chunk.text, context),
    )
    if context != chunk.context:
        row.embed_again()


def describing_wanted() -> bool:
    """Return whether a message should be sent now: chunks want a sentence, and the server is not left alone."""
    return wanting().exists() and not pause_reason()


def pause(reason: str) -> None:
    """Leave the server alone for PAUSE_SECONDS, and write the reason on the runs that wait for it."""
    logger.warning("%s", reason)
    with available() as client:
        client.set(redis_key(), reason, ex=PAUSE_SECONDS)
    waiting = Document.objects.filter(chunks__context_wanted=True).order_by()
    explain_wait(reason, source_ids=list(waiting.values_list("source", flat=True).distinct()))


def pause_reason() -> str:
    """Return why the server is left alone now; empty when it is not."""
    with available() as client:
        reason = client.get(redis_key())
    return reason.decode(errors="replace") if reason else ""


def redis_key() -> str:
    """Return the Redis key of the pause, which all processes share."""
    return f"{settings.EMBEDDINGS_KEY}:describe:pause"
