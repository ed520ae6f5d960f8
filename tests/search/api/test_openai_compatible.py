"""/v1/ within one process: what is read, what is written, and every error in OpenAI's form."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from ingestion.models import Source
from search.answering import llm
from search.answering.answer import Event, Found, answer
from search.answering.citations import Token
from search.api.openai_compatible import views
from search.api.openai_compatible.completion import Completion
from search.questions import Passage, Question
from search.timings import Timings
from tests.support.callers import bearer, make_key, restrict
from tests.support.search_services import ATTACK, HANDBOOK, ModelServer

QUESTION = "How do I create migrations after changing a model?"
CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
EMBEDDER = "stand-in"


async def requested(method: str, path: str, body: Any, headers: dict[str, str], *, raises: bool = True) -> Any:
    """Ask and read the answer in one event loop, as a web server does."""
    client = AsyncClient(enforce_csrf_checks=True, raise_request_exception=raises)
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    try:
        response: Any = await client.generic(method, path, data, content_type="application/json", headers=headers)
        if response.streaming:
            response.stream = "".join([part.decode() async for part in response])
        return response
    finally:
        await llm.close_client()


def send(path: str, body: Any = None, *, method: str = "POST", headers: dict[str, str] | None = None) -> Any:
    return async_to_sync(requested)(method, path, body or {}, headers or {})


def chat(*contents: Any, **fields: Any) -> Any:
    """Ask with a conversation in which user and assistant alternate."""
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": content} for at, content in enumerate(contents or [QUESTION])]
    return send(CHAT, {"model": "docs", "messages": messages, **fields})


def chunks(response: Any) -> list[dict[str, Any]]:
    """Every chunk of a stream; its end is checked."""
    assert response.status_code == 200, response.content
    *data, end, rest = response.stream.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in data if not line.startswith(":")]


def text_of(found: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content", "") for chunk in found for choice in chunk["choices"])


def refused(response: Any) -> tuple[int, str, str | None, str | None]:
    """Status, sentence, field and code of an error."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status_code, error["message"], error["param"], error["code"]


# --- /v1/chat/completions -----------------------------------------------------------------------


def test_it_answers_with_citations_that_are_links(index: None, language_model: ModelServer) -> None:
    got = chat().json()
    link = "http://testserver/documents/911/#p0"
    message = got["choices"][0]["message"]
    assert message["content"] == f"Run makemigrations [[1]]({link})."
    cited = message["annotations"][0]["url_citation"]
    assert (cited["url"], cited["title"]) == (link, "Migrations › Creating")
    assert message["content"][cited["start_index"] : cited["end_index"]] == f"[[1]]({link})"
    assert got["object"] == "chat.completion"
    assert got["choices"][0]["finish_reason"] == "stop"
    assert got["usage"]["completion_tokens"] > 0


def test_it_streams_the_same(index: None, language_model: ModelServer) -> None:
    found = chunks(chat(stream=True))
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert text_of(found) == chat().json()["choices"][0]["message"]["content"]
    assert found[-2]["choices"][0]["delta"]["annotations"][0]["type"] == "url_citation"
    assert [c["choices"][0]["finish_reason"] for c in found] == [None] * (len(found) - 1) + ["stop"]
    assert len({chunk["id"] for chunk in found}) == 1
    assert all("usage" not in chunk for chunk in found)


def test_a_stream_counts_tokens_where_that_is_asked_for(index: None, language_model: ModelServer) -> None:
    *others, last = chunks(chat(stream=True, stream_options={"include_usage": True}))
    assert all(chunk["usage"] is None for chunk in others)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"] > 0


