"""Faults of the surroundings: documents wait, one reason is told, and the work goes on when they are mended."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.utils import timezone

from ingestion.exceptions import FetchFailed, ToolMissing
from ingestion.models import Document, Run, Source
from ingestion.pipeline.discover import list_source
from ingestion.pipeline.discover.list_source import list_run
from ingestion.pipeline.dispatcher import runs_to_list, start_documents
from ingestion.pipeline.process import process_document
from ingestion.pipeline.report.alerts import alerts
from ingestion.pipeline.state.runs import start_run
from ingestion.pipeline.state.transitions import explain_wait
from ingestion.types import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_path", "clean_redis")]

FILES = 12


@pytest.fixture
def source(tmp_path: Path) -> Source:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:02}.md").write_text(f"# Page {number}\n\nWords of page {number}.")
    return Source.objects.create(name="docs", kind="files", target=str(folder))


@pytest.fixture
def run(source: Source) -> Run:
    run = start_run(source)
    list(runs_to_list())
    list_run(run.pk)
    run.refresh_from_db()
    return run


def work() -> int:
    """Process what the dispatcher starts now, as the workers would. Return how many documents that were."""
    started = start_documents()
    for pk, attempt in started:
        process_document.process(pk, attempt)
    return len(started)


def let_time_pass() -> None:
    past = timezone.now() - timedelta(seconds=1)
    Run.objects.exclude(held_up_until=None).update(held_up_until=past)
    Document.objects.exclude(next_attempt_at=None).update(next_attempt_at=past)


def states() -> dict[str, int]:
    rows = list(Document.objects.values_list("state", flat=True))
    return {state: rows.count(state) for state in set(rows)}


def test_without_a_tokenizer_nothing_fails_and_when_it_is_there_everything_is_cut(
    run: Run, settings: Any, model_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bge-m3"
    settings.MODEL_PATH = str(folder)
    assert work() == FILES
    assert states() == {"waiting": FILES}
    assert set(Document.objects.values_list("attempts", "error")) == {(0, "")}
    [alert] = [said for said in alerts() if "waits" in said]
    assert str(folder) in alert
    run.refresh_from_db()
    assert str(folder) in run.note

    assert work() == 0  # left alone for a moment
    for _ in range(3):  # then tried one by one, as often as may be
        let_time_pass()
        assert work() == 1
    assert states() == {"waiting": FILES}
    assert set(Document.objects.values_list("attempts", flat=True)) == {0}

    shutil.copytree(model_path, folder)
    let_time_pass()
    assert work() == 1
    run.refresh_from_db()
    assert (run.held_up_until, run.note) == (None, "")
    assert work() == FILES - 1
    assert states() == {"embedding": FILES}
    assert not [said for said in alerts() if "waits" in said]


def full_disk(page: Page) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")  # noqa: S108


def broken_by_a_full_disk(page: Page) -> None:
    try:
        full_disk(page)
    except OSError as error:
        raise FetchFailed("the connection broke") from error


def without_a_tool(page: Page) -> None:
    raise ToolMissing("pandoc is not installed; install it.")


@pytest.mark.parametrize(
    ("fault", "words"),
    [(full_disk, "Make room"), (broken_by_a_full_disk, "Make room"), (without_a_tool, "install it")],
)
def test_any_fault_of_the_surroundings_holds_the_run_up(
    run: Run, monkeypatch: pytest.MonkeyPatch, fault: Any, words: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(process_document, "extract", fault)
        for _ in range(9):
            let_time_pass()
            work()
    assert states() == {"waiting": FILES}
    run.refresh_from_db()
    assert words in run.note
    let_time_pass()
    assert work() == 1
    assert work() == FILES - 1
    assert states() == {"embedding": FILES}


def test_documents_that_need_nothing_of_it_get_through(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One format's tool is missing: those of other formats do not wait behind it."""
    read = process_document.extract  # type: ignore[attr-defined]

    def partly(page: Page) -> Any:
        return without_a_tool(page) if page.url.endswith(("00.md", "01.md")) else read(page)

    monkeypatch.setattr(process_document, "extract", partly)
    work()
    assert states() == {"waiting": 2, "embedding": FILES - 2}


def test_another_source_is_not_held_up(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(process_document, "extract", full_disk)
        work()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.md").write_text("# A\n\nWords.")
    start_run(Source.objects.create(name="other", kind="files", target=str(tmp_path / "other")))
    for pk in list(runs_to_list()):
        list_run(pk)
    assert work() == 1
    assert Document.objects.get(url__endswith="a.md").state == Document.State.EMBEDDING


def test_a_listing_that_meets_a_full_disk_is_tried_again_as_often_as_it_takes(
    source: Source, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run(source)
    with monkeypatch.context() as patch:
        patch.setattr(list_source, "list_documents", full_disk)
        for _ in range(settings.MAX_ATTEMPTS + 2):
            Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
            assert list(runs_to_list()) == [run.pk]
            assert not list_run(run.pk)
    run.refresh_from_db()
    assert (run.state, "Make room" in run.note) == (Run.State.LISTING, True)
    assert any("Make room" in said for said in alerts())
    Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    list(runs_to_list())
    assert list_run(run.pk)
    run.refresh_from_db()
    assert (run.state, run.note, run.held_up_until) == (Run.State.RUNNING, "", None)


@pytest.fixture
def short_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**20))
        yield


@pytest.mark.usefixtures("short_disk")
def test_a_disk_without_room_is_said_even_where_nothing_can_store_it(clean_redis: redis.Redis) -> None:
    assert any("1 MiB are left" in said for said in alerts())
    clean_redis.config_set("min-replicas-to-write", 1)  # as a full disk does, this makes Redis refuse writes
    try:
        [said] = alerts()
    finally:
        clean_redis.config_set("min-replicas-to-write", 0)
    assert "1 MiB are left" in said


def test_what_holds_a_run_up_stays_said_while_others_are_written(run: Run, settings: Any, tmp_path: Path) -> None:
    settings.MODEL_PATH = str(tmp_path / "bge-m3")
    assert work() == FILES
    other = Run.objects.create(source=Source.objects.create(name="other", kind="files", target="/other"), note="waits")
    explain_wait("")  # as each drain does at its end
    run.refresh_from_db()
    other.refresh_from_db()
    assert (str(tmp_path) in run.note, other.note) == (True, "")
