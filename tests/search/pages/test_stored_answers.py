"""Answers that are kept: for follow-ups, links and feedback, for their reader alone, and for a bounded time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import AsyncClient, Client
from django.utils import timezone
from pytest_django import Settings

from ingestion.models import Chunk, Source
from search.answering.keeping import exchanges
from search.answering.rewriter import Exchange
from search.models import Conversation, StoredAnswer
from search.tasks import forget_answers
from tests.support.callers import restrict
from tests.support.search_services import HANDBOOK, SITE, ModelServer

QUESTION = "How do I create migrations after changing a model?"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reader() -> AsyncClient:
    return AsyncClient()


async def asked(client: AsyncClient, question: str = QUESTION, **fields: Any) -> list[tuple[str, Any]]:
    """The events of an answer on the page."""
    response = await client.post("/ask", {"q": question, **fields}, content_type="application/json")
    assert response.status_code == 200, response.content
    stream = "".join([piece.decode() async for piece in response])  # type: ignore[attr-defined]
    return list(events_in(stream))


def events_in(stream: str) -> Iterator[tuple[str, Any]]:
    for block in stream.split("\n\n"):
        if block.startswith("event: "):
            name, data = block.removeprefix("event: ").split("\ndata: ")
            yield name, json.loads(data)


def key_in(events: list[tuple[str, Any]]) -> str:
    return str(dict(events)["kept"]["key"])


async def change(client: AsyncClient, key: str, **fields: Any) -> Any:
    return await client.post(f"/answers/{key}/change", fields, content_type="application/json")


async def test_the_page_gets_html_and_the_answer_is_kept(
    index: None, reader: AsyncClient, language_model: ModelServer
) -> None:
    events = await asked(reader)
    names = [name for name, _ in events]
    assert names[0] == "passages"
    assert names[-4:] == ["markdown", "timings", "kept", "done"]
    assert "token" not in names
    html = [data["html"] for name, data in events if name == "html"][-1]
    assert html.startswith("<p>Run makemigrations <a class=")
    stored = await StoredAnswer.objects.aget()
    assert stored.markdown == "Run makemigrations [1]."
    assert (stored.outcome, stored.mode, len(stored.passages)) == ("answered", "llm", 7)
    assert stored.versions["llm"] == "stub"
    assert stored.versions["prompt"]
    assert stored.timings["total"] > 0
    assert QUESTION not in stored.reader


async def test_the_reader_finds_it_again_and_nobody_else(
    index: None, reader: AsyncClient, language_model: ModelServer
) -> None:
    key = key_in(await asked(reader))
    await Chunk.objects.all().adelete()
    again = (await reader.get(f"/answers/{key}/mine")).json()
    assert again["question"] == QUESTION
    assert again["html"].startswith("<p>Run makemigrations <a class=")
    assert "Migrations record changes" in again["passages"]
    assert again["markdown"].startswith("Run makemigrations [1].\n\n[1] Migrations – Creating")
    stranger = AsyncClient()
    assert (await stranger.get(f"/answers/{key}/mine")).status_code == 404
    await asked(stranger)
    for action in ("share", "rate", "forget", "unshare"):
        assert (await change(stranger, key, do=action)).status_code == 404
    assert (await stranger.get(f"/answers/{key}/")).status_code == 404


async def test_a_link_shows_the_answer_until_it_is_deleted(
    index: None, reader: AsyncClient, language_model: ModelServer, settings: Settings
) -> None:
    key = key_in(await asked(reader))
    link = (await change(reader, key, do="share")).json()["link"]
    assert link == f"http://testserver/answers/{key}/"
    stranger = AsyncClient()
    response = await stranger.get(link)
    assert "Run makemigrations" in response.content.decode()
    assert "Migrations record changes" in response.content.decode()
    assert response["X-Robots-Tag"] == "noindex"
    settings.SHARED_ANSWERS = False
    assert (await stranger.get(link)).status_code == 404
    assert (await change(reader, key, do="share")).status_code == 400
    settings.SHARED_ANSWERS = True
    assert (await change(reader, key, do="unshare")).json() == {"link": ""}
    assert (await stranger.get(link)).status_code == 404


async def test_staff_may_end_every_link(index: None, reader: AsyncClient, language_model: ModelServer) -> None:
    key = key_in(await asked(reader))
    await change(reader, key, do="share")
    staff = AsyncClient()
    await staff.aforce_login(await User.objects.acreate_user("s", is_staff=True))
    assert "Delete this link" in (await staff.get(f"/answers/{key}/")).content.decode()
    assert (await staff.post(f"/answers/{key}/change", {"do": "unshare"})).status_code == 200
    assert not await StoredAnswer.objects.exclude(shared_at=None).aexists()


async def test_a_rating_and_a_note_stand_with_the_answer(
    index: None, reader: AsyncClient, language_model: ModelServer
) -> None:
    key = key_in(await asked(reader))
    assert (await change(reader, key, do="rate", rating="down", note=" No \0command. ")).status_code == 200
    stored = await StoredAnswer.objects.aget()
    assert (stored.rating, stored.note) == (StoredAnswer.Rating.BAD, "No command.")
    for wrong in ({"rating": "best"}, {"rating": "up", "note": "x" * 2001}, {"do": "delete"}):
        assert (await change(reader, key, **{"do": "rate", **wrong})).status_code == 400
    assert (await change(reader, key, do="rate", rating="up", note=None)).status_code == 200
    assert (await StoredAnswer.objects.aget()).note == ""
    assert (await change(reader, key, do="rate", rating="")).status_code == 200
    assert (await StoredAnswer.objects.aget()).rating is None


async def test_other_sites_change_nothing(index: None, reader: AsyncClient, language_model: ModelServer) -> None:
    key = key_in(await asked(reader))
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        for address in (f"/answers/{key}/change", "/ask"):
            response = await reader.post(address, {"do": "share", "q": "x"}, headers=headers)
            assert response.status_code == 403
    assert not await StoredAnswer.objects.exclude(shared_at=None).aexists()


async def test_a_follow_up_is_understood_by_what_was_asked_before(
    index: None, reader: AsyncClient, settings: Settings, language_model: ModelServer, clean_redis: Any
) -> None:
    settings.ANSWER_CACHE_SECONDS = 60
    first = key_in(await asked(reader))
    language_model.pieces = ["How do I reverse a migration?"]
    events = await asked(reader, "And how do I reverse it?", after=first)
    assert dict(events)["notice"]["message"] == "Understood as: How do I reverse a migration?"
    first_again, second = StoredAnswer.objects.order_by("id"), await StoredAnswer.objects.afirst()
    assert second is not None
    assert second.read_as == "How do I reverse a migration?"
    assert (await first_again.afirst()).conversation_id == second.conversation_id  # type: ignore[union-attr]
    said = language_model.requests[1]["messages"][1]["content"]
    assert f"Question: {QUESTION}\nAnswer: Run makemigrations [1]." in said
    assert len(clean_redis.keys("answers:entry:*")) == 1  # others may be given the answer to the first question
    await change(reader, key_in(events), do="forget")
    assert await StoredAnswer.objects.acount() == await Conversation.objects.acount() == 0


@pytest.mark.parametrize("turns", [1, 2])
async def test_a_conversation_that_is_forgotten_meanwhile_spoils_no_answer(
    index: None, reader: AsyncClient, language_model: ModelServer, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    key = key_in(await asked(reader))
    for _ in range(turns - 1):
        key = key_in(await asked(reader, "And how do I reverse it?", after=key))

    def forgotten(before: StoredAnswer) -> list[Exchange]:
        found = exchanges(before)
        StoredAnswer.objects.all().delete()
        Conversation.objects.all().delete()
        return found

    monkeypatch.setattr("search.answering.keeping.exchanges", forgotten)
    events = await asked(reader, "And how do I apply it?", after=key)
    assert events[-1][0] == "done"
    assert not {"kept", "error"} & dict(events).keys()
    assert not await StoredAnswer.objects.aexists()


@pytest.mark.parametrize("key", ["\ud800", "\0", "é", "x" * 99])
async def test_a_name_that_no_answer_has_is_none(index: None, reader: AsyncClient, key: str) -> None:
    assert (await asked(reader, after=key))[-1][0] == "done"
    address = quote(key, errors="replace")
    assert (await reader.get(f"/answers/{address}/mine")).status_code == 404
    assert (await reader.get(f"/answers/{address}/")).status_code == 404


async def test_a_link_names_no_copies_in_sources_that_its_reader_may_not_see(
    index: None, reader: AsyncClient, language_model: ModelServer
) -> None:
    key = key_in(await asked(reader))
    await change(reader, key, do="share")
    stored = await StoredAnswer.objects.aget()
    secret, public = (("/documents/1/#p0", "", name, "9.1") for name in ("Site", "Handbook"))
    stored.passages = [{**stored.passages[0], "copies": [["", *secret], ["", *public]]}]
    await stored.asave()
    assert b"Site 9.1" in (await AsyncClient().get(f"/answers/{key}/")).content
    await sync_to_async(restrict)(SITE)
    shown = (await AsyncClient().get(f"/answers/{key}/")).content.decode()
    assert "Handbook 9.1" in shown and "Site 9.1" not in shown
    assert "Site 9.1" not in (await reader.get(f"/answers/{key}/mine")).json()["passages"]


async def test_a_conversation_is_not_gone_on_with_by_others_or_after_a_day(
    index: None, reader: AsyncClient, language_model: ModelServer
) -> None:
    first = key_in(await asked(reader))
    for client in (AsyncClient(), reader):
        if client is reader:
            await StoredAnswer.objects.aupdate(created_at=timezone.now() - timedelta(hours=25))
        events = await asked(client, "And how do I reverse it?", after=first)
        assert "understood" not in [data["kind"] for name, data in events if name == "notice"]
    assert not await Conversation.objects.aexists()


async def test_nothing_is_kept_where_that_is_switched_off(
    index: None, reader: AsyncClient, language_model: ModelServer, settings: Settings
) -> None:
    settings.ANSWERS_KEPT_DAYS = 0
    events = await asked(reader)
    assert "kept" not in dict(events)
    assert not reader.cookies
    assert not await StoredAnswer.objects.aexists()


async def test_an_answer_that_breaks_off_is_not_kept(
    index: None, reader: AsyncClient, language_model: ModelServer
) -> None:
    language_model.behaviour = "half"
    events = await asked(reader)
    assert events[-1][0] == "error"
    assert "Run makemigrations" in [data["html"] for name, data in events if name == "html"][-1]
    assert not await StoredAnswer.objects.aexists()


async def test_a_question_that_the_passages_do_not_answer_counts_as_unanswered(
    index: None, reader: AsyncClient, language_model: ModelServer
) -> None:
    language_model.pieces = ["These documents do not say."]
    await asked(reader)
    assert [row.outcome async for row in StoredAnswer.objects.poor()] == ["unanswered"]


def test_links_to_a_restricted_source_end_with_it(rows: None, settings: Settings) -> None:
    """Once the last restricted source is deleted, everybody sees all that is left, and what is gone."""
    passages = {"hidden": [921, 911], "gone": [921, 999], "open": [921, 922]}
    for key, documents in passages.items():
        found = [{"document": document} for document in documents]
        StoredAnswer.objects.create(key=key, question="Why?", passages=found, shared_at=timezone.now())
    other = Source.objects.create(name="Open", kind=Source.Kind.WEBSITE, target="https://open.example/")
    other.delete()
    assert StoredAnswer.objects.shared().count() == 3, "what everybody may read leaves links alone"
    restrict(HANDBOOK)
    Source.objects.get(id=HANDBOOK).delete()
    assert list(StoredAnswer.objects.shared().values_list("key", flat=True)) == ["open"]


def test_old_answers_are_forgotten_unless_they_are_shared(settings: Settings) -> None:
    old = timezone.now() - timedelta(days=settings.ANSWERS_KEPT_DAYS, seconds=1)
    talk = Conversation.objects.create(reader="r")
    for name, at, shared_at in (("new", timezone.now(), None), ("old", old, None), ("shared", old, old)):
        row = StoredAnswer.objects.create(
            question=name,
            mode="llm",
            outcome="answered",
            shared_at=shared_at,
            conversation=talk if name == "old" else None,
        )
        StoredAnswer.objects.filter(pk=row.pk).update(created_at=at)
    for name, at in (("ended", timezone.now() - timedelta(days=1)), ("goes on", timezone.now() + timedelta(days=1))):
        Session.objects.create(session_key=name, session_data="", expire_date=at)
    forget_answers()
    assert [session.pk for session in Session.objects.all()] == ["goes on"]
    assert set(StoredAnswer.objects.values_list("question", flat=True)) == {"new", "shared"}
    assert not Conversation.objects.exists()


def test_a_wrong_question_is_refused_with_a_sentence(rows: None) -> None:
    response = Client().post("/ask", {"q": " "}, content_type="application/json")
    assert (response.status_code, response.json()["error"]) == (400, "Ask a question first.")
    assert Client().post("/ask", "[]", content_type="application/json").status_code == 400
