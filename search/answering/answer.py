"""A question -> a stream of events: Found, then what the answer is made of, then Timed, then Done.

The one place where retrieval, prompt and model are joined; the page, the API and the command all read this stream.
Between Found and Timed come Tokens, Notices, Unsupported and Discard (``draft``). Raises SearchError or IngestionError,
possibly after Found and some Tokens, which stay valid. After a failure before Found the caller can still answer with a
status.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from random import random
from time import perf_counter
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings

from ragproject import span_attributes
from ragproject.connections import give_back
from search.access.fair_queue import Ticket, process_queues, to_its_end
from search.answering import answer_cache, llm
from search.answering.answer_cache import Remembered
from search.answering.citations import Token, printable
from search.answering.draft import UNANSWERED, Draft, DraftEvent, Notice
from search.answering.extractive import Extract, best_extracts
from search.answering.prompt import NOT_SAID, build_messages, document_text, room_for_documents, select_context
from search.answering.rewriter import parts_of
from search.answering.scope import out_of_scope
from search.answering.sentence_vectors import nearness
from search.answering.server_habits import habits_of
from search.exceptions import LLMFailed
from search.questions import Passage, Question, other_texts
from search.retrieval.expansion import expanded
from search.retrieval.query_vectors import last_count
from search.retrieval.question_model import searched
from search.retrieval.retriever import retrieve_queued
from search.timings import Timings

logger = logging.getLogger(__name__)

EXTRACTIVE_NOTICE = "No language model is configured; these are the passages that answer best."
NOTHING_FOUND = "Nothing in the index answers this question."
# So many of the answers that a similar question could be given are written anew all the same, so that the metrics tell
# how often the two rest on different passages.
RECHECKED_SHARE = 0.02
# How often a reader who waits is told how many still come first, if that has changed.
LOOK_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """The passages, numbered from 1 in this order, and who answers: "llm" or "extractive"."""

    passages: tuple[Passage, ...]
    mode: str


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds per stage."""

    timings: dict[str, float]


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete, or what there is of it; ``tokens`` and their speed where a language model wrote it.

    ``keep`` says that others who ask the same may be given it, too. ``prompt_tokens`` are 0 where its server counts
    none.
    """

    tokens: int = 0
    tokens_per_second: float = 0.0
    keep: bool = False
    prompt_tokens: int = 0


Event = Found | DraftEvent | Timed | Done


async def answer(question: Question, timings: Timings) -> AsyncGenerator[Event, None]:
    """Yield the events, in order; close the iterator to stop the language model."""
    passages: list[Passage] = []
    doubted: Remembered | None = None
    known = await earlier(question, timings, answer_cache.same)
    if not known:
        passages = await retrieve_queued(await with_parts(question, timings), timings)
        known = await earlier(question, timings, answer_cache.similar, passages) if passages else None
        if known and random() < RECHECKED_SHARE:  # noqa: S311
            known, doubted = None, known
    if known:
        for event in remembered(known):
            yield event
        yield Timed(timings.milliseconds())
        yield Done()
        return
    written: list[Event] = []
    async with aclosing(new_answer(question, passages, timings)) as events:
        async for event in events:
            written.append(event)
            yield event
    if doubted and isinstance(found := written[0], Found):
        answer_cache.compare(doubted, found.passages, written)


async def with_parts(question: Question, timings: Timings) -> Question:
    """Return the question with its parts added, where REWRITE_QUESTIONS has a language model split it."""
    if not settings.REWRITE_QUESTIONS:
        return question
    await give_back()
    with timings.stage("rewrite"):
        return replace(question, parts=(*question.parts, *await parts_of(question.text, question.caller)))


async def earlier(
    question: Question, timings: Timings, find: Callable[..., Remembered | None], *arguments: Any
) -> Remembered | None:
    """Return the earlier answer that ``find``, a function of the cache, finds for the question and ``arguments``.

    Return None without a search for a follow-up, where no language model writes the answers, and where none are kept.
    """
    if question.follow_up or not llm.configured() or not settings.ANSWER_CACHE_SECONDS:
        return None
    with timings.stage("cache"):
        return await sync_to_async(find)(question, *arguments)


def remembered(known: Remembered) -> Iterator[Event]:
    """Yield the events of an earlier answer, with a notice that names the question it was given to."""
    yield Found(known.passages, "llm")
    yield Notice("remembered", f"Answered from an earlier question: “{known.question}”. Ask again for a new one.")
    yield from known.events


async def new_answer(question: Question, passages: Sequence[Passage], timings: Timings) -> AsyncGenerator[Event, None]:
    """Yield an answer made of the passages; a language model's is kept for who asks the same.

    A language model reads the passages with what stands around them, and its readers are shown the same.
    """
    mode = "llm" if llm.configured() and passages else "extractive"
    found, queues, stamped = passages, process_queues(), ""
    with queues.answers.queued(question.caller) if mode == "llm" else nullcontext() as ticket:
        async with queues.searches.served(question.caller, timings.stage("wait")):
            if mode == "llm":
                with timings.stage("context"):
                    passages = await to_its_end(sync_to_async(expanded)(found))
                stamped = await sync_to_async(answer_cache.stamp)(passages)
            declines = bool(found) and await to_its_end(sync_to_async(is_out_of_scope)(question, found))
        yield Found(tuple(passages), mode)
        if others := other_texts(passages):
            yield Notice("searched", others)
        if ticket and not declines:
            await give_back()
            async for notice in waited(ticket, timings):
                yield notice
        done, written = Done(), []
        generate = declined if declines else generated if mode == "llm" else extracted
        async with aclosing(generate(question, passages, timings)) as events:
            async for event in events:
                if isinstance(event, Done):
                    done = event
                    continue
                written.append(event)
                yield event
        if done.keep and not question.follow_up:
            await sync_to_async(answer_cache.keep)(question, passages, written, stamped)
        yield Timed(timings.milliseconds())
        yield done


def is_out_of_scope(question: Question, passages: Sequence[Passage]) -> bool:
    """Return whether the passages say nothing of what is asked."""
    asked = passages[0].found_by or question.text
    return out_of_scope(asked, passages, partial(nearness, asked), last_count(searched().counted_at))


async def waited(ticket: Ticket, timings: Timings) -> AsyncGenerator[Notice, None]:
    """Yield how many answers come first, whenever that changes, until it is this one's turn. Raises TooBusy."""
    told = 0
    with timings.stage("wait") if not ticket.granted.done() else nullcontext():
        while not ticket.granted.done():
            ahead = process_queues().answers.ahead(ticket)
            if ahead != told:
                answers = "1 answer is" if ahead == 1 else f"{ahead} answers are"
                yield Notice("waiting", f"{answers} being written before yours.")
            told = ahead
            await asyncio.wait({ticket.granted}, timeout=LOOK_EVERY_SECONDS)
    ticket.granted.result()


