"""The staff's view, through real requests."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingestion.coordination.celery_queues import queue_length
from ingestion.models import Chunk, Document, Run, Source
from ingestion.pipeline.state.runs import forget_removed_sources
from ingestion.pipeline.state.transitions import finish_runs
from ingestion.sources.registry import KINDS
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis")]

SOURCES = "admin:ingestion_source_changelist"
DOCUMENTS = "admin:ingestion_document_changelist"


def form(**fields: Any) -> dict[str, Any]:
    blank = {
        "name": "docs",
        "kind": "website",
        "include": "",
        "exclude": "",
        "max_pages": 10,
        "max_depth": 2,
        "max_alike": 500,
    }
    return {**blank, "target": "https://docs.example.org/guide/", "refresh_seconds": "", **fields}


def add(client: Client, **fields: Any) -> str:
    return client.post(reverse("admin:ingestion_source_add"), form(**fields), follow=True).content.decode()


def act(client: Client, page: str, action: str, *ids: int) -> str:
    data = {"action": action, "_selected_action": ids}
    return client.post(reverse(page), data, follow=True).content.decode()


def test_a_source_that_is_added_is_enqueued(admin_client: Client) -> None:
    page = add(admin_client, target="HTTPS://Docs.Example.org/guide/#top")
    assert "Work is under way" in page
    assert Source.objects.get().target == "https://docs.example.org/guide/"
    assert Run.objects.get().state == Run.State.WAITING
    assert queue_length("cpu") == 1


def test_globs_are_written_one_per_line_and_come_back_so(admin_client: Client) -> None:
    add(admin_client, include="*.md\r\n\r\n guide/* ", exclude="*draft*")
    source = Source.objects.get()
    assert (source.include, source.exclude) == (["*.md", "guide/*"], ["*draft*"])
    page = admin_client.get(reverse("admin:ingestion_source_change", args=[source.pk])).content.decode()
    assert "*.md\nguide/*" in page


def test_a_version_belongs_to_a_product(admin_client: Client) -> None:
    assert "Name the product" in add(admin_client, version="5.2")
    add(admin_client, product="django", version="5.2")
    assert (Source.objects.get().product, Source.objects.get().version) == ("django", "5.2")


def test_the_same_target_twice_is_refused(admin_client: Client) -> None:
    add(admin_client)
    page = add(admin_client, name="again", target="https://DOCS.example.org:443/guide/")
    assert "already exists" in page
    assert Source.objects.count() == 1


@pytest.mark.parametrize("target", ["ftp://example.org/", "http://user:pw@example.org/", "nonsense"])
def test_a_target_that_cannot_be_fetched_is_refused_on_its_field(target: str, admin_client: Client) -> None:
    assert "errorlist" in add(admin_client, target=target)
    assert not Source.objects.exists()


def test_staff_may_name_only_folders_that_the_operator_allows(
    admin_client: Client, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "open").mkdir()
    settings.FILES_ROOTS = [tmp_path / "open"]
    assert "below one of FILES_ROOTS" in add(admin_client, kind="files", target="/etc")
    assert "below one of FILES_ROOTS" in add(admin_client, kind="files", target=f"{tmp_path}/open/..")
    add(admin_client, kind="files", target=str(tmp_path / "open"))
    assert Source.objects.get().target == str(tmp_path / "open")


def test_the_list_shows_state_progress_and_the_last_error(admin_client: Client) -> None:
    source = make_source()
    make_document(source, "file:///a", state=Document.State.INDEXED)
    make_document(source, "file:///b", state=Document.State.FAILED, error="HTTP 403 from the server")
    page = admin_client.get(reverse(SOURCES)).content.decode()
    assert "2 of 2" in page
    assert "HTTP 403 from the server" in page
    assert "state__in=failed,quarantined" in page.replace("&amp;", "&")


def test_the_link_to_failed_documents_leads_to_them(admin_client: Client) -> None:
    source = make_source()
    make_document(source, "file:///fine", state=Document.State.INDEXED)
    make_document(source, "file:///broken", state=Document.State.QUARANTINED)
    query = f"?source__id__exact={source.pk}&state__in=failed,quarantined"
    page = admin_client.get(reverse(DOCUMENTS) + query, follow=True).content.decode()
    assert "file:///broken" in page
    assert "file:///fine" not in page


def test_ingest_now_starts_a_run(admin_client: Client) -> None:
    source = make_source()
    act(admin_client, SOURCES, "ingest_now", source.pk)
    assert Run.objects.get().source == source
    assert queue_length("cpu") == 1


def test_delete_takes_the_vectors_first(admin_client: Client) -> None:
    source = make_source()
    chunk = make_chunk(make_document(source, state=Document.State.INDEXED), 0, state=Chunk.State.INDEXED)
    act(admin_client, SOURCES, "delete_with_vectors", source.pk)
    source.refresh_from_db()
    chunk.refresh_from_db()
    assert source.deleting
    assert chunk.state == Chunk.State.REMOVING
    assert "deleting" in admin_client.get(reverse(SOURCES)).content.decode()


def test_deleting_on_the_sources_own_page_takes_the_vectors_first_too(admin_client: Client) -> None:
    source = make_source()
    admin_client.post(reverse("admin:ingestion_source_delete", args=[source.pk]), {"post": "yes"})
    source.refresh_from_db()
    assert source.deleting


def test_the_built_in_bulk_delete_is_not_offered(admin_client: Client) -> None:
    make_source()
    assert "delete_selected" not in admin_client.get(reverse(SOURCES)).content.decode()


def test_a_quarantined_document_can_be_tried_again(admin_client: Client) -> None:
    document = make_document(make_source(), state=Document.State.QUARANTINED, attempts=4, error="died")
    Run.objects.update(state=Run.State.FINISHED, finished_at=timezone.now())
    act(admin_client, DOCUMENTS, "try_again", document.pk)
    document.refresh_from_db()
    assert (document.state, document.attempts, document.error) == (Document.State.WAITING, 0, "")
    assert document.run is not None
    assert document.run.state in Run.ACTIVE


def test_crawled_titles_and_errors_are_escaped(admin_client: Client) -> None:
    hostile = "<script>alert(1)</script>"
    document = make_document(make_source(), state=Document.State.FAILED, title=hostile, error=hostile)
    make_chunk(document, 0, text=hostile, heading=hostile)
    for url in (reverse(DOCUMENTS), reverse("admin:ingestion_document_change", args=[document.pk]), reverse(SOURCES)):
        response = admin_client.get(url)
        assert response.status_code == 200
        assert hostile not in response.content.decode()


def test_rows_of_the_pipeline_can_be_read_but_not_edited(admin_client: Client) -> None:
    run = make_document(make_source()).run
    assert run is not None
    for name in ("document", "run", "collection"):
        assert admin_client.get(reverse(f"admin:ingestion_{name}_add")).status_code == 403
        assert admin_client.get(reverse(f"admin:ingestion_{name}_changelist")).status_code == 200
    assert admin_client.get(reverse("admin:ingestion_run_change", args=[run.pk])).status_code == 200


def test_without_redis_the_source_is_saved_and_the_page_says_so(
    admin_client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingestion import tasks
    from ingestion.exceptions import BufferUnavailable

    def down() -> None:
        raise BufferUnavailable("Redis does not answer, so no worker could be told.")

    monkeypatch.setattr(tasks, "wake", down)
    page = add(admin_client)
    assert "Saved. Redis does not answer" in page
    assert Run.objects.exists()


def test_uploaded_files_become_a_source_and_leave_with_it(admin_client: Client) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("guide/intro.md", "# Intro")
        files.writestr("logo.png", b"\x89PNG")
    given = [SimpleUploadedFile("one.md", b"# One"), SimpleUploadedFile("more.zip", archive.getvalue())]
    page = add(admin_client, kind="uploads", target="", upload=given)
    assert "2 added" in page
    assert "logo.png" in page
    source = Source.objects.get()
    assert len(list(KINDS["uploads"].list_documents(source.spec()).documents)) == 2
    act(admin_client, SOURCES, "delete_with_vectors", source.pk)
    assert forget_removed_sources() == 1
    assert not (settings.DATA_DIR / "uploads" / source.target).exists()


def test_files_are_not_stored_for_a_name_that_another_source_has(admin_client: Client) -> None:
    make_source("manual")
    folders = settings.DATA_DIR / "uploads"
    before = set(folders.glob("*"))
    file = SimpleUploadedFile("a.md", b"# A page")
    page = add(admin_client, name="manual", kind="uploads", target="", upload=file)
    assert Source.objects.count() == 1 and set(folders.glob("*")) == before
    assert "Another source has this name." in page


def test_an_upload_without_files_is_refused_on_its_field(admin_client: Client) -> None:
    assert "Choose at least one file" in add(admin_client, kind="uploads", target="")
    assert not Source.objects.exists()


def test_missing_pages_are_removed_when_staff_say_so(admin_client: Client) -> None:
    source = make_source()
    document = make_document(source, state=Document.State.MISSING, misses=2, chunk_count=1)
    make_chunk(document, 0, state=Chunk.State.INDEXED)
    Run.objects.update(state=Run.State.HELD, error="12 of 20 pages are missing")
    assert "12 of 20 pages" in admin_client.get(reverse(SOURCES)).content.decode()
    assert "1 missing pages leave" in act(admin_client, SOURCES, "remove_missing_pages", source.pk)
    document.refresh_from_db()
    assert document.state == Document.State.GONE


def test_the_list_of_runs_says_what_was_left_out_and_saved(admin_client: Client) -> None:
    document = make_document(make_source(), state=Document.State.UNCHANGED, unchanged_by="304", chunk_count=1)
    make_chunk(document, 0, state=Chunk.State.INDEXED)
    Run.objects.update(remarks={"The bound of 5 pages is reached (max_pages).": "https://x.example/<b>"})
    finish_runs()
    page = admin_client.get(reverse("admin:ingestion_run_changelist")).content.decode()
    assert "max_pages" in page
    assert "https://x.example/&lt;b&gt;" in page
    assert "unchanged pages: 1 by the server&#x27;s 304" in page
    assert "0 of 1 chunks embedded" in page


def test_the_page_of_a_run_says_which_rules_dropped_words(admin_client: Client) -> None:
    make_document(make_source(), state=Document.State.UNCHANGED, dropped={"navigation": 12, "footer": 3})
    finish_runs()
    page = admin_client.get(reverse("admin:ingestion_run_change", args=[Run.objects.get().pk])).content.decode()
    assert "15 words left out by rules: 12 of “navigation”, 3 of “footer”" in page
