"""Extracts, generated answers, the stream of events and the command that prints it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from pytest_django import Settings

from ingestion.models import Chunk, Document
from search.access.caller import OPERATOR
from search.answering import llm
from search.answering.answer import Done, Event, Found, Timed, answer
from search.answering.citations import Token
from search.answering.draft import Notice
from search.answering.extractive import EXTRACT_CHARS, EXTRACTS, best_extracts
from search.answering.support import Unsupported
from search.api import events as stream
from search.exceptions import LLMFailed
from search.passage_text import units
from search.questions import Question
from search.timings import Timings
from tests.support.rows import make_chunk
from tests.support.search_services import ROWS, ModelServer

QUESTION = Question("How do I create migrations after changing a model?", OPERATOR)


async def gather(question: Question, into: list[Event]) -> list[Event]:
    try:
        async for event in answer(question, Timings()):
            into.append(event)
    finally:
        await llm.close_client()
    return into


def events_of(question: Question = QUESTION) -> list[Event]:
    return async_to_sync(gather)(question, [])


def text_of(events: list[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, Token))


def kinds(events: list[Event]) -> list[str]:
    """Names of the events, repeated ones once."""
    names = [type(e).__name__ for e in events]
    return [n for i, n in enumerate(names) if i == 0 or names[i - 1] != n]


# --- Extracts ---------------------------------------------------------------------------------


def test_it_picks_the_sentence_that_answers() -> None:
    texts = ["The sky is blue on most days of the year, as everybody knows who looks up now and then. "
             "A lock is released by calling unlock, which also wakes whoever waits for it in the queue. "
             "Nothing else is known about the weather."]  # fmt: skip
    assert best_extracts("How do I release a lock?", texts)[0].text.startswith("A lock is released by")


def test_the_words_of_every_question_do_not_count() -> None:
    texts = ["How is the day, and how is the night that follows when the day is done and the night is young? "
             "Any lock can be opened by turning its own key twice to the left, then to the right."]  # fmt: skip
    assert best_extracts("How is the lock?", texts)[0].text.startswith("Any lock")


def test_a_sentence_that_announces_code_brings_it() -> None:
    text = "Intro.\n\nTo create migrations run:\n\n```console\n$ manage.py makemigrations\n```\n\nThe end."
    extract = best_extracts("create migrations", [text])[0]
    assert extract.text.startswith("To create migrations run:\n`$ manage.py makemigrations`\n")


def test_extracts_keep_the_order_and_numbers_of_the_passages() -> None:
    texts = [f"Locks of kind {n} are released by unlock." for n in range(9)]
    assert [e.number for e in best_extracts("release locks", texts)] == list(range(1, EXTRACTS + 1))


def test_a_passage_that_says_nothing_of_it_is_left_out() -> None:
    texts = ["Bread is baked.", "A lock is released by unlock.", "Milk is white."]
    assert [e.number for e in best_extracts("How is a lock released?", texts)] == [2]


def test_without_a_common_word_the_best_passage_speaks() -> None:
    assert [e.number for e in best_extracts("xyzzy", ["First text.", "Second text."])] == [1]
    assert best_extracts("xyzzy", ["", "  \n"]) == []


def test_it_reads_scripts_without_spaces() -> None:
    texts = ["天気は良いです。移行を作成するにはコマンドを実行します。終わり。"]
    assert best_extracts("移行の作成", texts)[0].text.startswith("移行を作成")


def test_markup_is_left_out() -> None:
    assert [u.text for u in units("# Head\n\nSee **the** [guide](http://x/). Then go.\n\n- one\n- two")] == [
        "See the guide.", "Then go.", "one", "two",
    ]  # fmt: skip


def test_code_that_is_cut_is_not_left_open() -> None:
    long = "word " * 200
    extract = best_extracts("word", [f"Say `this word` and\n\n```\n{long}\n```"])[0].text
    assert extract.startswith("Say `this word` and\n`word word ")
    assert extract.endswith(" word` …")


def test_one_endless_line_is_cut() -> None:
    assert len(best_extracts("word", ["word " * 100_000])[0].text) <= EXTRACT_CHARS + 2


# --- The stream -------------------------------------------------------------------------------


def test_without_a_model_the_answer_is_extracts_with_citations(index: None) -> None:
    events = events_of()
    assert kinds(events) == ["Found", "Token", "Timed", "Done"]
    found = events[0]
    assert isinstance(found, Found)
    assert found.mode == "extractive"
    assert "makemigrations" in text_of(events)
    assert "Migrations record changes" in found.passages[0].text
    cited = [e.citation for e in events if isinstance(e, Token) and e.citation]
    assert cited[0] == 1
    assert len([e for e in events if isinstance(e, Token)]) > 4


def test_what_a_passage_cites_is_not_our_citation(index: None) -> None:
    events = events_of(Question("zebra stripes", OPERATOR, source="Site", limit=1))
    cited = [e for e in events if isinstance(e, Token) and e.citation]
    assert [(e.text, e.citation) for e in cited] == [("[1]", 1)]


def test_the_model_reads_what_stands_around_a_passage(index: None, language_model: ModelServer) -> None:
    before, found_text, after = "It is made of steps.", ROWS[3].text, "Tags are written in braces."
    Document.objects.filter(id=912).update(markdown=f"{before}\n\n{found_text}\n\n{after}")
    start = len(before) + 2
    row = Chunk.objects.get(document=912)
    Chunk.objects.filter(pk=row.pk).update(position=1, start=start, end=start + len(found_text))
    for position, text, at in ((0, before, 0), (2, after, start + len(found_text) + 2)):
        make_chunk(row.document, position, text=text, start=at, end=at + len(text), heading=row.heading)
    language_model.pieces = ["Tags stand in braces, `x_y` do not [1]."]
    events = events_of(Question("What is a template with variables?", OPERATOR, limit=1))
    assert isinstance(events[0], Found)
    [passage] = events[0].passages
    assert passage.text == f"{before}\n\n{found_text}\n\n{after}"
    assert passage.text in language_model.requests[0]["messages"][1]["content"]
    shown = passage.as_citation(1)
    assert (shown["preview"], shown["link"]) == (found_text, "/documents/912/#p1")
    assert [e.missing for e in events if isinstance(e, Unsupported)] == [("x_y",)]


def test_readers_are_told_what_else_was_searched_for(index: None) -> None:
    question = Question("What of keeping pages?", OPERATOR, parts=("How do I cache in Redis?",))
    notices = [e for e in events_of(question) if isinstance(e, Notice)]
    assert notices[0] == Notice("searched", "Searched for “How do I cache in Redis?”.")


def test_every_stage_is_timed(index: None) -> None:
    timed = next(e for e in events_of() if isinstance(e, Timed))
    assert set(timed.timings) == {"embed", "search", "fuse", "rows", "context", "generate", "total"}
    assert all(value == round(value, 1) for value in timed.timings.values())


def test_the_model_answers_from_the_passages(index: None, language_model: ModelServer) -> None:
    events = events_of()
    found = events[0]
    assert isinstance(found, Found)
    assert found.mode == "llm"
    assert kinds(events) == ["Found", "Token", "Timed", "Done"]
    assert text_of(events) == "Run makemigrations [1]."
    asked = language_model.requests[0]["messages"][1]["content"]
    assert found.passages[0].text in asked
    assert asked.endswith(f"Question: {QUESTION.text}")


def test_the_model_can_cite_only_what_it_was_given(
    index: None, language_model: ModelServer, settings: Settings
) -> None:
    settings.LLM_CONTEXT_CHARS = 500
    language_model.pieces = ["one [1] five [5] six [6]"]
    found = events_of()[0]
    assert isinstance(found, Found)
    assert len(found.passages) == 5
    assert text_of(events_of()) == "one [1] five six"


def test_hostile_output_of_the_model_is_cleaned(index: None, language_model: ModelServer) -> None:
    language_model.pieces = ["a\x00\x1b ", "[", "1", "]", "\u202e", " [", "9]"]
    assert text_of(events_of()) == "a [1]"


def test_passages_stay_when_the_model_fails(index: None, language_model: ModelServer) -> None:
    language_model.behaviour = "half"
    got: list[Event] = []
    with pytest.raises(LLMFailed):
        async_to_sync(gather)(QUESTION, got)
    assert kinds(got) == ["Found", "Token"]


def test_nothing_found_is_said_without_asking_the_model(index: None, language_model: ModelServer) -> None:
    from ingestion.models import Chunk

    Chunk.objects.all().delete()
    events = events_of()
    assert text_of(events) == "Nothing in the index answers this question."
    assert language_model.requests == []


def test_sources_may_be_chosen(index: None) -> None:
    found = events_of(replace(QUESTION, source="Site"))[0]
    assert isinstance(found, Found)
    assert {p.source for p in found.passages} == {"Site"}


# --- Server-sent events -----------------------------------------------------------------------


async def slow(pause: float, closed: list[str]) -> AsyncGenerator[Event, None]:
    try:
        yield Token("first")
        await asyncio.sleep(pause)
        yield Token("second\nline")
        yield Done()
    finally:
        closed.append("closed")


async def streamed(events: AsyncGenerator[Event, None], take: int = 1000) -> list[str]:
    got: list[str] = []
    texts = stream.event_stream(events)
    async for text in texts:
        got.append(text)
        if len(got) == take:
            break
    await texts.aclose()
    return got


def test_an_event_is_a_name_and_one_line_of_json() -> None:
    got = asyncio.run(streamed(slow(0, [])))
    assert got[1] == 'event: token\ndata: {"text": "second\\nline", "citation": 0}\n\n'
    assert got[2] == "event: done\ndata: {}\n\n"


def test_silence_is_filled_with_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.05)
    got = asyncio.run(streamed(slow(0.3, [])))
    assert stream.HEARTBEAT in got[1:-2]
    assert got[-1].startswith("event: done")
    assert stream.HEARTBEAT.startswith(":")


def test_whoever_leaves_stops_the_answer() -> None:
    closed: list[str] = []
    assert len(asyncio.run(streamed(slow(60, closed), take=1))) == 1
    assert closed == ["closed"]


def test_a_reader_who_does_not_read_holds_the_answer_back() -> None:
    made: list[int] = []

    async def many() -> AsyncGenerator[Event, None]:
        for n in range(10_000):
            made.append(n)
            yield Token("x")

    async def read_one_and_wait() -> None:
        texts = stream.event_stream(many())
        await anext(texts)
        await asyncio.sleep(0.05)
        await texts.aclose()

    asyncio.run(read_one_and_wait())
    assert len(made) <= stream.AHEAD + 3


def test_many_events_all_arrive() -> None:
    async def many() -> AsyncGenerator[Event, None]:
        for _ in range(5 * stream.AHEAD):
            yield Token("x")

    assert len(asyncio.run(streamed(many()))) == 5 * stream.AHEAD


def test_a_bug_is_not_hidden() -> None:
    async def broken() -> AsyncGenerator[Event, None]:
        yield Token("x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(streamed(broken()))


# --- The command ------------------------------------------------------------------------------


def test_the_command_prints_json(index: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("ask", QUESTION.text, "--json")
    got = json.loads(capsys.readouterr().out)
    assert set(got) == {"answer", "citations", "timings", "mode", "notices", "error"}
    assert got["error"] == ""
    assert got["mode"] == "extractive"
    assert "makemigrations" in got["answer"]
    assert "[1]" in got["answer"]
    assert [c["number"] for c in got["citations"]] == list(range(1, len(ROWS) + 1))
    assert set(got["timings"]) == {"parse", "embed", "search", "fuse", "rows", "context", "generate", "total"}


def test_the_command_prints_a_readable_answer(
    index: None, language_model: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("ask", QUESTION.text, "--source", "Handbook")
    out = capsys.readouterr().out
    assert out.startswith("Run makemigrations [1].")
    assert "[1] Migrations › Creating\n" in out
    assert "total" in out


def test_extracts_are_called_extracts(index: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("ask", QUESTION.text)
    assert capsys.readouterr().out.startswith("No language model is configured")


@pytest.mark.parametrize(
    ("behaviour", "message"), [("refuse", "HTTP 500"), ("half", "broke off"), ("garbage", "failed: no JSON")]
)
def test_the_command_names_what_failed_below_the_passages(
    index: None, language_model: ModelServer, capsys: pytest.CaptureFixture[str], behaviour: str, message: str
) -> None:
    language_model.behaviour = behaviour
    with pytest.raises(CommandError, match=message) as caught:
        call_command("ask", QUESTION.text)
    assert "\n" not in str(caught.value)
    assert "[1] Migrations › Creating" in capsys.readouterr().out
