"""One document -> chunk rows: what is new, what stays, what leaves, and how errors end on the row."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.db import connection
from django.utils import timezone

from ingestion.exceptions import FetchFailed, HostBusy, ToolMissing, UnsupportedContent
from ingestion.extraction.extract import extract
from ingestion.models import Chunk, ChunkQuerySet, Document, DocumentQuerySet, Run, Source
from ingestion.pipeline.discover.list_source import list_run
from ingestion.pipeline.process import process_document
from ingestion.pipeline.report.sentences import chunks_sentence, dropped_sentence
from ingestion.pipeline.state import fingerprints
from ingestion.pipeline.state.runs import forget_removed_sources, remove_source, start_run, summary
from ingestion.pipeline.state.steering import cancel
from ingestion.pipeline.state.transitions import finish_runs
from ingestion.sources import registry
from ingestion.types import Dropped, Extracted

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_path")]

PARAGRAPHS = "\n\n".join(f"## Section {n}\n\n" + f"Sentence {n} about topic {n}. " * 30 for n in range(6))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "guide.md").write_text(f"# Guide\n\n{PARAGRAPHS}")
    return tmp_path


@pytest.fixture
def source(folder: Path) -> Source:
    return Source.objects.create(name="docs", kind="files", target=str(folder))


def list_run_of(run: Run) -> None:
    """List the run's source as a worker would."""
    Run.objects.lease_for_listing(until=timezone.now())
    list_run(run.pk)


def ingest(source: Source) -> Run:
    """List and process everything as the workers would."""
    run = start_run(source)
    list_run_of(run)
    for document in Document.objects.filter(run=run, state=Document.State.WAITING):
        Document.objects.lease([document.pk], until=timezone.now())
        process_document.process(document.pk, document.attempts)
    run.refresh_from_db()
    return run


def pretend_indexed() -> None:
    Chunk.objects.update(state=Chunk.State.INDEXED)
    Document.objects.update(state=Document.State.INDEXED)
    Run.objects.update(state=Run.State.FINISHED)


def test_a_new_document_has_all_its_chunks_waiting(source: Source) -> None:
    ingest(source)
    document = Document.objects.get()
    assert document.state == Document.State.EMBEDDING
    assert document.title == "Guide"
    assert document.chunks.count() == document.new_chunks >= 6
    for chunk in document.chunks.all():
        assert document.markdown[chunk.start : chunk.end] == chunk.text
        assert chunk.state == Chunk.State.WAITING


def test_a_piece_of_a_table_is_stored_with_its_header_and_the_offsets_of_its_rows(source: Source, folder: Path) -> None:
    header = "| Service | Port |\n| --- | --- |\n"
    rows = "".join(f"| service {n} of the gateway | {3000 + n} |\n" for n in range(150))
    (folder / "guide.md").write_text(f"# Ports\n\n{header}{rows}")
    ingest(source)
    document = Document.objects.get()
    first, *others = document.chunks.all()
    assert first.text == document.markdown[first.start : first.end]
    assert len(others) > 3
    assert all(chunk.text == header + document.markdown[chunk.start : chunk.end] for chunk in others)


