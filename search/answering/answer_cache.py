"""Answers of the language model, kept in Redis for all processes and given to who asks the same again.

In: a question, later its passages. Out: the events of an earlier answer, or none. The same question (normalised) is
found without a search; another one only where it has the same numbers, names and negations, no word was swapped and
the earlier one says no more (``same_question``), where each question's best passage is among the other's best, and its
vector is near enough.
Everything that decides an answer besides is in the keys: source, limit and mode, the sources that the caller sees, the
models, the rules of the prompt and the collection that is searched.

An entry lives for ANSWER_CACHE_SECONDS and dies before when one of its passages, its page or title changes, or its
source begins a new run (``stamp``); the least used one leaves when there are more than ANSWER_CACHE_ENTRIES. Redis that
does not answer is an empty cache. What may be kept is for the caller to say.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from django.conf import settings
from django.db import DatabaseError
from django.db.models import OuterRef, Subquery

from ingestion.coordination import redis_client
from ingestion.coordination.measurements import ANSWER_CACHE, ANSWER_COSINE
from ingestion.exceptions import BufferUnavailable, IngestionError
from ingestion.models import Chunk, Collection, Run
from search.answering.citations import Token
from search.answering.draft import DraftEvent
from search.answering.prompt import PROMPT_VERSION
from search.answering.same_question import normalised, opposed, says_more, signature, swapped
from search.answering.sentence_vectors import question_vector
from search.answering.support import Unsupported
from search.answering.thinking import Discard
from search.questions import Passage, Question

logger = logging.getLogger(__name__)

PREFIX = "answers"
# Each question's best passage must be among so many of the other's. Over Django's documentation with the stand-in, 22
# of 40 paraphrases are given an answer at a cosine of .85, none of 40 minimal pairs and of 20 pairs with a word
# swapped (measured before those that say more were left out). The same best passage would be too much to ask: half of
# the paraphrases have another one.
TOP = 5
USED = f"{PREFIX}:used"

Kept = Token | Unsupported


@dataclass(frozen=True, slots=True)
class Remembered:
    """An earlier answer: the question it was given to, its passages, and its events."""

    question: str
    passages: tuple[Passage, ...]
    events: tuple[Kept, ...]


def same(question: Question) -> Remembered | None:
    """Return the answer that was given to this very question before; None without one that is still valid."""
    if not settings.ANSWER_CACHE_SECONDS or question.again:
        return None
    found = held(f"{scope(question)}:{digest(normalised(question.text))}")
    if found:
        ANSWER_CACHE.add(1, "same")
    return found


def similar(question: Question, passages: Sequence[Passage]) -> Remembered | None:
    """Return the answer to the nearest earlier question that may share it."""
    if not settings.ANSWER_CACHE_SECONDS or question.again:
        return None
    try:
        keys = alike(question, passages[:TOP])
        with redis_client.available() as client:
            with client.pipeline(transaction=False) as pipe:
                for near in keys:
                    pipe.hgetall(near)
                vectors = {key: vector for found in pipe.execute() for key, vector in found.items()}
            ANSWER_CACHE.add(1, "asked")
        mine = question_vector(question.text) if vectors else None
    except IngestionError:
        return None
    if mine is None:
        return None
    known = [(np.frombuffer(vector, np.float16), key.decode()) for key, vector in vectors.items()]
    # While a new model loads, the one before it answers for its collection, and its vectors may have another length.
    nearest = sorted(((float(vector @ mine), key) for vector, key in known if vector.shape == mine.shape), reverse=True)
    if nearest:
        ANSWER_COSINE.observe(nearest[0][0])
    for cosine, key in nearest:
        if cosine < settings.ANSWER_CACHE_COSINE:
            return None
        if found := held(key, partial(may_share, question, passages)):
            ANSWER_CACHE.add(1, "similar")
            return found
    return None


def may_share(question: Question, passages: Sequence[Passage], found: Remembered) -> bool:
    """Return whether an earlier answer, near as its question is, rests on what this question is about."""
    best = (passages[0].document, passages[0].position)
    if best not in [(passage.document, passage.position) for passage in found.passages[:TOP]]:
        return False
    headings = " ".join(f"{passage.title} {passage.heading}" for passage in (*passages, *found.passages))
    texts = found.question, question.text
    return not (opposed(*texts) or swapped(*texts, headings) or says_more(*texts, headings))


def keep(question: Question, passages: Sequence[Passage], events: Sequence[DraftEvent], stamped: str) -> None:
    """Keep an answer; ``stamped`` is what ``stamp`` said of the passages before it was written."""
    if not settings.ANSWER_CACHE_SECONDS or not stamped:
        return
    try:
        key, [near] = f"{scope(question)}:{digest(normalised(question.text))}", alike(question, passages[:1])
        entry = {
            "question": question.text,
            "passages": [asdict(passage) for passage in passages],
            "events": [[type(event).__name__, asdict(event)] for event in worth_keeping(events)],
            "stamp": stamped,
            "near": near,
        }
        vector = question_vector(question.text).astype(np.float16).tobytes()
        with redis_client.available() as client, client.pipeline(transaction=False) as pipe:
            forget_ended(client, near)
            pipe.set(f"{PREFIX}:entry:{key}", packed(entry), ex=settings.ANSWER_CACHE_SECONDS)
            pipe.hset(near, key, vector)
            pipe.expire(near, settings.ANSWER_CACHE_SECONDS)
            pipe.zadd(USED, {key: time.time()})
            pipe.zremrangebyscore(USED, "-inf", time.time() - settings.ANSWER_CACHE_SECONDS)
            pipe.zcard(USED)
            *_, entries = pipe.execute()
            for leaving, _ in client.zpopmin(USED, max(0, entries - settings.ANSWER_CACHE_ENTRIES)):
                forget(leaving.decode())
        ANSWER_CACHE.add(1, "kept")
    except (IngestionError, DatabaseError) as error:
        logger.warning("an answer was not kept: %s", error)


def worth_keeping(events: Sequence[DraftEvent]) -> list[Kept]:
    """Return the answer itself: no thoughts, no notices of how it came about, and text in as few pieces as possible."""
    kept: list[Kept] = []
    for event in events:
        if isinstance(event, Discard):
            kept.clear()
        elif isinstance(event, Unsupported):
            kept.append(event)
        elif isinstance(event, Token):
            before = kept[-1] if kept else None
            if isinstance(before, Token) and not before.citation and not event.citation:
                kept[-1] = Token(before.text + event.text)
            else:
                kept.append(event)
    return kept


def held(key: str, serves: Callable[[Remembered], bool] = lambda found: True) -> Remembered | None:
    """Return the entry under ``key`` if ``serves`` accepts it and it is still valid, else None.

    An entry is valid while its passages are unchanged (``stamp``); one that no longer is is deleted.
    """
    try:
        with redis_client.available() as client:
            body = client.get(f"{PREFIX}:entry:{key}")
            if body is None:
                return None
            entry = unpacked(body)
            found = Remembered(
                entry["question"],
                tuple(map(Passage.restored, entry["passages"])),
                tuple(KINDS[kind](**fields) for kind, fields in entry["events"]),
            )
            if not serves(found):  # told without the rows
                return None
            if stamp(found.passages) != entry["stamp"]:
                ANSWER_CACHE.add(1, "died")
                forget(key)
                return None
            client.zadd(USED, {key: time.time()}, xx=True)
    except BufferUnavailable:
        return None
    return found


def forget(key: str) -> None:
    """Delete the entry under ``key``, and the vector by which similar questions find it."""
    with redis_client.available() as client:
        body = client.getdel(f"{PREFIX}:entry:{key}")
        client.zrem(USED, key)
        if body is not None:
            client.hdel(unpacked(body)["near"], key)


def forget_ended(client: Any, near: str) -> None:
    """Delete the vectors under the key ``near`` whose entries have expired.

    Redis does not do so itself: the key does not expire as long as new vectors are added to it.
    """
    keys = client.hkeys(near)
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.exists(f"{PREFIX}:entry:{key.decode()}")
        ended = [key for key, is_there in zip(keys, pipe.execute(), strict=True) if not is_there]
    if ended:
        client.hdel(near, *ended)


def stamp(passages: Sequence[Passage]) -> str:
    """Return a digest of the passages' pages, their sources and these sources' last runs.

    It changes whenever one of them does, and is empty where a passage's text is no longer what the database has.
    """
    page = ("url", "title", "text_hash", "source_id", "source__name")
    latest = Run.objects.filter(source=OuterRef("document__source")).order_by("-id").values("id")[:1]
    rows = (
        Chunk.objects.live()
        .filter(document__in={passage.document for passage in passages})
        .filter(position__in={passage.position for passage in passages})
        .filter(document__source__deleting=False)
        .values_list("document_id", "position", "text", *(f"document__{name}" for name in page), Subquery(latest))
    )
    texts, pages = {}, {}
    for document, position, text, *rest in rows:
        texts[document, position], pages[document] = text, rest
    if any(texts.get((each.document, each.position)) != (each.excerpt or each.text) for each in passages):
        return ""
    return digest(repr(sorted(pages.items())))


def scope(question: Question) -> str:
    """Return a digest of what an answer depends on besides the question's text and its passages.

    That is the question's options, the sources that the caller sees, the language model and the searched collection.
    """
    collection = Collection.objects.searched()
    searched = (collection.name, collection.spec()) if collection else ()
    model = (settings.LLM_BASE_URL, settings.LLM_MODEL, settings.LLM_MAX_TOKENS, PROMPT_VERSION)
    visible = question.caller.sources
    seen = "all" if visible is None else sorted(visible)
    asked = (question.source, question.version, question.path, question.limit, question.mode)
    return digest(repr((asked, seen, model, searched)))


def alike(question: Question, passages: Sequence[Passage]) -> list[str]:
    """Return, for each passage, the Redis key for vectors of questions whose best passage it is.

    Only questions with the same ``scope`` and ``signature`` share a key.
    """
    before, signed = f"{PREFIX}:alike:{scope(question)}", signature(question.text)
    return [f"{before}:{digest(repr((best.document, best.position, signed)))}" for best in passages]


def compare(known: Remembered, passages: Sequence[Passage], events: Sequence[object]) -> None:
    """Count whether an answer written anew cites a passage that the earlier one of a similar question cites."""
    agreed = cited(known.passages, known.events) & cited(passages, events)
    ANSWER_CACHE.add(1, "agreed" if agreed else "differed")


def cited(passages: Sequence[Passage], events: Sequence[object]) -> set[tuple[int, int]]:
    """Return document and position of the passages that an answer cites."""
    numbers = {event.citation for event in events if isinstance(event, Token) and event.citation}
    return {(passages[number - 1].document, passages[number - 1].position) for number in numbers}


KINDS: dict[str, type[Kept]] = {kind.__name__: kind for kind in (Token, Unsupported)}


def packed(entry: dict[str, Any]) -> bytes:
    """Return a cache entry as compressed JSON."""
    return zlib.compress(json.dumps(entry).encode(), level=1)


def unpacked(body: bytes) -> dict[str, Any]:
    """Return an entry that was packed."""
    entry: dict[str, Any] = json.loads(zlib.decompress(body))
    return entry


def digest(text: str) -> str:
    """Return the first 24 hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]
