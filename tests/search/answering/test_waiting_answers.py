"""Answers that wait for the language model: in what order, what their readers are told, and when they are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

import pytest
from asgiref.sync import async_to_sync
from pytest_django import Settings

from search.access.caller import OPERATOR
from search.access.fair_queue import process_queues
from search.answering import answer as answering
from search.answering import llm
from search.answering.answer import Done, Event, Found, answer
from search.answering.citations import Token
from search.answering.draft import Notice
from search.api.events import described
from search.exceptions import TooBusy
from search.questions import Question
from search.timings import Timings
from tests.support.search_services import ModelServer

QUESTION = Question("How do I create migrations after changing a model?", OPERATOR)


def asked(client: str, question: Question = QUESTION) -> AsyncGenerator[Event, None]:
    """The events of an answer for a client with a key."""
    return answer(replace(question, caller=replace(OPERATOR, name=client)), Timings())


@pytest.fixture
def one_at_once(index: None, language_model: ModelServer, settings: Settings) -> ModelServer:
    settings.LLM_ANSWERS = settings.LLM_ANSWERS_PER_CLIENT = 1
    language_model.behaviour = "endless"
    return language_model


def run(play: Callable[[AsyncGenerator[Event, None]], Awaitable[None]]) -> None:
    """Play while an answer is being written, which the play may close."""

    async def played() -> None:
        try:
            async with aclosing(asked("first")) as first:
                while not isinstance(await anext(first), Token):
                    pass
                await play(first)
            assert not process_queues().answers.running
        finally:
            await llm.close_client()

    async_to_sync(played)()


def test_a_reader_sees_the_passages_and_how_many_answers_come_first(one_at_once: ModelServer) -> None:
    async def play(first: AsyncGenerator[Event, None]) -> None:
        async with aclosing(asked("second")) as second, aclosing(asked("third")) as third:
            for waiting, told in ((second, "1 answer is"), (third, "2 answers are")):
                assert isinstance(await anext(waiting), Found)
                notice = await anext(waiting)
                assert notice == Notice("waiting", f"{told} being written before yours.")
                assert described(notice)[0] == "notice"
            assert len(one_at_once.requests) == 1
            one_at_once.behaviour = "answer"
            await first.aclose()
            events = [event async for event in second]
            assert "".join(e.text for e in events if isinstance(e, Token)) == "Run makemigrations [1]."
            assert isinstance(events[-1], Done)
            assert [event async for event in third]

    run(play)


def test_a_reader_is_told_again_when_fewer_come_first(
    one_at_once: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "LOOK_EVERY_SECONDS", 0.01)

    async def play(first: AsyncGenerator[Event, None]) -> None:
        async with aclosing(asked("third")) as third:
            async with aclosing(asked("second")) as second:
                await anext(second)
                assert [type(await anext(third)) for _ in range(2)] == [Found, Notice]
            assert await anext(third) == Notice("waiting", "1 answer is being written before yours.")

    run(play)


def test_one_caller_cannot_fill_the_queue_in_front_of_another(one_at_once: ModelServer) -> None:
    async def play(first: AsyncGenerator[Event, None]) -> None:
        async with (
            aclosing(asked("first")) as more,
            aclosing(asked("first")) as again,
            aclosing(asked("second")) as other,
        ):
            for waiting in (more, again, other):
                await anext(waiting)
            assert await anext(other) == Notice("waiting", "2 answers are being written before yours.")
            assert await anext(again) == Notice("waiting", "2 answers are being written before yours.")

    run(play)


def test_a_full_queue_refuses_before_passages_are_shown(one_at_once: ModelServer, settings: Settings) -> None:
    settings.LLM_ANSWERS_WAITING = 1

    async def play(first: AsyncGenerator[Event, None]) -> None:
        async with aclosing(asked("second")) as second:
            await anext(second)
            with pytest.raises(TooBusy, match="Try again in 5 s") as refused:
                await anext(asked("third"))
            assert (refused.value.status, refused.value.retry_after) == (503, 5)

    run(play)


def test_one_caller_may_have_so_many_answers_wait(one_at_once: ModelServer, settings: Settings) -> None:
    settings.LLM_ANSWERS_WAITING_PER_CLIENT = 1

    async def play(first: AsyncGenerator[Event, None]) -> None:
        async with aclosing(asked("first")) as second:
            await anext(second)
            with pytest.raises(TooBusy, match="1 of your requests wait") as refused:
                await anext(asked("first"))
            assert refused.value.status == 429
            async with aclosing(asked("other")) as other:
                assert isinstance(await anext(other), Found)

    run(play)


def test_who_hangs_up_while_waiting_leaves_the_queue(one_at_once: ModelServer) -> None:
    async def play(first: AsyncGenerator[Event, None]) -> None:
        waiting = asked("second")
        await anext(waiting)
        await anext(waiting)
        going_on = asyncio.ensure_future(anext(waiting))
        await asyncio.sleep(0)
        going_on.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going_on
        await waiting.aclose()
        assert process_queues().answers.waiting(known=True) == 0

    run(play)


def test_a_question_that_the_passages_do_not_answer_waits_for_nobody(one_at_once: ModelServer) -> None:
    async def play(first: AsyncGenerator[Event, None]) -> None:
        question = replace(QUESTION, text="Who won the football championship in Brazil yesterday evening?")
        events = [event async for event in asked("second", question)]
        assert isinstance(events[-1], Done)
        assert not [e for e in events if isinstance(e, Notice) and e.kind == "waiting"]

    run(play)
