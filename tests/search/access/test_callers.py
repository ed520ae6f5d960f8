"""Who asks decides what is there: keys, readers of groups, staff and everybody else, through every stage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.db.models import ProtectedError
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import Settings

from ingestion.models import Document, Source
from search.access.caller import OPERATOR, Caller
from search.access.identify import caller_of, identify
from search.answering.answer_cache import scope
from search.catalogue import findable_documents, indexed_sources, may_see, overview, stored_document
from search.exceptions import AccessRefused, NothingIndexed, QuestionRefused
from search.questions import Question
from search.retrieval.retriever import retrieve, retrieve_queued
from search.retrieval.selection import Selection
from search.timings import Timings
from tests.support.callers import bearer, make_key, make_reader, restrict
from tests.support.search_services import HANDBOOK, SITE

QUESTION = "How do I create migrations after changing a model?"


def nobody() -> Caller:
    return caller_of("", address="192.0.2.1", interface="api")


def signed_in(user: User) -> Caller:
    return caller_of("", address="192.0.2.1", interface="page", user=user)


def found(caller: Caller, **options: Any) -> set[str]:
    return {passage.source for passage in retrieve(Question(QUESTION, caller, limit=50, **options), Timings())}


def test_where_no_source_has_readers_everybody_sees_all_of_them(rows: None) -> None:
    assert nobody() == Caller("192.0.2.1", "192.0.2.1", frozenset({"search", "ask"}), None)


def test_each_caller_finds_what_it_may_see_and_nothing_else(index: None) -> None:
    group = restrict(HANDBOOK)
    handbook = Source.objects.get(id=HANDBOOK)
    assert found(nobody()) == {"Site"}
    assert found(signed_in(make_reader("outsider"))) == {"Site"}
    assert found(signed_in(make_reader("insider", group))) == {"Site", "Handbook"}
    assert found(caller_of(make_key("public"), address="", interface="api")) == {"Site"}
    limited = make_key("limited", sources=(handbook,))
    assert found(caller_of(limited, address="", interface="api")) == {"Handbook"}
    assert found(caller_of(make_key("admin", can_admin=True), address="", interface="api")) == {"Site", "Handbook"}
    assert found(OPERATOR) == {"Site", "Handbook"}


def test_staff_who_see_sources_in_the_admin_see_them_here(rows: None) -> None:
    restrict(HANDBOOK)
    user = make_reader("editor")
    assert signed_in(user).sources == frozenset({SITE})
    user.user_permissions.add(Permission.objects.get(codename="view_source"))
    assert signed_in(User.objects.get(pk=user.pk)).sources is None


def test_a_hidden_source_is_told_apart_from_none_by_nobody(index: None) -> None:
    restrict(HANDBOOK)
    with pytest.raises(QuestionRefused) as hidden:
        found(nobody(), source="Handbook")
    with pytest.raises(QuestionRefused) as missing:
        found(nobody(), source="Nowhere")
    assert str(hidden.value).replace("Handbook", "Nowhere") == str(missing.value)


def test_who_sees_no_source_is_told_that_nothing_is_indexed(index: None) -> None:
    restrict(HANDBOOK)
    restrict(SITE)
    with pytest.raises(NothingIndexed):
        async_to_sync(retrieve_queued)(Question(QUESTION, nobody()), Timings())


def test_rows_decide_even_when_the_vectors_are_asked_without_a_filter(
    index: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    restrict(HANDBOOK)
    monkeypatch.setattr("search.retrieval.preparation.selected", lambda *args: Selection())
    assert found(nobody()) == {"Site"}


def test_the_catalogue_shows_what_the_caller_sees(rows: None) -> None:
    restrict(HANDBOOK)
    assert [source.name for source in indexed_sources(nobody())] == ["Site"]
    assert overview(nobody()).sources == ["Site"]
    assert set(findable_documents(nobody()).values_list("id", flat=True)) == {921, 922}
    assert stored_document(911, nobody()) is None
    assert stored_document(911, OPERATOR)
    assert may_see(nobody(), [921, 922])
    assert not may_see(nobody(), [921, 911])
    Document.objects.filter(id=922).delete()
    assert not may_see(nobody(), [921, 922])
    assert may_see(OPERATOR, [921, 922])


def test_answers_are_shared_by_callers_that_see_the_same(rows: None) -> None:
    restrict(HANDBOOK)
    first, second = make_reader("one"), make_reader("two")
    question = Question(QUESTION, nobody())
    assert scope(question) == scope(replace(question, caller=signed_in(first)))
    second.groups.add(Group.objects.get())
    assert scope(question) != scope(replace(question, caller=signed_in(second)))
    assert scope(question) != scope(replace(question, caller=OPERATOR))


def test_a_group_that_reads_a_source_cannot_be_deleted(rows: None) -> None:
    group = restrict(HANDBOOK)
    with pytest.raises(ProtectedError):
        group.delete()
    assert nobody().sources == frozenset({SITE})


@pytest.mark.parametrize("interface", ["page", "api", "mcp", "openai"])
def test_a_door_may_be_closed_to_nobody_in_particular(rows: None, settings: Settings, interface: str) -> None:
    settings.ANONYMOUS_ACCESS = [name for name in settings.ANONYMOUS_ACCESS if name != interface]
    with pytest.raises(AccessRefused) as refused:
        caller_of("", address="", interface=interface)
    assert refused.value.status == 401
    assert caller_of(make_key(), address="", interface=interface)
    assert caller_of("", address="", interface=interface, user=make_reader("reader"))


def request_with(headers: dict[str, str], user: User | AnonymousUser | None = None) -> Any:
    request = RequestFactory().get("/", headers=headers)
    request.user = user or AnonymousUser()
    return request


def test_a_key_is_read_from_either_header_and_goes_before_a_session(rows: None) -> None:
    key = make_key(can_ask=False)
    reader = make_reader("reader")
    for headers in (
        bearer(key),
        {"X-API-Key": key},
        {**bearer(key), "X-API-Key": key},
        {"Authorization": f"bearer {key}"},
    ):
        caller = identify(request_with(headers, reader), "api")
        assert caller.name.startswith("key ")
        assert caller.scopes == {"search"}
        assert key not in repr(caller)


@pytest.mark.parametrize("headers", [{"X-API-Key": "other"}, bearer("sk-none"), {"X-API-Key": "rag_x"}])
def test_a_wrong_key_is_not_taken_for_nobody(rows: None, headers: dict[str, str]) -> None:
    with pytest.raises(AccessRefused):
        identify(request_with(headers, make_reader("reader")), "api")


def test_two_different_keys_are_refused(rows: None) -> None:
    with pytest.raises(AccessRefused, match="two different keys"):
        identify(request_with({**bearer(make_key("one")), "X-API-Key": make_key("two")}), "api")


def test_the_password_of_a_proxy_is_no_key(rows: None) -> None:
    assert identify(request_with({"Authorization": "Basic dXNlcjpwYXNz"}), "api").name == "127.0.0.1"


def test_a_reader_signs_in_and_out(rows: None, client: Client) -> None:
    group = restrict(HANDBOOK)
    make_reader("insider", group)
    assert client.get("/documents/911/").status_code == 404
    signed = client.post("/login/", {"username": "insider", "password": "correct horse", "next": "/documents/911/"})
    assert signed["Location"] == "/documents/911/"
    assert client.get("/documents/911/").status_code == 200
    assert client.get(reverse("admin:index")).status_code == 302
    client.post("/logout/")
    assert client.get("/documents/911/").status_code == 404


def test_pages_send_who_must_sign_in_to_the_login(rows: None, client: Client, settings: Settings) -> None:
    settings.ANONYMOUS_ACCESS = ["api"]
    assert client.get("/?q=x")["Location"] == "/login/?next=/%3Fq%3Dx"
    assert client.get("/documents/911/").status_code == 302
