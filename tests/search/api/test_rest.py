"""The REST API: what it answers, in parts, with ETags, for keys with the scope "admin" too, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.test import AsyncClient, Client
from pytest_django import Settings

from ingestion.coordination.celery_queues import queue_length
from ingestion.models import Document, Run, Source
from search.answering import llm
from tests.support.callers import bearer, make_key, restrict
from tests.support.search_services import HANDBOOK, SITE, ModelServer

QUESTION = "How do I create migrations after changing a model?"


@pytest.fixture
def admin(rows: None, clean_redis: redis.Redis) -> Client:
    return Client(headers=bearer(make_key("admin", can_admin=True)))


def ask(**fields: Any) -> Any:
    async def send() -> Any:
        headers = fields.pop("headers", {})
        body = json.dumps({"q": QUESTION, **fields})
        response: Any = await AsyncClient().post("/api/v1/ask", body, content_type="application/json", headers=headers)
        try:
            if response.streaming:
                return response, b"".join([part async for part in response.streaming_content]).decode()
            return response, response.json()
        finally:
            await llm.close_client()

    return async_to_sync(send)()


def test_search_answers_with_passages(index: None) -> None:
    response = Client().get("/api/v1/search", {"q": QUESTION, "limit": "2"})
    assert response.status_code == 200
    assert [p["number"] for p in response.json()["passages"]] == [1, 2]
    assert response["Cache-Control"] == "no-store"
    assert response["X-Request-ID"]


def test_an_answer_is_one_object(index: None, language_model: ModelServer) -> None:
    _, whole = ask()
    assert whole["answer"] == "Run makemigrations [1]."
    assert (whole["mode"], whole["error"], whole["tokens"] > 0) == ("llm", "", True)
    assert whole["passages"][0]["document"] == 911
    assert whole["timings"]["total"] > 0


def test_a_model_that_fails_leaves_the_passages(index: None, language_model: ModelServer) -> None:
    language_model.behaviour = "half"
    response, whole = ask()
    assert response.status_code == 200
    assert whole["error"].startswith("The language model did not finish")
    assert whole["passages"]


@pytest.mark.parametrize("how", [{"stream": True}, {"headers": {"Accept": "text/event-stream"}}])
def test_an_answer_is_streamed_on_request(index: None, how: dict[str, Any]) -> None:
    response, text = ask(**how)
    assert response["Content-Type"].startswith("text/event-stream")
    assert text.startswith("event: passages\n")
    assert "event: done\n" in text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"q": ""}, "q"),
        ({"q": "\u0000"}, "q"),
        ({"q": 1}, "q"),
        ({"mode": "magic"}, "mode"),
        ({"limit": 51}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "5"}, "limit"),
    ],
)
def test_fields_that_are_wrong_are_named(rows: None, fields: dict[str, Any], field: str) -> None:
    response, body = ask(**fields)
    assert (response.status_code, body["status"]) == (422, 422)
    assert body["errors"][0]["field"].endswith(field)


def test_a_body_that_is_no_json_is_400(rows: None) -> None:
    response = Client().post("/api/v1/ask", "{", content_type="application/json")
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")


def test_pages_of_other_sites_cannot_ask_without_a_key(rows: None) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert ask(headers=foreign)[0].status_code == 403
    assert ask(q="", headers={**foreign, **bearer(make_key())})[0].status_code == 422


def test_documents_come_in_parts(rows: None) -> None:
    seen: list[int] = []
    address: str | None = "/api/v1/documents?limit=1"
    while address:
        part = Client().get(address).json()
        seen += [document["id"] for document in part["documents"]]
        address = part["next"]
    assert seen == [911, 912, 921, 922]
    part = Client().get("/api/v1/documents", {"source": "Site"}).json()
    assert [document["url"] for document in part["documents"]] == ["https://docs.example.org/topics/cache/", ""]


def test_a_document_has_an_etag(rows: None) -> None:
    Document.objects.filter(id=911).update(markdown="# Migrations\n")
    client = Client()
    whole = client.get("/api/v1/documents/911")
    assert whole.json()["markdown"] == "# Migrations\n"
    assert whole.json()["url"] == ""
    text = client.get("/api/v1/documents/911", headers={"Accept": "text/markdown"})
    assert (text.content, text["Content-Type"]) == (b"# Migrations\n", "text/markdown; charset=utf-8")
    assert text["ETag"] != whole["ETag"]
    again = client.get("/api/v1/documents/911", headers={"If-None-Match": whole["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", whole["ETag"])
    Document.objects.filter(id=911).update(markdown="# Changed\n")
    assert client.get("/api/v1/documents/911", headers={"If-None-Match": whole["ETag"]}).status_code == 200
    assert "Authorization" in whole["Vary"]


def test_an_etag_tells_nobody_of_a_document_that_is_hidden(rows: None) -> None:
    etag = Client().get("/api/v1/documents/911")["ETag"]
    restrict(HANDBOOK)
    hidden = Client().get("/api/v1/documents/911", headers={"If-None-Match": etag})
    missing = Client().get("/api/v1/documents/999", headers={"If-None-Match": etag})
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json()["detail"] == missing.json()["detail"]


def test_sources_are_made_refreshed_paused_and_deleted(admin: Client) -> None:
    Group.objects.create(name="Insiders")
    fields = {
        "name": "Guide",
        "kind": "website",
        "target": "HTTPS://Docs.Example.org/guide/#top",
        "include": ["*/guide/*"],
    }
    made = admin.post("/api/v1/sources", {**fields, "readers": ["Insiders"]}, content_type="application/json")
    assert made.status_code == 201
    row = Source.objects.get(name="Guide")
    told = made.json()
    assert (told["target"], told["readers"], told["include"]) == (row.target, ["Insiders"], ["*/guide/*"])
    assert row.target == "https://docs.example.org/guide/"
    assert made["Location"] == f"/api/v1/sources/{row.pk}"
    assert admin.get(made["Location"]).json() == told
    assert Run.objects.get().state == Run.State.WAITING
    assert queue_length("cpu") == 1
    refreshed = admin.post(f"{made['Location']}/refresh")
    assert (refreshed.status_code, refreshed.json()["id"]) == (202, Run.objects.get().pk)
    assert admin.post(f"{made['Location']}/pause").json()["paused"] is True
    assert admin.post(f"{made['Location']}/resume").json()["paused"] is False
    assert admin.post(f"{made['Location']}/cancel").status_code == 200
    assert Run.objects.get().state == Run.State.CANCELLED
    gone = admin.delete(made["Location"])
    assert (gone.status_code, gone.json()["deleting"]) == (202, True)
    assert admin.get(made["Location"]).status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "Handbook"}, "name"),
        ({"kind": "files", "target": "/etc"}, "target"),
        ({"kind": "uploads"}, "kind"),
        ({"target": "no address"}, "target"),
        ({"readers": ["Nobody"]}, "readers"),
        ({"name": "a\u0000b"}, "name"),
        ({"max_depth": True}, "max_depth"),
    ],
)
def test_what_the_admins_form_refuses_is_refused_here(admin: Client, fields: dict[str, Any], field: str) -> None:
    whole = {"name": "New", "kind": "website", "target": "https://docs.example.org/", **fields}
    response = admin.post("/api/v1/sources", whole, content_type="application/json")
    assert response.status_code == 422
    assert field in response.json()["errors"][0]["field"]
    assert set(Source.objects.values_list("id", flat=True)) == {HANDBOOK, SITE}


def test_without_redis_the_rows_stand(rows: None, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    client = Client(headers=bearer(make_key("admin", can_admin=True)))
    assert client.post(f"/api/v1/sources/{SITE}/refresh").status_code == 202
    assert Run.objects.filter(source=SITE).exists()


@pytest.mark.parametrize(("method", "address"), [("post", "/pause"), ("delete", "")])
def test_a_source_that_workers_delete_meanwhile_is_404(
    admin: Client, monkeypatch: pytest.MonkeyPatch, method: str, address: str
) -> None:
    monkeypatch.setattr("search.api.v1.sources.wake_workers", lambda: Source.objects.filter(id=SITE).delete())
    response = getattr(admin, method)(f"/api/v1/sources/{SITE}{address}")
    assert (response.status_code, response.json()["detail"]) == (404, "This has just been deleted.")


def test_a_paused_source_is_neither_listed_nor_refreshed(admin: Client) -> None:
    from django.utils import timezone

    from ingestion.models import due_sources, open_sources

    admin.post(f"/api/v1/sources/{SITE}/pause")
    admin.post(f"/api/v1/sources/{SITE}/refresh")
    Source.objects.update(next_run_at=timezone.now(), refresh_seconds=60)
    assert SITE not in open_sources().values_list("id", flat=True)
    assert SITE not in due_sources().values_list("id", flat=True)
    assert not Run.objects.lease_for_listing(until=timezone.now())
    admin.post(f"/api/v1/sources/{SITE}/resume")
    assert Run.objects.lease_for_listing(until=timezone.now())


def test_an_admin_key_of_some_sources_sees_and_changes_only_them(rows: None, clean_redis: redis.Redis) -> None:
    limited = make_key("limited", can_admin=True, sources=(Source.objects.get(id=SITE),))
    client = Client(headers=bearer(limited))
    assert [source["id"] for source in client.get("/api/v1/sources").json()["sources"]] == [SITE]
    assert client.post(f"/api/v1/sources/{HANDBOOK}/refresh").status_code == 404
    assert client.post(f"/api/v1/sources/{SITE}/refresh").status_code == 202
    assert [run["source_id"] for run in client.get("/api/v1/runs").json()["runs"]] == [SITE]
    new = {"name": "New", "kind": "website", "target": "https://docs.example.org/"}
    assert client.post("/api/v1/sources", new, content_type="application/json").status_code == 403


def test_readers_are_told_less_of_a_source_than_staff(admin: Client) -> None:
    assert set(Client().get("/api/v1/sources").json()["sources"][0]) == {"id", "name", "documents", "chunks"}
    assert admin.get("/api/v1/sources").json()["sources"][0]["target"] == "/Handbook"


def test_runs_are_listed_newest_first(admin: Client) -> None:
    source = Source.objects.get(id=SITE)
    for _ in range(3):
        Run.objects.create(source=source, state=Run.State.FINISHED)
    ids = [run["id"] for run in admin.get("/api/v1/runs", {"limit": 2}).json()["runs"]]
    assert ids == sorted(ids, reverse=True)
    following = admin.get(admin.get("/api/v1/runs", {"limit": 2}).json()["next"]).json()
    assert (len(following["runs"]), following["next"]) == (1, None)
    assert admin.get("/api/v1/runs", {"source_id": HANDBOOK}).json()["runs"] == []


@pytest.mark.django_db(transaction=True)
def test_progress_is_streamed_until_the_run_has_ended(
    rows: None, clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.api.v1.runs.LOOK_EVERY_SECONDS", 0.0)
    run = Run.objects.create(source=Source.objects.get(id=SITE), state=Run.State.RUNNING)
    key = make_key("admin", can_admin=True)

    async def read() -> str:
        response: Any = await AsyncClient().get(f"/api/v1/runs/{run.pk}/events", headers=bearer(key))
        text = ""
        async for part in response.streaming_content:
            text += part.decode()
            await Run.objects.aupdate(state=Run.State.FINISHED)
        return text

    text = async_to_sync(read)()
    assert text.startswith('event: progress\ndata: {"state": "running"')
    assert text.count("event: ") == 2
    assert '"state": "finished"' in text.split("event: done\n")[1]


def test_the_document_and_its_page_name_every_operation(rows: None) -> None:
    document = Client().get("/api/v1/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    page = Client().get("/api/v1/docs")
    assert page.status_code == 200
    text = page.content.decode()
    for address, methods in document["paths"].items():
        for method in methods:
            assert f"{method.upper()} {address}" in text
    assert "<script" not in text


@pytest.fixture(autouse=True)
def redis_forgotten() -> Iterator[None]:
    from ingestion.coordination import redis_client

    redis_client.forget()
    yield
    redis_client.forget()
