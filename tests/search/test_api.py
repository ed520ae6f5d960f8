"""JSON and server-sent events over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError
from django.test import AsyncClient, Client
from pytest_django import Settings

from ingestion.models import Chunk, Collection, Document, Source
from search.answering import llm
from tests.support.search_services import ATTACK, HANDBOOK, SITE, ModelServer

QUESTION = "How do I create migrations after changing a model?"
DEAD = "http://127.0.0.1:9"


async def posted(data: Any, **options: Any) -> Any:
    """Ask and read the answer in one event loop, as a web server does."""
    try:
        response: Any = await AsyncClient(enforce_csrf_checks=True).post("/api/ask", data, **options)
        if response.streaming:
            response.stream = "".join([part.decode() async for part in response])
        return response
    finally:
        await llm.close_client()


def post(data: Any, **options: Any) -> Any:
    return async_to_sync(posted)(data, **options)


def ask(**fields: object) -> Any:
    return post(json.dumps({"q": QUESTION, **fields}), content_type="application/json")


def events_of(response: Any) -> list[tuple[str, dict[str, Any]]]:
    """(name, data) of every event in a response."""
    assert response.status_code == 200, response.content
    blocks = response.stream.strip().split("\n\n")
    pairs = [block.split("\n", 1) for block in blocks if not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in pairs]


def names(events: list[tuple[str, dict[str, Any]]]) -> list[str]:
    found = [name for name, _ in events]
    return [n for i, n in enumerate(found) if i == 0 or found[i - 1] != n]


# --- /api/ask ---------------------------------------------------------------------------------


def test_it_streams_passages_then_tokens_then_timings(index: None, client: Client) -> None:
    response = ask()
    assert response["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response["Cache-Control"] == "no-store"
    assert response["X-Accel-Buffering"] == "no"
    events = events_of(response)
    assert names(events) == ["passages", "token", "timings", "kept", "done"]
    first = events[0][1]["passages"][0]
    assert first["number"] == 1
    assert first["link"] == "/documents/911/#p0"
    assert first["title"] == "Migrations"
    assert first["heading"] == "Migrations › Creating"
    assert first["text"].startswith("Migrations record")
    assert first["score"] > 0
    assert first["url"] == ""
    assert not first["external"]
    assert events[-3][1].keys() == {"parse", "embed", "search", "fuse", "rows", "context", "generate", "total"}


def test_a_web_page_is_cited_with_its_section(index: None, client: Client) -> None:
    events = events_of(ask(q="How do I cache in Redis?", source="Site"))
    assert events[0][1]["passages"][0]["link"] == "https://docs.example.org/topics/cache/#redis-backend"
    assert events[0][1]["passages"][0]["external"]


def test_a_form_works_as_well_as_json(index: None, client: Client) -> None:
    events = events_of(post({"q": QUESTION, "limit": "2"}))
    assert len(events[0][1]["passages"]) == 2


def test_the_models_answer_is_streamed(index: None, client: Client, language_model: ModelServer) -> None:
    events = events_of(ask())
    assert events[0][1]["mode"] == "llm"
    tokens = [data for name, data in events if name == "token"]
    assert "".join(t["text"] for t in tokens) == "Run makemigrations [1]."
    assert [t["citation"] for t in tokens if t["citation"]] == [1]


@pytest.mark.parametrize("behaviour", ["refuse", "half", "garbage"])
def test_a_failing_model_leaves_the_passages(
    index: None, client: Client, language_model: ModelServer, behaviour: str
) -> None:
    language_model.behaviour = behaviour
    events = events_of(ask())
    assert events[0][0] == "passages"
    assert events[0][1]["passages"]
    assert events[-1][0] == "error"
    message = events[-1][1]["message"]
    assert message == "The language model did not finish its answer. The passages below are not affected."


def test_milvus_down_has_a_status_without_internals(index: None, settings: Settings) -> None:
    settings.MILVUS_URI = DEAD
    Collection.objects.update(name="down_for_ask")
    response = ask()
    assert response.status_code == 503
    assert response.json()["error"].startswith("Search is unavailable")
    assert DEAD not in str(response.content)


def test_nothing_indexed_has_a_status(db: None) -> None:
    response = ask()
    assert response.status_code == 503
    assert response.json()["error"].startswith("Nothing has been indexed yet")


def test_a_model_that_takes_long_does_not_hold_the_head_of_the_response_back(
    index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails after HEARTBEAT_SECONDS is an event."""
    monkeypatch.setattr("search.api.events.HEARTBEAT_SECONDS", 0.0)
    events = events_of(ask(source="Nowhere"))
    assert names(events) == ["error"]