async def declined(
    question: Question, passages: Sequence[Passage], timings: Timings
) -> AsyncGenerator[DraftEvent | Done, None]:
    """Yield the events of an answer which says that the passages do not answer the question."""
    yield Token(NOT_SAID)
    yield UNANSWERED


async def generated(
    question: Question, passages: Sequence[Passage], timings: Timings
) -> AsyncGenerator[DraftEvent | Done, None]:
    """Yield the language model's answer; only passages that it was given can be cited.

    A prompt that is too long is made again once, with as many passages as the server says that it takes.
    """
    with timings.stage("context"):
        room = room_for_documents(question.text, await llm.context_tokens())
    try:
        async with aclosing(one_draft(question.text, passages, room, timings)) as events:
            async for event in events:
                yield event
    except llm.ContextTooLong as error:
        logger.warning("asking again with fewer passages: %s", error)
        used = sum(len(document_text(passage)) for passage in select_context(passages, room))
        async with aclosing(one_draft(question.text, passages, int(min(room, used) * error.share), timings)) as events:
            async for event in events:
                yield event


async def one_draft(
    question: str, passages: Sequence[Passage], room: int, timings: Timings
) -> AsyncGenerator[DraftEvent | Done, None]:
    """Yield what the language model writes of the passages that fit into ``room`` characters."""
    with timings.stage("context"):
        context = select_context(passages, room)
        messages = build_messages(question, context, room)
        habits = habits_of(settings.LLM_BASE_URL, settings.LLM_MODEL)
        draft = Draft(question, context, habits.ends_only)
    if len(context) < len(passages):
        yield Notice("read", f"The language model read the first {len(context)} passages; there was room for no more.")
    started = perf_counter()
    with timings.stage("generate") as generation, timings.stage("first_token") as first_token:
        try:
            async with aclosing(llm.stream_completion(messages)) as pieces:
                async for piece in pieces:
                    for event in draft.feed(piece):
                        if isinstance(event, Token):
                            first_token.stop()
                        yield event
            for event in draft.finish():
                yield event
        except LLMFailed:
            for event in draft.rest(broken_off=True):
                yield event
            raise
        finally:
            habits.ends_only |= draft.ends_only
            generation.describe(span_attributes.chat(draft.prompt_tokens, draft.tokens, first_token.seconds()))
    speed = draft.tokens / (perf_counter() - started)
    logger.info("%s wrote %d tokens, %.1f a second", settings.LLM_MODEL, draft.tokens, speed)
    yield Done(draft.tokens, round(speed, 1), keep=draft.complete, prompt_tokens=draft.prompt_tokens)


async def extracted(
    question: Question, passages: Sequence[Passage], timings: Timings
) -> AsyncGenerator[DraftEvent | Done, None]:
    """Yield the passages' own sentences as quotations, each with its heading and citation; the best one first."""
    async with process_queues().searches.served(question.caller, timings.stage("wait")):
        with timings.stage("context"):
            near = partial(nearness, question.text)
            texts, headings = [p.text for p in passages], [p.heading for p in passages]
            extracts = await to_its_end(sync_to_async(best_extracts)(question.text, texts, headings, near))
    with timings.stage("generate"):
        if not extracts:
            yield Token(NOTHING_FOUND)
        for extract in extracts:
            if extract is not extracts[0]:
                yield Token("\n\n")
            for line in quoted(extract, passages[extract.number - 1]):
                yield Token(line)
            yield Token(f"[{extract.number}]", extract.number)


def quoted(extract: Extract, passage: Passage) -> Iterator[str]:
    """Yield the lines of an extract as a quotation of Markdown, the heading first; its citation may follow."""
    sections = passage.section.split(" › ") if passage.section else [passage.title]
    if extract.heading and extract.heading not in sections:
        sections.append(extract.heading)
    yield f"> {printable(' › '.join(sections)).replace('`', chr(39))}\n>\n"
    *lines, last = printable(extract.text).split("\n")
    for line in lines:
        yield f"> {line}\n"
    # Behind a fence or a row of a table a citation would be part of them.
    yield f"> {last}\n>\n> " if last.startswith(("```", "|")) else f"> {last} "
