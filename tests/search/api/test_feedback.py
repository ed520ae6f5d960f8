"""Answers of the API are kept under an id, and whoever was given one may say whether it helped."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from django.test import Client
from pytest_django import Settings

from ingestion.models import Source
from search.models import StoredAnswer
from tests.search.api.test_rest import QUESTION, ask
from tests.support.callers import bearer, make_key, make_reader, restrict
from tests.support.search_services import HANDBOOK, SITE, ModelServer


@pytest.fixture(autouse=True)
def nothing_counted(clean_redis: redis.Redis) -> None:
    """No request of another test counts here."""


def rate(key: str = "", client: Client | None = None, **fields: Any) -> Any:
    client = client or Client(headers=bearer(key) if key else {})
    return client.post("/api/v1/feedback", {"rating": "up", **fields}, content_type="application/json")


def asked(key: str = "") -> str:
    """The id of an answer that somebody was given."""
    _, whole = ask(headers=bearer(key) if key else {})
    return str(whole["id"])


@pytest.mark.parametrize("key", [False, True])
def test_an_answer_is_rated_by_whom_it_was_given_to(index: None, language_model: ModelServer, key: bool) -> None:
    mine = make_key() if key else ""
    answer = asked(mine)
    response = rate(mine, id=answer, rating="down", note="  Nothing of Windows.\n")
    assert (response.status_code, response.json()) == (
        200,
        {"id": answer, "rating": "down", "note": "Nothing of Windows."},
    )
    stored = StoredAnswer.objects.get()
    assert (stored.question, stored.markdown) == (QUESTION, "Run makemigrations [1].")
    assert (stored.rating, stored.note) == (StoredAnswer.Rating.BAD, "Nothing of Windows.")
    assert rate(mine, id=answer, rating="").status_code == 200
    stored.refresh_from_db()
    assert (stored.rating, stored.note) == (None, "")


def test_others_are_told_that_there_is_no_such_answer(index: None) -> None:
    mine = make_key("mine")
    answer = asked(mine)
    user = Client()
    user.force_login(make_reader("somebody"))
    for response in (rate("", id=answer), rate(make_key("other"), id=answer), rate(client=user, id=answer)):
        assert response.status_code == 404
        assert "no such answer of yours" in response.json()["detail"]
    assert StoredAnswer.objects.get().rating is None


def test_who_may_not_read_the_passages_any_more_may_not_rate_them(index: None) -> None:
    mine = make_key()
    answer = asked(mine)
    restrict(HANDBOOK)
    assert rate(mine, id=answer).status_code == 404
    whole_site = make_key("site", sources=(Source.objects.get(id=SITE),))
    assert rate(whole_site, id=answer).status_code == 404


def test_an_answer_of_the_page_belongs_to_its_reader_alone(index: None) -> None:
    kept = StoredAnswer.objects.create(reader="a" * 32, question="x", mode="llm", outcome="answered")
    assert rate("", id=kept.key).status_code == 404
    assert rate(make_key(), id=kept.key).status_code == 404


def test_a_key_without_the_scope_ask_is_refused(rows: None) -> None:
    assert rate(make_key(can_ask=False), id="x").status_code == 403


@pytest.mark.parametrize(
    "fields",
    [{"rating": "maybe"}, {"rating": None}, {"note": "x" * 2001}, {"id": ""}, {"id": "x" * 33}, {"note": "a\0b"}],
)
def test_what_is_wrong_is_named(rows: None, fields: dict[str, Any]) -> None:
    response = rate(**{"id": "x", **fields})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"].endswith(next(iter(fields)))


def test_a_stream_tells_the_id_before_it_ends(index: None) -> None:
    _, text = ask(stream=True)
    events = [block.split("\ndata: ") for block in text.strip().split("\n\n")]
    assert [name for name, _ in events][-2:] == ["event: kept", "event: done"]
    assert rate(id=json.loads(events[-2][1])["id"]).status_code == 200


def test_where_nothing_is_kept_there_is_no_id(index: None, settings: Settings) -> None:
    settings.ANSWERS_KEPT_DAYS = 0
    assert asked() == ""
    assert not StoredAnswer.objects.exists()