def test_a_program_needs_no_token(index: None) -> None:
    """The client of these tests enforces CSRF checks; curl sends a form and no other header."""
    encoded = "q=How+do+I+create+migrations%3F"
    response = post(encoded, content_type="application/x-www-form-urlencoded")
    assert names(events_of(response))[-1] == "done"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 503),
        ({"Sec-Fetch-Site": "none"}, 503),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://testserver:81"}, 403),
        ({"Origin": "http://testserver"}, 503),
        ({"Origin": "https://testserver"}, 503),
        ({"Origin": "https://trusted.example"}, 503),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "none"}, 403),
    ],
)
def test_other_sites_are_refused(db: None, settings: Settings, headers: dict[str, str], status: int) -> None:
    """Nothing is indexed, so that 503 is what a question that is taken gets."""
    settings.CSRF_TRUSTED_ORIGINS = ["https://trusted.example"]
    assert post({"q": "x"}, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "Ask a question first."),
        ('{"q": "   "}', "Ask a question first."),
        ('{"q": null}', "Ask a question first."),
        (json.dumps({"q": "x" * 2001}), "The question has 2001 characters; at most 2000 are read. Shorten it."),
        ('{"q": "x", "mode": "magic"}', "mode is one of hybrid, dense, sparse, words."),
        ('{"q": "x", "limit": 51}', "limit is a number from 1 to 50."),
        ('{"q": "x", "limit": "many"}', "limit is a number from 1 to 50."),
        ('{"q": "a\\u0000b"}', "Null characters are not allowed."),
        ("not json", "The body is not valid JSON."),
        ("[" * 100_000, "The body is not valid JSON."),
        ("\ud800".encode("utf-16", "surrogatepass").decode("latin1"), "The body is not valid JSON."),
        ('["q"]', 'The body is to be a JSON object such as {"q": "…"}.'),
    ],
)
def test_what_the_caller_can_mend_is_400(db: None, client: Client, body: str, message: str) -> None:
    response = post(body, content_type="application/json")
    assert (response.status_code, response.json()["error"]) == (400, message)


def test_a_lone_surrogate_is_no_crash(index: None, client: Client) -> None:
    body = '{"q": "migrations \\ud800"}'
    assert names(events_of(post(body, content_type="application/json")))[-1] == "done"


@pytest.mark.parametrize("path", ["//[", "x\ud7ff", "x\U0010ffff", "x\ud800"])
def test_a_path_that_no_address_has_finds_nothing(index: None, path: str) -> None:
    Source.objects.filter(id=SITE).update(kind="website", target="https://docs.example.org/")
    assert events_of(ask(path=path))[0][1]["passages"] == []


def test_an_unknown_source_is_refused_before_the_stream_begins(index: None) -> None:
    response = ask(source="Nowhere")
    assert (response.status_code, response.json()["error"]) == (400, "There is no source named 'Nowhere'.")


def test_asking_is_a_post(db: None, client: Client) -> None:
    assert client.get("/api/ask", {"q": "x"}).status_code == 405