def test_without_a_language_model_it_quotes(index: None) -> None:
    got = chat().json()
    assert "python manage.py makemigrations" in got["choices"][0]["message"]["content"]
    assert "[[1]](http://testserver/documents/911/#p0)" in got["choices"][0]["message"]["content"]
    assert got["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize("mark", ["> ", ""])
def test_a_citation_stands_below_a_block_of_code(mark: str) -> None:
    """Text behind a fence would not close it."""
    passage = Passage(1.0, "Title", "https://docs.example.org/", "Title", "", "text", 1, "Site", 0)
    completion = Completion("docs", lambda passage: passage.link)
    completion.add(Found((passage,), "extractive"))
    completion.add(Token(f"{mark}```\n{mark}code\n{mark}``` "))
    assert completion.add(Token("[1]", 1)) == f"\n{mark}[[1]](https://docs.example.org/)"


def test_a_source_can_be_chosen_as_the_model(index: None) -> None:
    got = chat("How do I cache in Redis?", model="docs/Site").json()
    urls = {a["url_citation"]["url"] for a in got["choices"][0]["message"]["annotations"]}
    assert "https://docs.example.org/topics/cache/#redis-backend" in urls
    assert not any("testserver" in url for url in urls)


def test_links_name_the_public_address(index: None, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://ask.example.org"
    assert "[[1]](https://ask.example.org/documents/911/#p0)" in chat().json()["choices"][0]["message"]["content"]


def test_the_passages_that_came_nearest_are_named_below_a_refusal(index: None, language_model: ModelServer) -> None:
    language_model.pieces = ["These documents do not say."]
    content = chat("zebra stripes and migrations")
    text = content.json()["choices"][0]["message"]["content"]
    assert text.startswith("These documents do not say.\n\nThe nearest passages:\n- [[1]](http://testserver/")
    assert ATTACK not in text
    assert "\\<script\\>" in text


def test_parts_of_text_and_fields_that_change_nothing_are_taken(index: None) -> None:
    parts = [{"type": "text", "text": "How do I create "}, {"type": "text", "text": "migrations?"}]
    got = chat(parts, temperature=0.1, tools=[], seed=1, invented={"x": 1}, stream=None, n=None)
    assert "makemigrations" in got.json()["choices"][0]["message"]["content"]


def test_the_last_message_of_the_user_is_the_question(index: None) -> None:
    messages = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "What is a template?"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": QUESTION},
    ]
    got = send(CHAT, {"model": "docs", "messages": messages}).json()
    assert "makemigrations" in got["choices"][0]["message"]["content"]


@pytest.mark.parametrize("earlier", [(), ("How are migrations made?", "With makemigrations.")])
def test_only_a_question_that_stands_alone_shares_its_answer(
    index: None, earlier: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def noting(question: Question, timings: Timings) -> AsyncGenerator[Event, None]:
        asked.append(question)
        return answer(question, timings)

    monkeypatch.setattr(views, "answer", noting)
    roles = ("user", "assistant")
    before = [{"role": role, "content": text} for role, text in zip(roles, earlier, strict=False)]
    messages = [*before, {"role": "user", "content": "How are migrations reversed?"}]
    assert send(CHAT, {"model": "docs", "messages": messages}).status_code == 200
    assert [question.follow_up for question in asked] == [bool(earlier)]


def test_a_follow_up_is_asked_with_its_subject(index: None) -> None:
    got = chat("How do I create migrations?", "Run makemigrations [[1]](http://testserver/x).", "How is it reversed?")
    message = got.json()["choices"][0]["message"]
    assert "A migration is reversed by migrating to the one before it." in message["content"]
    alone = chat("How is it reversed?").json()["choices"][0]["message"]
    assert "A migration is reversed" not in alone["content"].split("[[1]]")[0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("not json", (400, "The body is not valid JSON.", None, None)),
        ("[" * 50_000, (400, "The body is not valid JSON.", None, None)),
        ({"messages": [{"role": "user", "content": "x"}]}, (400, "model: Field required.", "model", None)),
        ({"model": "docs", "messages": []}, (400, None, "messages", None)),
        ({"model": "docs", "messages": "hello"}, (400, None, "messages", None)),
        ({"model": "docs", "messages": [{"role": "system", "content": "x"}]}, (400, None, "messages", None)),
        ({"model": "docs", "messages": [{"role": "user", "content": " "}]}, (400, "Ask a question first.", None, None)),
        ({"model": "docs", "messages": [{"role": "user", "content": "x" * 2001}]}, (400, None, None, None)),
        ({"model": "docs", "messages": [{"role": "user", "content": 5}]}, (400, None, "messages.0.content", None)),
        ({"model": "docs", "messages": [{"role": "user", "content": "x"}], "n": 2}, (400, None, "n", None)),
        ({"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}, (404, None, "model", "model_not_found")),
        ({"model": "docs/\0", "messages": [{"role": "user", "content": "x"}]}, (404, None, "model", "model_not_found")),
        ({"model": "docs/", "messages": [{"role": "user", "content": "x"}]}, (404, None, "model", "model_not_found")),
    ],
)
def test_what_the_client_can_mend_is_said(db: None, body: Any, expected: tuple[int, str | None, Any, Any]) -> None:
    got = refused(send(CHAT, body))
    assert got == (expected[0], expected[1] or got[1], expected[2], expected[3])


def test_images_are_refused_clearly(db: None) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,xxxx"}}
    status, message, field, _ = refused(chat([{"type": "text", "text": "What is this?"}, image]))
    assert (status, field) == (400, "messages.0.content")
    assert "Only text can be read here; this part is 'image_url'." in message
    assert "base64" not in message


def test_nothing_indexed_is_a_server_error(db: None) -> None:
    response = chat()
    assert refused(response)[0] == 503
    assert response.json()["error"]["type"] == "server_error"


@pytest.mark.parametrize("behaviour", ["refuse", "half", "garbage"])
def test_a_failing_model_is_an_error(index: None, language_model: ModelServer, behaviour: str) -> None:
    language_model.behaviour = behaviour
    status, message, _, _ = refused(chat())
    assert (status, message) == (503, "The language model did not finish its answer.")
    streamed = chat(stream=True)
    last = streamed.stream.strip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == message


def test_pages_of_other_sites_are_refused(db: None) -> None:
    body = {"model": "docs", "messages": [{"role": "user", "content": "x"}]}
    assert refused(send(CHAT, body, headers={"Origin": "https://evil.example"}))[0] == 403


# --- /v1/models and other addresses ---------------------------------------------------------------


def test_the_models_are_all_sources_together_each_alone_and_the_embedder(index: None) -> None:
    with CaptureQueriesContext(connection) as asked:
        got = send("/v1/models", method="GET").json()
    assert [entry["id"] for entry in got["data"]] == ["docs", "docs/Handbook", "docs/Site", EMBEDDER]
    assert not any("ingestion_chunk" in query["sql"] for query in asked), "clients ask often, and there may be millions"
    assert send("/v1/models/docs/Site", method="GET").json()["id"] == "docs/Site"
    assert refused(send("/v1/models/docs/Nowhere", method="GET"))[0] == 404


def test_a_model_in_a_folder_is_named_without_the_folder(index: None, settings: Settings) -> None:
    settings.EMBED_MODEL = "/srv/models/bge-m3"
    assert send("/v1/models", method="GET").json()["data"][-1]["id"] == "bge-m3"


def test_other_methods_and_addresses_are_refused_in_the_same_form(db: None) -> None:
    response = send(CHAT, method="GET")
    assert (refused(response)[0], response["Allow"]) == (405, "POST")
    status, message, _, _ = refused(send("/v1/completions"))
    assert (status, "/v1/chat/completions" in message) == (404, True)


def test_a_mistake_of_ours_has_openai_s_form_too(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("search.api.openai_compatible.views.source_names", broken)
    response = async_to_sync(requested)("GET", "/v1/models", "", {}, raises=False)
    assert refused(response) == (500, "This site made a mistake. Its log says which.", None, None)
    assert response.json()["status"] == 500


# --- /v1/embeddings -------------------------------------------------------------------------------


def embed(texts: Any, **fields: Any) -> Any:
    return send(EMBEDDINGS, {"model": EMBEDDER, "input": texts, **fields})


def test_texts_become_vectors_of_the_index_s_model(index: None, settings: Settings) -> None:
    got = embed(["how to create migrations", "zebra stripes", "making a migration"]).json()
    vectors = np.array([entry["embedding"] for entry in got["data"]])
    assert vectors.shape == (3, settings.EMBED_DIMENSION)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1]
    assert [entry["index"] for entry in got["data"]] == [0, 1, 2]
    assert got["usage"]["prompt_tokens"] == got["usage"]["total_tokens"] > 10


def test_one_text_and_base64(index: None) -> None:
    as_floats = embed("zebra stripes").json()["data"][0]["embedding"]
    coded = embed(["zebra stripes"], encoding_format="base64").json()["data"][0]["embedding"]
    assert np.allclose(np.frombuffer(base64.b64decode(coded), "<f4"), as_floats)


def test_dimensions_are_refused_unless_they_are_the_model_s(index: None, settings: Settings) -> None:
    assert embed("x", dimensions=settings.EMBED_DIMENSION).status_code == 200
    assert refused(embed("x", dimensions=100))[::2] == (400, "dimensions")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"input": [1, 2, 3]}, "Token ids of another tokenizer cannot be read here; send text."),
        ({"input": [[1, 2], [3]]}, "Token ids of another tokenizer cannot be read here; send text."),
        ({"input": []}, None),
        ({"input": ""}, None),
        ({"input": ["x"] * 129}, None),
        ({"input": "x", "encoding_format": "int8"}, None),
        ({"input": "word " * 400}, "input.0: a text has at most 320 tokens here, as the passages of the index."),
        ({"input": ["x", "x" * 100_000]}, "input.1: a text has at most 320 tokens here, as the passages of the index."),
    ],
)
def test_what_cannot_be_embedded_is_said(index: None, fields: dict[str, Any], expected: str | None) -> None:
    status, message, _, _ = refused(send(EMBEDDINGS, {"model": EMBEDDER, **fields}))
    assert status == 400
    assert (expected or "") in message


