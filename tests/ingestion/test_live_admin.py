"""The admin's first page, through real requests: what it shows of running work, and what its buttons do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import OperationalError
from django.test import Client

from ingestion.coordination.celery_queues import queue_length
from ingestion.models import Document, Run, Source
from ragproject.embedded import preflight
from tests.support.rows import make_document, make_source

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis")]

LIVE, ACT = "/admin/ingestion/source/live/", "/admin/ingestion/source/act/"
ATTACK = "<img src=x onerror=alert(1)>"


def test_the_first_page_asks_for_the_live_part(admin_client: Client) -> None:
    page = admin_client.get("/admin/").content.decode()
    assert f'data-url="{LIVE}"' in page
    assert "ingestion/live.js" in page
    assert not re.search(r"<script(?! src=)|\sstyle=|\son\w+=", page)


def test_it_shows_progress_errors_and_why_a_source_waits(admin_client: Client, settings: Any) -> None:
    settings.MILVUS_URI = "http://127.0.0.1:9"
    source = make_source()
    run = Run.objects.create(source=source, state=Run.State.RUNNING, note=f"Waits for {ATTACK}.")
    make_document(source, run=run, url="https://docs.example.org/a", state=Document.State.INDEXED)
    for name in ("b", "c"):
        url = f"https://docs.example.org/{name}"
        make_document(source, run=run, url=url, state=Document.State.FAILED, error=f"{url} answered 500.")
    make_document(source, run=run, url="https://docs.example.org/d", state=Document.State.WAITING)
    page = admin_client.get(LIVE).content.decode()
    assert '<progress max="4" value="3"' in page
    assert "Waits for &lt;img" in page
    assert "<td>… answered 500.</td><td>2</td>" in page
    assert "1 documents" in page
    assert ATTACK not in page


def test_a_failed_source_can_be_tried_again(admin_client: Client) -> None:
    source = make_source()
    make_document(source, url="https://docs.example.org/a", state=Document.State.FAILED, error="500")
    page = admin_client.post(ACT, {"source": source.name, "do": "retry_failed"}, follow=True).content.decode()
    assert "1 failed documents are tried again" in page
    assert Document.objects.get().state == Document.State.WAITING
    assert queue_length("cpu") == 1


def test_a_source_can_be_read_again(admin_client: Client) -> None:
    source = make_source()
    admin_client.post(ACT, {"source": source.name, "do": "ingest_now"})
    admin_client.post(ACT, {"source": "x", "do": "ingest_now"})
    admin_client.post(ACT, {"source": source.name, "do": "drop"})
    assert Run.objects.get().source == source


def test_a_source_is_paused_and_resumed(admin_client: Client) -> None:
    source = make_source()
    Run.objects.create(source=source, state=Run.State.RUNNING)
    assert ">Pause</button>" in admin_client.get(LIVE).content.decode()
    admin_client.post(ACT, {"source": source.name, "do": "pause"})
    page = admin_client.get(LIVE).content.decode()
    assert "Paused by staff." in page
    assert ">Resume</button>" in page
    admin_client.post(ACT, {"source": source.name, "do": "resume"})
    assert not Source.objects.get().paused


def test_a_run_is_cancelled(admin_client: Client) -> None:
    source = make_source()
    run = Run.objects.create(source=source, state=Run.State.RUNNING)
    make_document(source, run=run, url="https://docs.example.org/a", state=Document.State.WAITING)
    assert ">Cancel</button>" in admin_client.get(LIVE).content.decode()
    page = admin_client.post(ACT, {"source": source.name, "do": "cancel_run"}, follow=True).content.decode()
    assert "the run is cancelled; 1 documents were not fetched" in page
    assert LogEntry.objects.get().get_change_message().startswith("Cancel the run: the run is cancelled")
    assert ">Cancel</button>" not in admin_client.get(LIVE).content.decode()


def test_who_may_not_see_sources_sees_none_of_it(client: Client) -> None:
    user = User.objects.create_user("reader", is_staff=True)
    client.force_login(user)
    assert 'id="live"' not in client.get("/admin/").content.decode()
    assert client.get(LIVE).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_source"))
    assert client.get(LIVE).status_code == 200
    assert client.post(ACT, {"source": make_source().name, "do": "ingest_now"}).status_code == 403
    assert not Run.objects.exists()
    assert Source.objects.exists()


def test_a_database_that_fails_is_said_where_the_state_stands(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OperationalError("no such column: secret")

    monkeypatch.setattr("ingestion.admin.live.status", fail)
    said = admin_client.get(LIVE).content.decode()
    assert said == f'<p class="alert" role="alert">{preflight.SILENT_DATABASE}</p>'
