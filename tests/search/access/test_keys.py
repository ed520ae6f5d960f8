"""API keys: made once, found, limited, revoked, and written nowhere."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from ingestion.models import Source
from search.access.keys import find_key
from search.exceptions import AccessRefused
from search.models import ApiKey
from tests.support.callers import make_key
from tests.support.rows import make_source

pytestmark = pytest.mark.django_db
KEY = re.compile(r"rag_[0-9a-f]{8}_[\w-]{43}")


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("apikey", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def test_a_key_is_found_by_itself_and_stored_nowhere() -> None:
    key = make_key()
    assert KEY.fullmatch(key)
    row = find_key(key)
    stored = ApiKey.objects.filter(pk=row.pk).values().get()
    assert key not in str(stored)
    assert key.split("_", 2)[2] not in str(stored)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1],
        lambda key: key + "x",
        lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
        lambda key: key.replace("rag_", "RAG_"),
        lambda key: "_".join([*key.split("_", 2)[:2], ""]),
        lambda key: "rag_00000000_" + key[13:],
        lambda key: "rag__",
        lambda key: "rag_" + "é" * 8 + "_x",
        lambda key: "\x00",
        lambda key: "_" * 4000,
    ],
)
def test_a_key_that_is_nearly_right_is_refused(spoil: object) -> None:
    key = make_key()
    with pytest.raises(AccessRefused) as refused:
        find_key(spoil(key))  # type: ignore[operator]
    assert refused.value.status == 401
    assert key[:12] not in str(refused.value)


def test_a_revoked_and_an_expired_key_are_refused_at_once() -> None:
    key = make_key()
    ApiKey.objects.update(expires_at=timezone.now() + timedelta(seconds=60))
    find_key(key)
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(AccessRefused):
        find_key(key)
    ApiKey.objects.update(expires_at=None)
    assert ApiKey.objects.all().revoke() == 1
    with pytest.raises(AccessRefused):
        find_key(key)
    assert ApiKey.objects.usable().count() == 0


def test_the_last_use_is_written_once_a_minute(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    key = make_key()
    with django_assert_num_queries(2):
        find_key(key)
    first = ApiKey.objects.get().last_used_at
    assert first
    with django_assert_num_queries(1):
        find_key(key)
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    find_key(key)
    noted = ApiKey.objects.get().last_used_at
    assert noted
    assert noted > first - timedelta(minutes=1)


def test_the_command_makes_lists_and_revokes() -> None:
    make_source("docs")
    key = command("create", "bot", "--scope", "search", "--source", "docs", "--days", "30")
    row = find_key(key)
    assert (row.scopes(), row.limited, [s.name for s in row.sources.all()]) == (["search"], True, ["docs"])
    assert row.expires_at
    assert 29 <= (row.expires_at - timezone.now()).days <= 30
    [listed] = json.loads(command("list", "--json"))
    assert (listed["name"], listed["state"], listed["sources"]) == ("bot", "usable", ["docs"])
    assert "bot  usable  search in docs" in command("list")
    assert key not in command("list")
    assert command("revoke", "bot") == "Revoked."
    assert command("revoke", "bot") == "It was revoked already."
    with pytest.raises(AccessRefused):
        find_key(key)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "taken"), "There is a key named 'taken' already"),
        (("create", "x", "--source", "nowhere"), "There is no source named nowhere"),
        (("create", "x", "--days", "0"), "--days is a number from 1"),
        (("revoke", "nobody"), "There is no key named 'nobody'"),
        (("limit", "nobody", "--ask-limit", "1/minute"), "There is no key named 'nobody'"),
        (("limit", "taken"), "Give --search-limit, --ask-limit or both"),
        (("limit", "taken", "--ask-limit", "many"), "'many': Write limits like 60/minute;1000/day"),
        (("create", "x", "--search-limit", "1/fortnight"), "'1/fortnight': Write limits like"),
        (("create", "x", "--search-limit", ";".join(["1/minute"] * 20)), "at most 100 characters"),
        (("create", "x" * 101), "at most 100 characters"),
        (("create", ""), "cannot be blank"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: tuple[str, ...], message: str) -> None:
    make_key("taken")
    with pytest.raises(CommandError, match=message):
        command(*arguments)


def test_a_key_may_have_limits_of_its_own() -> None:
    row = find_key(command("create", "team", "--search-limit", "900/minute;9000/day"))
    assert (row.search_limit, row.ask_limit) == ("900/minute;9000/day", "")
    assert "team  usable  search, ask, search 900/minute;9000/day  last used " in command("list")
    assert command("limit", "team", "--search-limit", "", "--ask-limit", "5/hour") == "Changed."
    row.refresh_from_db()
    assert (row.search_limit, row.ask_limit) == ("", "5/hour")
    assert json.loads(command("list", "--json"))[0]["limits"] == {"ask": "5/hour"}


def test_the_admin_changes_limits_of_a_key(admin_client: Client) -> None:
    make_key("bot", ask_limit="5/hour")
    row = ApiKey.objects.get()
    address = reverse("admin:search_apikey_change", args=[row.pk])
    refused = admin_client.post(address, {"name": "bot", "ask_limit": "lots"})
    assert "Write limits like 60/minute;1000/day, or nothing." in refused.content.decode()
    admin_client.post(address, {"name": "bot", "search_limit": "7/minute"})
    row.refresh_from_db()
    assert (row.search_limit, row.ask_limit) == ("7/minute", "")


def test_the_admin_shows_a_key_once(admin_client: Client) -> None:
    source = make_source("docs")
    fields = {"name": "bot", "can_search": "on", "sources": [source.pk]}
    made = admin_client.post(reverse("admin:search_apikey_add"), fields)
    [key] = KEY.findall(made.content.decode())
    assert "no-store" in made["Cache-Control"]
    assert key not in str(made.headers) + str(made.cookies)
    row = find_key(key)
    assert (row.limited, row.scopes(), list(row.sources.all())) == (True, ["search"], [source])
    for page in (reverse("admin:search_apikey_changelist"), reverse("admin:search_apikey_change", args=[row.pk])):
        shown = admin_client.get(page).content.decode()
        assert "bot" in shown
        assert not KEY.search(shown)
        assert row.digest not in shown


def test_the_admin_cannot_widen_a_key(admin_client: Client) -> None:
    make_key("bot", sources=(make_source("docs"),), can_ask=False)
    row = ApiKey.objects.get()
    fields = {"name": "robot", "can_admin": "on", "can_ask": "on", "sources": []}
    admin_client.post(reverse("admin:search_apikey_change", args=[row.pk]), fields)
    row.refresh_from_db()
    assert (row.name, row.scopes(), row.sources.count()) == ("robot", ["search"], 1)


def test_the_admin_revokes(admin_client: Client) -> None:
    key = make_key()
    data = {"action": "revoke", "_selected_action": [ApiKey.objects.get().pk]}
    page = admin_client.post(reverse("admin:search_apikey_changelist"), data, follow=True)
    assert "1 keys are revoked" in page.content.decode()
    with pytest.raises(AccessRefused):
        find_key(key)


def test_a_limited_key_whose_sources_are_gone_sees_nothing() -> None:
    from search.access.identify import caller_of

    key = make_key(sources=(make_source("docs"),), can_admin=True)
    make_source("other", target="/other")
    Source.objects.get(name="docs").delete()
    assert caller_of(key, address="192.0.2.1", interface="api").sources == frozenset()


@pytest.mark.parametrize(("name", "words"), [("n" * 101, "at most 100 characters"), ("", "cannot be blank")])
def test_a_name_that_a_key_cannot_have_is_refused(name: str, words: str) -> None:
    """SQLite would store it, PostgreSQL would end the command with a traceback."""
    with pytest.raises(CommandError, match=words):
        command("create", name)
    assert not ApiKey.objects.exists()