def test_unchanged_bytes_are_not_extracted_again(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest(source)
    pretend_indexed()
    monkeypatch.setattr(process_document, "extract", lambda page: pytest.fail("extracted again"))
    run = ingest(source)
    assert Document.objects.get().state == Document.State.UNCHANGED
    figures = summary([run.pk])
    assert (figures.unchanged, figures.embedded) == (1, 0)
    assert figures.reused == figures.chunks > 0


def test_one_changed_paragraph_embeds_only_its_chunks(source: Source, folder: Path) -> None:
    ingest(source)
    pretend_indexed()
    total = Chunk.objects.count()
    (folder / "guide.md").write_text(
        f"# Guide\n\nA new opening.\n\n{PARAGRAPHS}".replace("Sentence 3 about", "Word 3 on", 1)
    )
    ingest(source)
    waiting = Chunk.objects.filter(state=Chunk.State.WAITING).count()
    assert 1 <= waiting <= 3
    assert Chunk.objects.filter(state=Chunk.State.REMOVING).count() >= 1
    assert Chunk.objects.filter(state=Chunk.State.INDEXED).count() >= total - 2
    live = list(Chunk.objects.live().values_list("position", flat=True))
    assert live == list(range(len(live)))


def test_text_that_comes_back_before_it_was_deleted_keeps_its_vector(source: Source, folder: Path) -> None:
    original = (folder / "guide.md").read_text()
    ingest(source)
    pretend_indexed()
    (folder / "guide.md").write_text("# Guide\n\nAll gone.")
    ingest(source)
    removing = Chunk.objects.filter(state=Chunk.State.REMOVING)
    deleting = removing.first()
    assert deleting is not None
    Chunk.objects.filter(id=deleting.pk).update(state=Chunk.State.DELETING)
    Document.objects.update(state=Document.State.INDEXED)
    Run.objects.update(state=Run.State.FINISHED)
    (folder / "guide.md").write_text(original)
    ingest(source)
    assert not removing.exclude(text="All gone.").exists()
    deleting.refresh_from_db()
    assert deleting.state == Chunk.State.WAITING


def test_text_that_left_before_it_was_embedded_is_embedded_when_it_comes_back(source: Source, folder: Path) -> None:
    original = (folder / "guide.md").read_text()
    ingest(source)  # and the embedder is away
    for text in ("# Guide\n\nAll gone.", original):
        Document.objects.update(state=Document.State.INDEXED)
        Run.objects.update(state=Run.State.FINISHED)
        (folder / "guide.md").write_text(text)
        ingest(source)
    assert set(Chunk.objects.live().values_list("state", flat=True)) == {Chunk.State.WAITING}


@pytest.mark.django_db(transaction=True)
def test_text_that_comes_back_while_a_drain_deletes_it_is_not_lost(
    source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not connection.features.has_select_for_update:
        pytest.skip("SQLite lets one process write at a time")
    original = (folder / "guide.md").read_text()
    ingest(source)
    pretend_indexed()
    wanted = set(Chunk.objects.values_list("key", flat=True))
    (folder / "guide.md").write_text("# Guide\n\nAll gone.")
    ingest(source)
    pretend_indexed()
    Chunk.objects.filter(key__in=wanted).update(state=Chunk.State.REMOVING)

    def delete() -> None:  # as a drain does
        Chunk.objects.filter(state=Chunk.State.REMOVING).update(state=Chunk.State.DELETING)
        Chunk.objects.filter(state=Chunk.State.DELETING).delete()
        connection.close()

    drain = threading.Thread(target=delete)
    remove = ChunkQuerySet.remove

    def remove_beside_a_drain(rows: ChunkQuerySet) -> int:
        drain.start()
        drain.join(1.0)  # it waits for this transaction, or it has deleted the rows by then
        return remove(rows)

    (folder / "guide.md").write_text(original)
    list_run_of(start_run(source))
    document = Document.objects.get()
    Document.objects.lease([document.pk], until=timezone.now())
    monkeypatch.setattr(ChunkQuerySet, "remove", remove_beside_a_drain)
    process_document.process(document.pk, document.attempts)
    drain.join()
    assert set(Chunk.objects.live().values_list("key", flat=True)) == wanted


def test_a_deleted_file_is_gone_with_its_chunks(source: Source, folder: Path) -> None:
    (folder / "other.md").write_text("# Other\n\nText.")
    ingest(source)
    pretend_indexed()
    (folder / "other.md").unlink()
    run = ingest(source)
    finish_runs()
    gone = Document.objects.get(url__endswith="other.md")
    assert gone.state == Document.State.GONE
    assert set(gone.chunks.values_list("state", flat=True)) == {Chunk.State.REMOVING}
    assert summary([run.pk]).gone == 1


def bad_bytes(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)


def blank(path: Path) -> None:
    path.write_text(" \n\n ")


@pytest.mark.parametrize(("spoil", "words"), [(bad_bytes, "binary"), (blank, "no text")])
def test_a_bad_file_fails_alone_with_a_reason(
    spoil: Callable[[Path], None], words: str, source: Source, folder: Path
) -> None:
    spoil(folder / "bad.txt")
    ingest(source)
    bad = Document.objects.get(url__endswith="bad.txt")
    assert bad.state == Document.State.FAILED
    assert words in bad.error.lower()
    assert Document.objects.get(url__endswith="guide.md").state == Document.State.EMBEDDING


@pytest.mark.parametrize("content", [b"x" * 5_000_000, b"word " * 1_000_000, "caf\xe9 ".encode("latin-1") * 50])
def test_a_page_of_one_huge_line_or_broken_utf8_is_indexed(content: bytes, source: Source, folder: Path) -> None:
    (folder / "huge.txt").write_bytes(content)
    ingest(source)
    huge = Document.objects.get(url__endswith="huge.txt")
    assert huge.state == Document.State.EMBEDDING, huge.error
    assert huge.chunks.count() > 0


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<meta http-equiv=refresh content='0;url=guide.html'>", "only sends its readers on to file://"),
        ("<frameset><frame src=toc.html><frame src=guide.html></frameset>", "is a frameset for toc.html, guide.html"),
    ],
)
def test_a_file_that_only_leads_to_others_is_no_document_and_no_failure(
    page: str, words: str, source: Source, folder: Path
) -> None:
    (folder / "index.html").write_text(page)
    run = ingest(source)
    index = Document.objects.get(url__endswith="index.html")
    assert index.state == Document.State.GONE
    assert words in index.error
    assert summary([run.pk]).failed == 0