def test_vectors_come_from_no_other_model(index: None) -> None:
    for other in ("text-embedding-3-small", "docs"):
        _, message, _, code = refused(send(EMBEDDINGS, {"model": other, "input": "x"}))
        assert code == "model_not_found"
        assert message.startswith(f"There is no embedding model '{other}' here.") and repr(EMBEDDER) in message


# --- Who asks --------------------------------------------------------------------------------------


def test_a_wrong_key_is_refused_in_openai_s_form(index: None) -> None:
    for path, body in ((CHAT, {"model": "docs", "messages": []}), (EMBEDDINGS, {"model": EMBEDDER, "input": "x"})):
        response = send(path, body, headers=bearer("rag_00000000_wrong"))
        assert refused(response) == (401, "The key is unknown, expired or revoked.", None, "invalid_api_key")
        assert response["WWW-Authenticate"] == "Bearer"
    assert refused(send("/v1/models", method="GET", headers=bearer("sk-of-another-site")))[0] == 401


def test_none_is_no_key(index: None, settings: Settings) -> None:
    assert send("/v1/models", method="GET", headers=bearer("none")).status_code == 200
    settings.ANONYMOUS_ACCESS = ["page"]
    assert refused(send("/v1/models", method="GET", headers=bearer("none")))[0] == 401
    assert send("/v1/models", method="GET", headers=bearer(make_key())).status_code == 200


