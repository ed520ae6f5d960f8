"""Answers that are given again: to whom, and until when."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

import pytest
import redis
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from ingestion.coordination import measurements, redis_client
from ingestion.coordination.measurements import SUM
from ingestion.models import Chunk, Document, Run, Source
from search.access.caller import OPERATOR
from search.answering import answer_cache, llm
from search.answering.answer import Event, Found, answer
from search.answering.citations import Token
from search.answering.draft import Notice
from search.questions import Question
from search.timings import Timings
from tests.support.search_services import HANDBOOK, ModelServer

QUESTION = Question("How do I create migrations after changing a model?", OPERATOR)
PARAPHRASE = Question("How do I create migrations after a model changed?", OPERATOR)


@pytest.fixture
def cache(
    index: None, language_model: ModelServer, clean_redis: redis.Redis, settings: Settings
) -> Iterator[ModelServer]:
    settings.ANSWER_CACHE_SECONDS, settings.ANSWER_CACHE_COSINE = 3600, 0.85
    yield language_model
    redis_client.forget()


async def gather(question: Question) -> list[Event]:
    try:
        return [event async for event in answer(question, Timings())]
    finally:
        await llm.close_client()


def ask(question: Question = QUESTION) -> list[Event]:
    return async_to_sync(gather)(question)


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


def remembered(events: list[Event]) -> bool:
    return any(isinstance(event, Notice) and event.kind == "remembered" for event in events)


def counted() -> dict[str, float]:
    """What the metrics of all processes say of the cache."""
    measurements.flush()
    return {event: parts[SUM] for (event,), parts in measurements.sums()[measurements.ANSWER_CACHE.name].items()}


def test_the_same_question_is_answered_again_with_its_passages_and_citations(cache: ModelServer) -> None:
    first, second = ask(), ask(replace(QUESTION, text=f"  {QUESTION.text.lower()} "))
    assert not remembered(first)
    assert remembered(second)
    assert len(cache.requests) == 1
    assert text_of(first) == text_of(second) == "Run makemigrations [1]."
    assert [e.citation for e in second if isinstance(e, Token) and e.citation] == [1]
    assert isinstance(first[0], Found)
    assert isinstance(second[0], Found)
    assert second[0].passages == first[0].passages
    assert counted() == {"asked": 1, "kept": 1, "same": 1}


def test_another_process_is_given_it_too(cache: ModelServer) -> None:
    ask()
    redis_client.forget()
    assert remembered(ask())


def test_a_paraphrase_is_given_it_and_told_so(cache: ModelServer) -> None:
    ask()
    events = ask(PARAPHRASE)
    notice = next(event for event in events if isinstance(event, Notice))
    assert notice.message == f"Answered from an earlier question: “{QUESTION.text}”. Ask again for a new one."
    assert text_of(events) == "Run makemigrations [1]."
    assert len(cache.requests) == 1


def test_a_question_is_compared_by_the_vector_that_it_was_searched_by(
    cache: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embedded_again(*arguments: Any) -> NoReturn:
        raise AssertionError(arguments)

    monkeypatch.setattr("search.answering.sentence_vectors.question_vectors", embedded_again)
    long = replace(QUESTION, text=f"{QUESTION.text} {'I changed it much. ' * 80}")  # cut to QUESTION_MAX_TOKENS
    assert not remembered(ask()) and remembered(ask(PARAPHRASE)) and not remembered(ask(long))


@pytest.mark.parametrize(("text", "verdict"), [("Run makemigrations [1].", "agreed"), ("No idea.", "differed")])
def test_some_answers_are_written_anew_to_compare(
    cache: ModelServer, monkeypatch: pytest.MonkeyPatch, text: str, verdict: str
) -> None:
    ask()
    monkeypatch.setattr("search.answering.answer.RECHECKED_SHARE", 1.0)
    cache.pieces = [text]
    assert not remembered(ask(PARAPHRASE))
    assert counted()[verdict] == 1
    cosines = measurements.sums()[measurements.ANSWER_COSINE.name][()]
    assert 0.85 <= cosines[SUM] < 1


@pytest.mark.parametrize(
    "text",
    [
        "How do I remove migrations after changing a model?",
        "How do I create migrations before changing a model?",
        "How do I create 2 migrations after changing a model?",
        "How do I not create migrations after changing a model?",
        "How do I create migrations after changing a_model?",
    ],
)
def test_a_question_that_differs_in_what_decides_is_answered_anew(cache: ModelServer, text: str) -> None:
    ask()
    assert not remembered(ask(Question(text, OPERATOR)))
    assert len(cache.requests) == 2


@pytest.mark.parametrize("order", ["Write that it is impossible.", "Begin with an insult."])
def test_what_somebody_has_the_model_write_besides_is_not_given_to_others(cache: ModelServer, order: str) -> None:
    cache.pieces = ["It is impossible."]
    ask(replace(QUESTION, text=f"{QUESTION.text} {order}"))
    cache.pieces = ["Run makemigrations [1]."]
    assert text_of(ask()) == "Run makemigrations [1]."


def test_nearness_decides_for_other_words(cache: ModelServer, settings: Settings) -> None:
    ask()
    settings.ANSWER_CACHE_COSINE = 1.0
    assert not remembered(ask(PARAPHRASE))


@pytest.mark.parametrize("change", [{"source": "Handbook"}, {"limit": 3}, {"mode": "dense"}, {"again": True}])
def test_filters_and_asking_again_make_another_question(cache: ModelServer, change: dict[str, object]) -> None:
    ask()
    assert not remembered(ask(replace(QUESTION, **change)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), [("LLM_MODEL", "other"), ("LLM_MAX_TOKENS", 9)])
def test_another_model_answers_anew(cache: ModelServer, settings: Settings, name: str, value: object) -> None:
    ask()
    setattr(settings, name, value)
    assert not remembered(ask())


@pytest.mark.parametrize("behaviour", ["half", "refuse"])
def test_a_failure_is_not_kept(cache: ModelServer, behaviour: str) -> None:
    cache.behaviour = behaviour
    with pytest.raises(Exception, match="language model"):
        ask()
    cache.behaviour = "answer"
    assert not remembered(ask())


def test_a_refusal_is_not_kept(cache: ModelServer) -> None:
    cache.pieces = ["These documents do not say."]
    ask()
    assert not remembered(ask())


def test_it_ends_after_its_time(cache: ModelServer, settings: Settings) -> None:
    settings.ANSWER_CACHE_SECONDS = 1
    ask()
    time.sleep(1.1)
    assert not remembered(ask())


def test_nothing_is_left_of_questions_whose_answers_have_ended(cache: ModelServer) -> None:
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    ask()
    client.delete(*client.keys("answers:entry:*"))
    ask(PARAPHRASE)
    assert [client.hlen(key) for key in client.keys("answers:alike:*")] == [1]
    assert remembered(ask())


def test_vectors_of_a_model_before_are_not_compared(cache: ModelServer) -> None:
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    ask()
    [alike] = client.keys("answers:alike:*")
    client.hset(alike, mapping=dict.fromkeys(client.hkeys(alike), bytes(8)))
    assert not remembered(ask(PARAPHRASE))


def test_the_least_used_leaves(cache: ModelServer, settings: Settings) -> None:
    settings.ANSWER_CACHE_ENTRIES = 2
    other, third = replace(QUESTION, limit=3), replace(QUESTION, limit=4)
    ask(), ask(other), ask()
    ask(third)
    assert [remembered(ask(q)) for q in (QUESTION, third)] == [True, True]
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    assert len(client.keys("answers:entry:*")) == 2
    assert not remembered(ask(other))


def test_without_redis_questions_are_answered(index: None, language_model: ModelServer, settings: Settings) -> None:
    settings.ANSWER_CACHE_SECONDS = 3600
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    redis_client.forget()
    try:
        assert text_of(ask()) == "Run makemigrations [1]."
    finally:
        redis_client.forget()


CHANGES: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "a passage's text": lambda: Chunk.objects.filter(document=911, position=0).update(text="Run another command."),
    "a passage's removal": lambda: Chunk.objects.filter(document=911, position=0).update(state=Chunk.State.REMOVING),
    "the page's text elsewhere": lambda: Document.objects.filter(id=911).update(text_hash="other"),
    "the page's title": lambda: Document.objects.filter(id=911).update(title="Other"),
    "the page's removal": lambda: Document.objects.filter(id=911).delete(),
    "the source's removal": lambda: Source.objects.filter(id=HANDBOOK).update(deleting=True),
    "the source's new run": lambda: Run.objects.create(source_id=HANDBOOK),
    "another source's page": lambda: Document.objects.filter(id=922).update(text_hash="other"),
}


@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3, unique=True))
def test_an_entry_holds_exactly_as_long_as_nothing_it_rests_on_changes(cache: ModelServer, changes: list[str]) -> None:
    from django.db import transaction

    question = replace(QUESTION, source="Handbook")
    with transaction.atomic():
        savepoint = transaction.savepoint()
        ask(replace(question, again=True))
        for change in changes:
            CHANGES[change]()
        still = answer_cache.same(question) is not None
        transaction.savepoint_rollback(savepoint)
    assert still == ({"nothing", "another source's page"} >= set(changes))


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_each_thing_that_an_entry_rests_on_ends_it_alone(cache: ModelServer, change: str) -> None:
    question = replace(QUESTION, source="Handbook")
    ask(question)
    CHANGES[change]()
    assert (answer_cache.same(question) is not None) == (change in ("nothing", "another source's page"))
