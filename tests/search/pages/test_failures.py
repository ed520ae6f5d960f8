"""What people see where no view answers: a database that is away, that has other tables, and a mistake of ours."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, OperationalError
from django.test import Client

from ragproject.embedded import preflight

SECRET = "no host at db.internal"
ADDRESSES = ["/", "/admin/", "/api/search?q=word"]


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def broken(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let whatever looks a user, a session or an overview up fail."""

    def fail(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("search.pages.views.overview", fail)
    monkeypatch.setattr("search.api.views.searched", fail)
    monkeypatch.setattr("django.contrib.admin.sites.AdminSite.has_permission", fail)


@pytest.mark.django_db
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_database_that_is_away_is_said_in_a_sentence(
    address: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, OperationalError(SECRET))
    response = client.get(address)
    assert response.status_code == 503
    said = response.content.decode()
    assert "Search is unavailable at the moment." in said
    assert SECRET not in said
    if not address.startswith("/api/"):
        assert "manage.py doctor" in said and "<h1>" in said


@pytest.mark.django_db
def test_tables_of_an_older_version_are_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, OperationalError("no such column: secret"))
    monkeypatch.setattr(preflight, "_tables_are_current", False)
    monkeypatch.setattr(preflight, "migrations_missing", lambda: 2)
    said = client.get("/admin/").content.decode()
    assert "run `manage.py migrate`" in said
    assert "secret" not in said


@pytest.mark.django_db
@pytest.mark.parametrize("error", [IntegrityError(SECRET), KeyError(SECRET)])
def test_a_mistake_stays_one(error: Exception, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, error)
    response = client.get("/")
    assert response.status_code == 500
    assert "made a mistake" in response.content.decode()
    assert SECRET not in response.content.decode()