def test_an_empty_folder_fails_its_run(source: Source, folder: Path) -> None:
    (folder / "guide.md").unlink()
    run = ingest(source)
    assert run.state == Run.State.FAILED
    assert "nothing to index" in run.error


def test_a_vanished_folder_fails_its_run_and_keeps_the_documents(source: Source, folder: Path) -> None:
    ingest(source)
    pretend_indexed()
    Source.objects.update(target=str(folder / "elsewhere"))
    source.refresh_from_db()
    run = ingest(source)
    assert run.state == Run.State.FAILED
    assert Document.objects.get().state == Document.State.INDEXED


def test_a_passing_trouble_is_tried_again_later_and_then_fails(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(page: object) -> None:
        raise FetchFailed("https://x/ answered 503", retry_after=100)

    monkeypatch.setattr(process_document, "extract", broken)
    ingest(source)
    document = Document.objects.get()
    assert document.state == Document.State.WAITING
    assert document.next_attempt_at is not None
    assert (document.next_attempt_at - timezone.now()).total_seconds() > 90
    for attempt in range(1, 4):
        Document.objects.lease([document.pk], until=timezone.now())
        process_document.process(document.pk, attempt)
    document.refresh_from_db()
    assert (document.state, document.attempts) == (Document.State.FAILED, 4)
    assert "503" in document.error


def test_the_pause_after_a_passing_trouble_is_doubled_each_time(
    source: Source, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def broken(page: object) -> None:
        raise FetchFailed("the connection broke")

    settings.RETRY_SECONDS = 500.0
    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
    monkeypatch.setattr(process_document, "extract", broken)
    ingest(source)
    for attempt, seconds in enumerate((500, 1000, 2000), 1):
        document = Document.objects.get()
        assert document.next_attempt_at is not None
        assert (document.next_attempt_at - timezone.now()).total_seconds() == pytest.approx(seconds, abs=100)
        Document.objects.lease([document.pk], until=timezone.now())
        process_document.process(document.pk, attempt)


def test_a_page_that_takes_too_long_is_tried_once_more_and_says_what_to_do(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []

    def endless(page: object) -> None:
        tries.append(page)
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(process_document, "extract", endless)
    ingest(source)
    document = Document.objects.get()
    assert document.state == Document.State.WAITING
    assert "guide.md took longer than 90 s" in document.error
    Document.objects.lease([document.pk], until=timezone.now())
    process_document.process(document.pk, document.attempts)
    document.refresh_from_db()
    assert (document.state, len(tries)) == (Document.State.FAILED, 2)
    assert "raise PAGE_TIME_LIMIT_SECONDS" in document.error


def test_an_attempt_that_took_too_long_leaves_no_more_than_the_last(
    source: Source, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def endless(page: object) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(process_document, "extract", endless)
    settings.MAX_ATTEMPTS = 1
    ingest(source)
    assert Document.objects.get().state == Document.State.FAILED


def test_an_unexpected_error_ends_on_the_row_not_in_the_worker(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_document, "extract", lambda page: 1 / 0)
    ingest(source)
    assert "ZeroDivisionError" in Document.objects.get().error


def read_with(monkeypatch: pytest.MonkeyPatch, change: Callable[[Extracted], Extracted]) -> None:
    """From now on, documents are read by rules that make something else of them."""
    monkeypatch.setattr(process_document, "extract", lambda page: change(extract(page)))


def test_the_words_that_rules_drop_are_counted_for_the_document_and_for_the_run(
    source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "other.md").write_text("# Other\n\nText.")

    def dropping(found: Extracted) -> Extracted:
        navigation = Dropped("navigation", 7 if found.title == "Guide" else 5, "Home Up")
        return replace(found, dropped=(navigation, Dropped("footer", 2, "All rights")))

    read_with(monkeypatch, dropping)
    run = ingest(source)
    assert Document.objects.get(title="Guide").dropped == {"navigation": 7, "footer": 2}
    pretend_indexed()
    Run.objects.update(state=Run.State.RUNNING)
    finish_runs()
    run.refresh_from_db()
    assert run.figures["dropped"] == {"navigation": 12, "footer": 4}
    assert dropped_sentence(run.figures["dropped"]) == ("16 words left out by rules: 12 of “navigation”, 4 of “footer”")


def test_equal_text_that_other_rules_made_brings_the_new_count(
    source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(source)
    pretend_indexed()
    (folder / "guide.md").write_text((folder / "guide.md").read_text() + "\n\n")
    read_with(monkeypatch, lambda found: replace(found, dropped=(Dropped("footer", 2, "All rights"),)))
    ingest(source)
    document = Document.objects.get()
    assert (document.state, document.dropped) == (Document.State.UNCHANGED, {"footer": 2})


def test_when_the_rules_change_only_what_they_changed_is_embedded_and_the_run_says_so(
    source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "other.md").write_text("# Other\n\nText.")
    ingest(source)
    pretend_indexed()
    monkeypatch.setattr(fingerprints, "PROCESSING_VERSION", "next")
    same = summary([ingest(source).pk])
    assert (same.unchanged, same.embedded, same.reused) == (2, 0, same.chunks)
    assert same.saved.pages == {"text": 2}

    pretend_indexed()
    monkeypatch.setattr(fingerprints, "PROCESSING_VERSION", "the one after")
    read_with(
        monkeypatch, lambda found: replace(found, markdown=found.markdown.replace("Sentence 3 about", "Word 3 on", 1))
    )
    changed = summary([ingest(source).pk])
    assert (changed.unchanged, changed.embedded) == (1, 1)
    assert chunks_sentence(asdict(changed)) == (
        f"1 of {changed.chunks} chunks embedded, {changed.chunks - 1} kept or copied their vectors"
    )


def test_two_equal_paragraphs_are_two_chunks(source: Source, folder: Path) -> None:
    same = "## Same\n\n" + "Equal text. " * 90
    (folder / "guide.md").write_text(f"# Guide\n\n{same}\n\n## Other\n\nX.\n\n{same}\n")
    ingest(source)
    assert Chunk.objects.filter(text__contains="Equal text").count() == 2


def test_an_error_is_noted_whatever_a_server_wrote(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise UnsupportedContent("it has the content type text/\0html\ud83d")

    monkeypatch.setattr(process_document, "fetch", refuse)
    ingest(source)
    document = Document.objects.get()
    assert (document.state, document.error) == (Document.State.FAILED, "it has the content type text/html?")


# --- What happens to a document while a worker holds it ---------------------------------------------------


def process_while(source: Source, monkeypatch: pytest.MonkeyPatch, event: Callable[[], object]) -> Document:
    """Process the source's document, and let ``event`` happen while its page is fetched."""
    list_run_of(start_run(source))
    document = Document.objects.get()
    Document.objects.lease([document.pk], until=timezone.now())
    fetch = registry.fetch

    def fetch_meanwhile(*args: Any) -> Any:
        monkeypatch.setattr(process_document, "fetch", fetch)
        event()
        return fetch(*args)

    monkeypatch.setattr(process_document, "fetch", fetch_meanwhile)
    assert process_document.process(document.pk, document.attempts) == process_document.Next()
    document.refresh_from_db()
    return document


def test_a_source_that_is_removed_while_a_page_is_read_leaves_nothing_behind(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = process_while(source, monkeypatch, lambda: remove_source(source))
    assert document.state == Document.State.GONE
    assert not Chunk.objects.exists()
    assert forget_removed_sources() == 1


def test_messages_about_a_source_that_is_gone_do_nothing(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(source)
    list_run_of(run)
    document = Document.objects.get()
    Document.objects.lease([document.pk], until=timezone.now())
    start_attempt = DocumentQuerySet.start_attempt

    def start_and_vanish(rows: DocumentQuerySet, document_id: int, **attempt: Any) -> bool:
        begun = start_attempt(rows, document_id, **attempt)
        Source.objects.all().delete()
        return begun

    monkeypatch.setattr(DocumentQuerySet, "start_attempt", start_and_vanish)
    assert process_document.process(document.pk, 0) == process_document.Next()
    assert list_run(run.pk) is False


def test_a_page_that_is_read_for_a_cancelled_run_stays_with_the_run_that_followed(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin_anew() -> None:
        cancel(source)
        list_run_of(start_run(source))

    document = process_while(source, monkeypatch, begin_anew)
    assert (document.state, document.attempts) == (Document.State.WAITING, 0)
    assert document.run == Run.objects.active().get()


@pytest.mark.parametrize("error", [FetchFailed("reset"), HostBusy("busy", retry_after=1.0), ToolMissing("pandoc")])
def test_a_worker_that_lost_a_page_to_another_one_ends_nothing(
    error: Exception, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = timezone.now() + timedelta(hours=1)

    def hand_to_another() -> None:
        Document.objects.update(state=Document.State.WAITING)  # as the dispatcher does when a lease has run out
        document = Document.objects.get()
        Document.objects.lease([document.pk], until=later)
        assert Document.objects.start_attempt(document.pk, attempt=1, until=later)
        raise error

    document = process_while(source, monkeypatch, hand_to_another)
    assert (document.state, document.attempts, document.error) == (Document.State.FETCHING, 2, "")
    assert document.lease_until == later
    assert Run.objects.get().note == ""
