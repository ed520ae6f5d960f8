"""What is searched for: follow-ups that stand alone, questions of several parts taken apart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import TypeVar

import pytest
from pytest_django import Settings

from search.access.caller import OPERATOR
from search.access.fair_queue import process_queues
from search.answering import llm
from search.answering.rewriter import Exchange, condense, parts_of, stands_alone
from search.answering.server_habits import habits_of
from tests.support.scripted_model import Reply, ScriptedModel, refusal, scripted_model, stream

T = TypeVar("T")
CACHE = [Exchange("How do I set up the per-view cache in Django?", "Use the cache_page decorator [1].")]
TWO = "How do I add a Redis cache and how do I log slow database queries?"


@pytest.fixture
def model(settings: Settings) -> Iterator[ScriptedModel]:
    with scripted_model() as server:
        settings.LLM_BASE_URL, settings.LLM_MODEL, settings.LLM_API_KEY = server.url, "m", ""
        settings.REWRITE_SECONDS = 20.0
        habits_of.cache_clear()
        yield server
    habits_of.cache_clear()


def run(asking: Awaitable[T]) -> T:
    async def closing() -> T:
        try:
            return await asking
        finally:
            await llm.close_client()

    return asyncio.run(closing())


@pytest.mark.parametrize(
    "question",
    [
        "How do I disable it?",
        "Why?",
        "in production?",
        "And for PostgreSQL databases?",
        "What about class-based views?",
        "Can you give an example of that? How do I do that?",
        "Wie schalte ich das aus, und wozu dient es?",
        "它怎么用？",
    ],
)
def test_a_follow_up_takes_the_subject_of_the_question_before_along(question: str) -> None:
    assert not stands_alone(question)
    searched = run(condense(CACHE, question, OPERATOR))
    assert searched.startswith(question)
    assert "cache" in searched.removeprefix(question) and "per-view" in searched.removeprefix(question)


@pytest.mark.parametrize(
    "question",
    [
        "What is a queryset?",
        "How do I make a query that spans a relationship?",
        "CharField.max_length",
        "Wie lege ich einen Index an?",
        "How do I create a model form, validate it, save it and redirect to another page?",
    ],
)
def test_a_question_that_stands_alone_is_left_as_it_is(question: str, model: ScriptedModel) -> None:
    assert run(condense(CACHE, question, OPERATOR)) == question
    assert model.requests == []


def test_without_a_conversation_nothing_is_added() -> None:
    assert run(condense([], "How do I disable it?", OPERATOR)) == "How do I disable it?"


def test_the_subject_is_that_of_the_last_question_that_had_one() -> None:
    history = [Exchange("What is a migration?"), *CACHE, Exchange("Why?"), Exchange("And how long does it last?")]
    assert (
        run(condense(history, "How do I disable it?", OPERATOR))
        == "How do I disable it? (set up per-view cache Django)"
    )


def test_words_that_the_follow_up_has_are_not_said_twice() -> None:
    assert run(condense(CACHE, "And the cache?", OPERATOR)) == "And the cache? (set up per-view Django)"


def test_a_language_model_writes_the_follow_up_anew(model: ScriptedModel) -> None:
    model.say("<think>They mean the cache.</think>", "How do I disable ", "the per-view cache?\n")
    assert run(condense(CACHE, "How do I disable it?", OPERATOR)) == "How do I disable the per-view cache?"
    [rules, asked] = model.requests[0]["messages"]
    assert "Do not answer" in rules["content"]
    assert asked["content"].endswith("Follow-up question: How do I disable it?")
    assert CACHE[0].question in asked["content"] and CACHE[0].answer in asked["content"]


@pytest.mark.parametrize(
    "reply",
    [
        refusal(400, "no"),
        Reply(stream()),
        Reply(stream("x" * 500)),
        Reply(stream("x " * 5000)),
        Reply([b": wait\n\n", stream("Too late?")], pause=0.6),
    ],
    ids=["refused", "nothing said", "too long a line", "too much", "too late"],
)
def test_the_rule_stands_when_the_model_does_not_serve(model: ScriptedModel, reply: Reply, settings: Settings) -> None:
    model.replies = [reply]
    settings.REWRITE_SECONDS = 0.5 if reply.pause else 20.0
    assert (
        run(condense(CACHE, "How do I disable it?", OPERATOR)) == "How do I disable it? (set up per-view cache Django)"
    )


def test_a_question_of_several_parts_is_taken_apart(model: ScriptedModel) -> None:
    model.say("1. How do I add a Redis cache?\n", "2) How do I log slow queries?\n\n- Which?\n* What else?")
    assert run(parts_of(TWO, OPERATOR)) == ["How do I add a Redis cache?", "How do I log slow queries?", "Which?"]


def test_one_line_is_no_parts(model: ScriptedModel) -> None:
    model.say("How do I add a cache and log queries?")
    assert run(parts_of(TWO, OPERATOR)) == []


def test_a_question_that_asks_one_thing_is_never_sent_to_a_model(model: ScriptedModel, settings: Settings) -> None:
    assert run(parts_of("How do I add a Redis cache to my project's settings?", OPERATOR)) == []
    assert run(parts_of("Search and replace?", OPERATOR)) == []
    assert model.requests == []
    settings.LLM_BASE_URL = ""
    assert run(parts_of(TWO, OPERATOR)) == []


def test_a_model_that_writes_other_answers_is_not_asked(model: ScriptedModel, settings: Settings) -> None:
    settings.LLM_ANSWERS = 1
    model.say("How do I disable the per-view cache?")

    async def asked() -> str:
        with process_queues().answers.queued(OPERATOR):
            return await condense(CACHE, "How do I disable it?", OPERATOR)

    assert run(asked()) == "How do I disable it? (set up per-view cache Django)"
    assert not model.requests
