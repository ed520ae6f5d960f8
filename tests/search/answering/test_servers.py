"""What a reader gets of servers with habits of their own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import pytest
from pytest_django import Settings

from search.access.caller import OPERATOR
from search.answering import llm
from search.answering.answer import Done, generated
from search.answering.citations import Token
from search.answering.draft import DraftEvent, Notice
from search.answering.prompt import NOT_SAID
from search.answering.server_habits import habits_of
from search.answering.thinking import Discard
from search.exceptions import LLMFailed, public_message
from search.questions import Passage, Question
from search.timings import Timings
from tests.support.scripted_model import Reply, ScriptedModel, data, event, refusal, scripted_model, stream

PASSAGE = Passage(1.0, "Hooks", "https://x.example/", "Hooks", "", "Use on_commit for that. " * 20, 1, "Docs", 0)
PASSAGES = [replace(PASSAGE, position=n) for n in range(4)]
ANSWER = stream("Use ", "on_commit", " [1].")

QUESTION = Question("Which hook?", OPERATOR)


@pytest.fixture
def model(settings: Settings) -> Iterator[ScriptedModel]:
    with scripted_model() as server:
        settings.LLM_BASE_URL, settings.LLM_MODEL, settings.LLM_API_KEY = server.url, "m", ""
        settings.LLM_TIMEOUT_SECONDS, settings.LLM_CONTEXT_TOKENS = 20.0, 8000
        habits_of.cache_clear()
        yield server
    habits_of.cache_clear()


async def gather(into: list[DraftEvent | Done], timings: Timings) -> None:
    try:
        async with aclosing(generated(QUESTION, PASSAGES, timings)) as events:
            async for happened in events:
                into.append(happened)
    finally:
        await llm.close_client()


def ask(timings: Timings | None = None) -> list[DraftEvent | Done]:
    got: list[DraftEvent | Done] = []
    asyncio.run(gather(got, timings or Timings()))
    return got


def text_of(events: list[DraftEvent | Done]) -> str:
    text = ""
    for happened in events:
        text = "" if isinstance(happened, Discard) else text + (happened.text if isinstance(happened, Token) else "")
    return text


def notices(events: list[DraftEvent | Done]) -> list[tuple[str, str]]:
    return [(happened.kind, happened.message) for happened in events if isinstance(happened, Notice)]


def failure() -> LLMFailed:
    with pytest.raises(LLMFailed) as caught:
        ask()
    return caught.value


# --- How an answer ends -------------------------------------------------------------------------


def test_time_to_the_first_token_and_tokens_a_second_are_measured(model: ScriptedModel) -> None:
    body = [event({"role": "assistant"}), event({"content": "Use "}), event({"content": "it [1]."}) + stream()]
    model.replies = [Reply(body, pause=0.2)]
    timings = Timings()
    done = ask(timings)[-1]
    assert isinstance(done, Done)
    assert done.tokens == 2
    assert 0 < done.tokens_per_second < 5  # at least 0.6 s; how much longer, the machine decides
    took = timings.milliseconds()
    assert 350 < took["first_token"] < took["generate"]


def test_the_servers_own_count_of_tokens_is_taken(model: ScriptedModel) -> None:
    counted = data(json.dumps({"choices": [], "usage": {"completion_tokens": 41}}))
    model.replies = [Reply(stream("Use it [1].", done=False) + counted + data("[DONE]"))]
    done = ask()[-1]
    assert isinstance(done, Done)
    assert done.tokens == 41
    assert model.requests[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("finish", "why"),
    [("length", "limit of 700 tokens"), ("content_filter", "a filter"), ("error", "reported an error"), ("odd", "odd")],
)
def test_an_answer_that_is_cut_short_says_why(model: ScriptedModel, finish: str, why: str) -> None:
    model.say("Use it [1] and", finish=finish)
    events = ask()
    assert text_of(events) == "Use it [1] and"
    [(kind, message)] = notices(events)
    assert kind == "cut"
    assert why in message


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (stream(), "it ended at once"),
        (data("[DONE]"), "it ended at once"),
        (stream(finish="length"), "limit of 700 tokens"),
        (stream(finish="content_filter"), "a filter"),
        (event({"tool_calls": [{"index": 0}]}) + stream(finish="tool_calls"), "asked for a tool"),
        (event({"reasoning_content": "secret"}) + stream(finish="length"), "while it was still thinking"),
        (event({"reasoning_content": "secret"}) + stream(), "it thought and then ended"),
        (stream("<think>secret [2] ", finish="length"), "while it was still thinking"),
    ],
)
def test_an_answer_that_says_nothing_is_an_error_that_says_why(model: ScriptedModel, body: bytes, why: str) -> None:
    model.replies = [Reply(body)]
    got: list[DraftEvent | Done] = []
    with pytest.raises(LLMFailed) as caught:
        asyncio.run(gather(got, Timings()))
    assert why in public_message(caught.value)
    assert text_of(got) == ""


def test_a_refusal_is_shown_and_named(model: ScriptedModel) -> None:
    model.replies = [Reply(event({"refusal": "I cannot help."}) + stream())]
    events = ask()
    assert text_of(events) == "I cannot help."
    assert notices(events)[0][0] == "refused"


def test_that_the_documents_do_not_say_is_named(model: ScriptedModel) -> None:
    model.say(NOT_SAID[:9], NOT_SAID[9:], " Ask elsewhere.")
    assert notices(ask())[0][0] == "unanswered"


@pytest.mark.parametrize("body", [stream("Use it [1].", finish=None), stream("Use it [1].", done=False)])
def test_either_end_is_one(model: ScriptedModel, body: bytes) -> None:
    model.replies = [Reply(body)]
    assert text_of(ask()) == "Use it [1]."


def test_an_answer_without_any_end_broke_off_and_its_beginning_stays(model: ScriptedModel) -> None:
    model.say("Use `it", finish=None, done=False)
    got: list[DraftEvent | Done] = []
    with pytest.raises(LLMFailed, match="broke off"):
        asyncio.run(gather(got, Timings()))
    assert text_of(got) == "Use `it"


def test_it_is_done_at_the_finish_reason_though_the_connection_stays_open(model: ScriptedModel) -> None:
    model.replies = [Reply(stream("Use it [1].", done=False), stays_open=True)]
    assert text_of(ask()) == "Use it [1]."
    assert model.closed_by_client.wait(60)


def test_who_leaves_closes_the_connection(model: ScriptedModel) -> None:
    model.replies = [Reply([event({"content": "on and "})] * 100, pause=0.1)]

    async def leave() -> bool:
        events = generated(QUESTION, PASSAGES, Timings())
        await anext(events)
        await events.aclose()
        return await asyncio.to_thread(model.closed_by_client.wait, 60)

    try:
        assert asyncio.run(leave())
    finally:
        asyncio.run(llm.close_client())


@pytest.mark.slow
def test_a_slow_model_goes_on_as_long_as_tokens_come(model: ScriptedModel, settings: Settings) -> None:
    settings.LLM_TIMEOUT_SECONDS = 8.0  # a busy machine adds seconds to a pause
    model.replies = [Reply([event({"content": "on "})] * 9 + [stream("end.")], pause=1.0)]
    assert text_of(ask()) == 9 * "on " + "end."


def test_thinking_is_told_once(model: ScriptedModel) -> None:
    thought = event({"reasoning_content": "hm"}) * 3
    model.replies = [Reply(thought + stream("<think>more</think>", "Use it [1]."))]
    events = ask()
    assert [kind for kind, _ in notices(events)] == ["thinking"]
    assert text_of(events) == "Use it [1]."


def test_thoughts_with_an_end_alone_are_taken_back_and_then_never_shown(model: ScriptedModel) -> None:
    model.say("Plans [2]. ", "</think>", "Use it [1].")
    first, second = ask(), ask()
    assert any(isinstance(happened, Discard) for happened in first)
    assert not any(isinstance(happened, Discard) for happened in second)
    assert text_of(first) == text_of(second) == "Use it [1]."


@pytest.mark.parametrize("body", [stream("More plans", finish=None, done=False), stream("More plans", finish="length")])
def test_thoughts_that_break_off_before_their_end_alone_are_no_answer(model: ScriptedModel, body: bytes) -> None:
    model.replies = [Reply(stream("Plans. ", "</think>", "Use it [1].")), Reply(body)]
    ask()
    got: list[DraftEvent | Done] = []
    with pytest.raises(LLMFailed):
        asyncio.run(gather(got, Timings()))
    assert text_of(got) == ""


@pytest.mark.parametrize(
    "replies",
    [
        [Reply(stream("a ", "b ", "c"))],
        [refusal(429, "busy", Retry_After="1"), refusal(400, "prompt is too long"), Reply(stream("a"))],
    ],
)
def test_what_others_learn_of_a_server_meanwhile_is_kept(model: ScriptedModel, replies: list[Reply]) -> None:
    model.replies = replies
    habits = habits_of(model.url, "m")

    async def one_that_began_earlier() -> None:
        async with aclosing(generated(QUESTION, PASSAGES, Timings())) as events:
            await anext(events)
            habits.system_role, habits.ends_only, habits.context_tokens = False, True, 2048
            async for _ in events:
                pass
        await llm.close_client()

    asyncio.run(one_that_began_earlier())
    assert (habits.system_role, habits.ends_only, habits.context_tokens) == (False, True, 2048)


# --- Requests that a server refuses -----------------------------------------------------------------


TOO_LONG = [
    "This model's maximum context length is 2048 tokens. However, you requested 4131 tokens (3431 in the messages, "
    "700 in the completion). Please reduce the length of the messages or completion.",
    "the request exceeds the available context size, try increasing it",
    "prompt is too long: 3431 tokens > 2048 maximum",
    "Input is too long for requested model.",
]


@pytest.mark.parametrize("words", TOO_LONG)
def test_a_prompt_that_is_too_long_is_made_once_again_with_fewer_passages(model: ScriptedModel, words: str) -> None:
    model.replies = [refusal(400, words), Reply(ANSWER)]
    assert text_of(ask()) == "Use on_commit [1]."
    long, short = (request["messages"][1]["content"] for request in model.requests)
    assert short.count("\nBEGIN ") < long.count("\nBEGIN ")
    assert len(short) < 0.8 * len(long)


def test_it_is_not_made_a_third_time(model: ScriptedModel) -> None:
    model.replies = [refusal(400, TOO_LONG[0])]
    assert "longer than the model can read" in public_message(failure())
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    ("words", "dropped", "taken"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
         "max_tokens", "max_completion_tokens"),
        ("Unrecognized request argument supplied: stream_options", "stream_options", "max_tokens"),
    ],
)  # fmt: skip
def test_a_parameter_is_changed_once_and_for_all(model: ScriptedModel, words: str, dropped: str, taken: str) -> None:
    model.replies = [refusal(400, words), Reply(ANSWER)]
    assert text_of(ask()) == "Use on_commit [1]."
    assert dropped in model.requests[0]
    assert dropped not in model.requests[1]
    assert taken in model.requests[1]
    ask()
    assert dropped not in model.requests[2]


def test_a_model_may_write_fewer_tokens(model: ScriptedModel) -> None:
    model.replies = [
        refusal(400, "max_tokens is too large: 700. It supports at most 512 completion tokens."),
        Reply(ANSWER),
    ]
    ask()
    assert model.requests[1]["max_tokens"] == 512


@pytest.mark.parametrize(
    "words", ["System role not supported", "Conversation roles must alternate", "Developer instruction is not enabled"]
)  # fmt: skip
def test_rules_go_into_the_question_where_a_model_takes_no_others(model: ScriptedModel, words: str) -> None:
    model.replies = [refusal(400, words), Reply(ANSWER)]
    assert text_of(ask()) == "Use on_commit [1]."
    [message] = model.requests[1]["messages"]
    assert message["role"] == "user"
    assert message["content"].startswith("You answer questions")
    assert message["content"].endswith("Question: Which hook?")


def test_a_change_that_did_not_help_is_forgotten(model: ScriptedModel) -> None:
    model.replies = [refusal(400, "System role not supported")]
    failure()
    model.replies, model.requests = [Reply(ANSWER)], []
    ask()
    assert [message["role"] for message in model.requests[0]["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (refusal(404, 'model "m" not found, try pulling it first'), r"Check LLM_MODEL \(m\)"),
        (Reply(b"404 page not found", 404, "text/plain"), "ends with /v1"),
        (refusal(401, "Incorrect API key"), "Check LLM_API_KEY"),
        (refusal(400, "odd"), "HTTP 400: odd Check LLM_MODEL"),
        (Reply(b"<html>Bad Gateway</html>", 502, "text/html"), "server's own log"),
        (Reply(b"<html>Sign in</html>", 200, "text/html"), "Sign in"),
    ],
)
def test_the_operator_is_told_which_setting_and_the_reader_is_not(
    model: ScriptedModel, reply: Reply, hint: str
) -> None:
    model.replies = [reply]
    error = failure()
    assert hint.replace("\\", "") in str(error)
    assert public_message(error).startswith("The language model")
    assert model.url not in public_message(error)


@pytest.mark.slow
def test_a_model_that_loads_is_waited_for(model: ScriptedModel) -> None:
    model.replies = [refusal(503, "Loading model")] * 2 + [Reply(ANSWER)]
    events = ask()
    assert text_of(events) == "Use on_commit [1]."
    assert notices(events)[0][0] == "waiting"


def test_a_busy_server_is_asked_again_when_it_says_so(model: ScriptedModel) -> None:
    model.replies = [refusal(429, "Rate limit reached", Retry_After="1"), Reply(ANSWER)]
    started = time.monotonic()
    assert notices(ask()) == [("waiting", "The language model is busy; it is asked again in 1 s.")]
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("reply", [refusal(429, "Rate limit", Retry_After="55"), refusal(429, "insufficient_quota")])
def test_nobody_waits_for_longer_than_the_limit_or_for_a_quota(model: ScriptedModel, reply: Reply) -> None:
    model.replies = [reply]
    assert "it is busy" in public_message(failure())
    assert len(model.requests) == 1


# --- The model's context ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "listing",
    [
        {"data": [{"id": "other", "max_model_len": 9}, {"id": "m", "max_model_len": 1200}]},
        {"data": [{"id": "/models/m.gguf", "meta": {"n_ctx": 1200}}]},
        {"models": [{"name": "m", "context_length": 1200}]},
    ],
)
def test_the_server_is_asked_how_much_the_model_reads(
    model: ScriptedModel, settings: Settings, listing: object
) -> None:
    settings.LLM_CONTEXT_TOKENS, settings.LLM_MAX_TOKENS = 0, 200
    model.listing = listing
    model.replies = [Reply(ANSWER)]
    ask()
    assert 0 < model.requests[0]["messages"][1]["content"].count("BEGIN ") < len(PASSAGES)


@pytest.mark.parametrize("listing", [None, {"data": "x"}, {"data": [7]}, {"data": [{"id": "m"}]}, []])
def test_a_server_that_does_not_tell_gets_everything(model: ScriptedModel, settings: Settings, listing: object) -> None:
    settings.LLM_CONTEXT_TOKENS = 0
    model.listing = listing
    model.replies = [Reply(ANSWER)]
    ask()
    assert model.requests[0]["messages"][1]["content"].count("BEGIN ") == len(PASSAGES)


@pytest.mark.slow
def test_a_connection_that_breaks_in_silence_does_not_double_the_wait(model: ScriptedModel, settings: Settings) -> None:
    settings.LLM_TIMEOUT_SECONDS = 10.0
    model.replies = [Reply([b""], pause=5.5, headers={"Content-Length": "99"})]
    assert "took longer than LLM_TIMEOUT_SECONDS" in str(failure()), "not asked until the second one breaks as well"
    assert len(model.requests) == 2