def test_a_key_without_the_scope_is_refused(index: None) -> None:
    searching = bearer(make_key("searching", can_ask=False))
    body = {"model": "docs", "messages": [{"role": "user", "content": QUESTION}]}
    response = send(CHAT, body, headers=searching)
    assert refused(response)[:2] == (403, "This needs a key with the scope “ask”.")
    assert response.json()["error"]["type"] == "permission_error"
    assert send(EMBEDDINGS, {"model": EMBEDDER, "input": "x"}, headers=searching).status_code == 200


def test_a_source_with_readers_is_there_for_its_keys_alone(index: None) -> None:
    restrict(HANDBOOK)
    limited = bearer(make_key("limited", sources=(Source.objects.get(id=HANDBOOK),)))
    body = {"model": "docs/Handbook", "messages": [{"role": "user", "content": QUESTION}]}
    assert refused(send(CHAT, body))[0] == 404
    assert "makemigrations" not in chat().json()["choices"][0]["message"]["content"]
    assert "makemigrations" in send(CHAT, body, headers=limited).json()["choices"][0]["message"]["content"]
    models = [entry["id"] for entry in send("/v1/models", method="GET").json()["data"]]
    assert models == ["docs", "docs/Site", EMBEDDER]
    models = [entry["id"] for entry in send("/v1/models", method="GET", headers=limited).json()["data"]]
    assert models == ["docs", "docs/Handbook", EMBEDDER]


def test_too_many_questions_are_refused_for_a_while(index: None, clean_redis: Any, settings: Settings) -> None:
    settings.REQUEST_LIMITS = {"search": ("", ""), "ask": ("1/hour", "")}
    assert chat().status_code == 200
    response = chat()
    assert refused(response)[::3] == (429, "rate_limit_exceeded")
    assert int(response["Retry-After"]) > 0