# --- /api/search ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse", "words"])
def test_search_returns_ranked_passages(index: None, client: Client, mode: str) -> None:
    got = client.get("/api/search", {"q": QUESTION, "limit": "3", "mode": mode}).json()
    scores = [p["score"] for p in got["passages"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert got["passages"][0]["position"] == 0
    assert got["passages"][0]["document"] == 911
    assert set(got["timings"]) == {"parse", "embed", "search", "fuse", "rows", "total"}


def test_search_is_bound_to_a_source(index: None, client: Client) -> None:
    got = client.get("/api/search", {"q": QUESTION, "source": "Site"}).json()
    assert {p["source"] for p in got["passages"]} == {"Site"}


def test_search_never_tells_where_files_are(index: None, client: Client) -> None:
    response = client.get("/api/search", {"q": QUESTION})
    assert b"file://" not in response.content
    assert "no-store" in response["Cache-Control"]


def test_a_document_with_a_broken_address_is_found_in_our_copy(index: None, client: Client) -> None:
    Document.objects.filter(id=911).update(url="http://[docs]/migrations")
    found = client.get("/api/search", {"q": QUESTION}).json()["passages"][0]
    assert (found["url"], found["link"], found["external"]) == ("", "/documents/911/#p0", False)
    assert client.get("/api/v1/documents/911").json()["url"] == ""
    assert client.get("/documents/911/").status_code == 200


def test_search_errors_have_a_status(index: None, client: Client, settings: Settings) -> None:
    assert client.get("/api/search").status_code == 400
    assert client.get("/api/search", {"q": "x", "source": "Nowhere"}).status_code == 400
    assert client.post("/api/search", {"q": "x"}).status_code == 405
    settings.MILVUS_URI = DEAD
    Collection.objects.update(name="down_for_search")
    response = client.get("/api/search", {"q": "x"})
    assert response.status_code == 503
    assert response.json()["error"].startswith("Search is unavailable")


# --- /api/sources and health --------------------------------------------------------------------


def test_sources_are_counted_by_what_can_be_found(rows: None, client: Client) -> None:
    Source.objects.create(name="Empty", kind="files", target="/empty")
    Source.objects.create(name="Leaving", kind="files", target="/leaving", deleting=True)
    Chunk.objects.filter(document_id=912).update(state=Chunk.State.WAITING)
    assert client.get("/api/sources").json() == {
        "sources": [
            {"name": "Empty", "documents": 0, "chunks": 0},
            {"name": "Handbook", "documents": 1, "chunks": 3},
            {"name": "Site", "documents": 2, "chunks": 3},
        ]
    }


def test_the_process_answers_without_any_service(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


ASKED_IN_THREADS = pytest.mark.django_db(transaction=True)


@ASKED_IN_THREADS
def test_it_is_ready_when_everything_answers(index: None, redis_server: str, client: Client) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@ASKED_IN_THREADS
def test_it_is_ready_before_the_first_document(db: None, milvus_server: str, redis_server: str, client: Client) -> None:
    assert client.get("/readyz").status_code == 200


@ASKED_IN_THREADS
@pytest.mark.parametrize(("setting", "name"), [("REDIS_URL", "redis"), ("MILVUS_URI", "milvus")])
def test_it_says_which_service_is_missing(
    index: None, redis_server: str, client: Client, settings: Settings, setting: str, name: str
) -> None:
    setattr(settings, setting, {"redis": "redis://127.0.0.1:9/0", "milvus": DEAD}[name])
    Collection.objects.update(name=f"down_for_{name}" if name == "milvus" else "search_tests")
    response = client.get("/readyz")
    assert response.status_code == 503
    error = f"These services do not answer as they should: {name}. `manage.py doctor` says why."
    assert response.json() == {"status": "unavailable", "missing": [name], "error": error}


@ASKED_IN_THREADS
def test_a_collection_that_milvus_lost_is_not_ready(index: None, redis_server: str, client: Client) -> None:
    Collection.objects.update(name="lost_collection")
    assert client.get("/readyz").json()["missing"] == ["milvus"]


@ASKED_IN_THREADS
def test_tables_of_an_older_version_are_not_ready(
    index: None, redis_server: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragproject.embedded.preflight._tables_are_current", False)
    monkeypatch.setattr("ragproject.embedded.preflight.migrations_missing", lambda: 2)
    response = client.get("/readyz").json()
    assert response["missing"] == ["migrations"]
    assert "run `manage.py migrate`" in response["error"]


@ASKED_IN_THREADS
def test_a_database_that_fails_is_not_ready(
    index: None, redis_server: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def cursor(self) -> None:
            raise OperationalError("secret host name")

        def close(self) -> None:
            pass

    monkeypatch.setattr("search.api.health.connection", Broken())
    response = client.get("/readyz")
    assert response.json()["missing"][0] == "database"
    assert b"secret" not in response.content


def test_hostile_titles_are_data(index: None, client: Client) -> None:
    events = events_of(ask(q="zebra stripes", source="Site"))
    passage = next(p for p in events[0][1]["passages"] if p["document"] == 922)
    assert passage["title"] == f"Zebra {ATTACK}"
    assert passage["link"] == "/documents/922/#p0"
    assert "javascript" not in passage["link"]
    assert passage["url"] == ""


def test_ids_of_the_fixture_are_what_the_rows_say(rows: None) -> None:
    assert set(Source.objects.values_list("id", flat=True)) == {HANDBOOK, SITE}
