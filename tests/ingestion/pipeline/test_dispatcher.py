"""What may start now: bounds, fairness, retry times, leases and quarantine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db import connection
from django.utils import timezone

from ingestion.exceptions import SourceError
from ingestion.models import Chunk, Document, Run, Source
from ingestion.pipeline import dispatcher
from ingestion.pipeline.state import runs
from ingestion.pipeline.state.runs import remove_source, start_run
from ingestion.sources.registry import KEEPERS
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]

PAST = timedelta(seconds=-1)


def at(delta: timedelta):  # type: ignore[no-untyped-def]
    return timezone.now() + delta


def make_documents(source: Source, number: int) -> None:
    run = Run.objects.get_or_create(source=source, state=Run.State.RUNNING)[0]
    Document.objects.bulk_create(
        [Document(source=source, run=run, url=f"file:///{source.name}/{n}") for n in range(number)]
    )


def settle_first(source: Source, number: int) -> None:
    """As workers do with the pages that they were sent first."""
    flying = Document.objects.filter(source=source, state=Document.State.FETCHING)[:number]
    Document.objects.filter(id__in=[d.pk for d in flying]).update(state=Document.State.INDEXED)


def in_flight(*sources: Source) -> tuple[int, ...]:
    return tuple(Document.objects.filter(source=s, state=Document.State.FETCHING).count() for s in sources)


def test_it_starts_no_more_than_may_be_in_flight(settings) -> None:  # type: ignore[no-untyped-def]
    settings.MAX_DOCUMENTS_IN_FLIGHT = 3
    source = make_source()
    for n in range(5):
        make_document(source, f"file:///{n}")
    assert len(dispatcher.tick().documents) == 3
    assert dispatcher.tick().documents == ()


def test_it_shares_the_room_between_sources(settings) -> None:  # type: ignore[no-untyped-def]
    settings.MAX_DOCUMENTS_IN_FLIGHT = 10
    big, small = make_source("big"), make_source("small")
    make_documents(big, 50)
    make_documents(small, 4)
    started = [d for d, _ in dispatcher.tick().documents]
    assert Document.objects.filter(id__in=started, source=small).count() == 4
    assert Document.objects.filter(id__in=started, source=big).count() == 6
    owners = list(Document.objects.filter(id__in=started[:8]).values_list("source", flat=True))
    assert owners.count(small.pk) == 4  # one after the other, not behind those of the big one


def test_a_source_that_comes_late_catches_up_at_once(settings) -> None:  # type: ignore[no-untyped-def]
    settings.MAX_DOCUMENTS_IN_FLIGHT = 10
    big, small = make_source("big"), make_source("small")
    make_documents(big, 50)
    dispatcher.tick()
    make_documents(small, 20)
    settle_first(big, 4)
    dispatcher.tick()
    assert in_flight(big, small) == (6, 4)
    settle_first(big, 4)
    dispatcher.tick()
    assert in_flight(big, small) == (5, 5)


def test_a_refresh_of_a_few_pages_starts_while_a_first_ingest_of_very_many_goes_on(settings) -> None:  # type: ignore[no-untyped-def]
    """In rounds of as many pages as are in flight: alone the small one takes two, beside the big one four."""
    settings.MAX_DOCUMENTS_IN_FLIGHT = 10
    big = make_source("big")
    make_documents(big, 200)
    dispatcher.tick()
    small = make_source("small")
    make_documents(small, 20)
    rounds = 0
    while Document.objects.filter(source=small).active().exists():
        rounds += 1
        Document.objects.filter(state=Document.State.FETCHING).update(state=Document.State.INDEXED)
        dispatcher.tick()
    assert rounds <= 6
    assert Document.objects.filter(source=big, state=Document.State.WAITING).count() > 100


def test_shallow_pages_start_first(settings) -> None:  # type: ignore[no-untyped-def]
    settings.MAX_DOCUMENTS_IN_FLIGHT = 1
    source = make_source()
    make_document(source, "file:///deep", depth=3)
    shallow = make_document(source, "file:///shallow", depth=1)
    assert dispatcher.tick().documents == ((shallow.pk, 0),)


def test_a_retry_waits_for_its_time() -> None:
    document = make_document(make_source(), next_attempt_at=at(timedelta(minutes=5)))
    assert dispatcher.tick().documents == ()
    Document.objects.filter(id=document.pk).update(next_attempt_at=at(PAST))
    assert dispatcher.tick().documents == ((document.pk, 0),)


def test_fetching_pauses_and_says_so_while_the_embedder_is_far_behind(settings) -> None:  # type: ignore[no-untyped-def]
    settings.MAX_CHUNKS_WAITING = 2
    source = make_source()
    done = make_document(source, "file:///a", state=Document.State.EMBEDDING)
    make_document(source, "file:///b")
    for n in range(2):
        make_chunk(done, n)
    assert dispatcher.tick().documents == ()
    assert "chunks wait for the embedder" in Run.objects.get().note


def test_only_the_source_that_fills_the_embedders_line_pauses(settings) -> None:  # type: ignore[no-untyped-def]
    settings.MAX_CHUNKS_WAITING = 4
    big, small = make_source("big"), make_source("small")
    done = make_document(big, "file:///a", state=Document.State.EMBEDDING)
    for n in range(4):
        make_chunk(done, n)
    make_document(big, "file:///b")
    make_chunk(make_document(small, "file:///d", state=Document.State.EMBEDDING), 0)
    fresh = make_document(small, "file:///c")
    assert dispatcher.tick().documents == ((fresh.pk, 0),)
    assert Run.objects.get(source=big).note
    assert not Run.objects.get(source=small).note


def test_a_document_whose_worker_vanished_starts_again() -> None:
    document = make_document(make_source(), state=Document.State.FETCHING, attempts=1, lease_until=at(PAST))
    assert dispatcher.tick().documents == ((document.pk, 1),)


def test_a_document_that_kills_its_worker_each_time_is_quarantined(settings) -> None:  # type: ignore[no-untyped-def]
    source = make_source()
    spent = settings.MAX_ATTEMPTS
    document = make_document(source, state=Document.State.FETCHING, attempts=spent, lease_until=at(PAST))
    assert dispatcher.tick().documents == ()
    document.refresh_from_db()
    assert document.state == Document.State.QUARANTINED
    assert "ingest now" in document.error
    assert Run.objects.get().state == Run.State.FINISHED


def test_duplicates_of_a_quarantined_document_without_text_stand_for_themselves(settings: Any) -> None:
    source, spent = make_source(), settings.MAX_ATTEMPTS
    for has_text in (False, True):
        first = make_document(
            source, f"file:///{has_text}/1", state=Document.State.FETCHING, attempts=spent, lease_until=at(PAST)
        )
        copy = make_document(source, f"file:///{has_text}/2", state=Document.State.DUPLICATE, duplicate_of=first)
        if has_text:
            make_chunk(first, 0, state=Chunk.State.INDEXED)
        dispatcher.recover()
        copy.refresh_from_db()
        assert (copy.duplicate_of == first) is has_text


def test_one_attempt_is_started_by_one_worker_only() -> None:
    document = make_document(make_source(), state=Document.State.FETCHING)
    until = at(timedelta(minutes=1))
    assert Document.objects.start_attempt(document.pk, attempt=0, until=until)
    assert not Document.objects.start_attempt(document.pk, attempt=0, until=until)


def test_chunks_of_a_dead_embedder_wait_again() -> None:
    document = make_document(make_source(), state=Document.State.EMBEDDING)
    make_chunk(document, 0, state=Chunk.State.EMBEDDING, owner="gone", lease_until=at(PAST), attempts=1)
    assert dispatcher.tick().embed
    assert Chunk.objects.get().state == Chunk.State.WAITING


def test_a_chunk_that_kills_the_embedder_each_time_fails_alone(settings) -> None:  # type: ignore[no-untyped-def]
    document = make_document(make_source(), state=Document.State.EMBEDDING, chunk_count=2)
    spent = {"state": Chunk.State.EMBEDDING, "owner": "gone", "lease_until": at(PAST)}
    make_chunk(document, 0, attempts=settings.MAX_ATTEMPTS, **spent)
    make_chunk(document, 1, state=Chunk.State.INDEXED)
    dispatcher.tick()
    document.refresh_from_db()
    assert document.state == Document.State.FAILED
    assert "1 of 2 chunks" in document.error
    assert Chunk.objects.get(position=1).state == Chunk.State.INDEXED


def test_a_full_batch_is_drained_at_once(settings, clean_redis: redis.Redis) -> None:  # type: ignore[no-untyped-def]
    settings.EMBEDDINGS_BATCH_ROWS = 2
    make_chunk(make_document(make_source(), state=Document.State.EMBEDDING), 0)
    clean_redis.rpush(settings.EMBEDDINGS_KEY, b"one")
    assert not dispatcher.tick().drain
    clean_redis.rpush(settings.EMBEDDINGS_KEY, b"two")
    assert dispatcher.tick().drain


def test_the_end_of_a_run_is_drained_at_once() -> None:
    document = make_document(make_source(), state=Document.State.INDEXING)
    make_chunk(document, 0, state=Chunk.State.BUFFERED, buffered_at=timezone.now())
    assert dispatcher.tick().drain


def test_a_run_whose_vectors_are_made_is_written_while_another_is_still_embedded() -> None:
    make_chunk(make_document(make_source("big"), state=Document.State.EMBEDDING), 0)
    small = make_document(make_source("small"), state=Document.State.INDEXING)
    make_chunk(small, 0, state=Chunk.State.BUFFERED, buffered_at=timezone.now())
    assert dispatcher.tick().drain


def test_a_run_with_pages_to_come_does_not_call_for_the_drain() -> None:
    source = make_source()
    make_document(source, "file:///later", next_attempt_at=at(timedelta(minutes=5)))
    make_chunk(make_document(source, state=Document.State.EMBEDDING), 0)
    made = make_document(source, "file:///made", state=Document.State.INDEXING)
    make_chunk(made, 0, state=Chunk.State.BUFFERED, buffered_at=timezone.now())
    assert not dispatcher.tick().drain


def test_one_embed_message_is_enough(clean_redis: redis.Redis) -> None:
    make_chunk(make_document(make_source(), state=Document.State.EMBEDDING), 0)
    assert dispatcher.tick().embed
    clean_redis.rpush("gpu\x06\x166", b"{}")
    assert not dispatcher.tick().embed


def test_a_run_is_listed_once_and_again_when_its_lister_vanished() -> None:
    run = start_run(make_source())
    assert dispatcher.tick().runs == (run.pk,)
    assert dispatcher.tick().runs == ()
    Run.objects.update(lease_until=at(PAST))
    assert dispatcher.tick().runs == (run.pk,)


def test_a_source_that_is_due_starts_by_itself_and_keeps_its_rhythm() -> None:
    source = make_source(refresh_seconds=3600, next_run_at=at(PAST))
    assert len(dispatcher.tick().runs) == 1
    source.refresh_from_db()
    assert source.next_run_at is not None
    assert source.next_run_at > at(timedelta(seconds=3500))


def test_starting_a_source_twice_gives_the_run_under_way() -> None:
    source = make_source()
    assert start_run(source) == start_run(source)


def test_a_run_that_ends_while_another_is_started_is_followed_by_a_new_one() -> None:
    source = make_source()
    first = start_run(source)

    def end_before_it_is_read(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("SELECT") and "ingestion_run" in sql:
            connection.connection.execute("UPDATE ingestion_run SET state = 'done'")
        return execute(sql, *rest)

    with connection.execute_wrapper(end_before_it_is_read):
        second = start_run(source)
    assert second != first
    assert list(Run.objects.active()) == [second]


def test_a_deleted_source_leaves_after_its_vectors() -> None:
    source = make_source()
    chunk = make_chunk(make_document(source, state=Document.State.INDEXED), 0, state=Chunk.State.INDEXED)
    remove_source(source)
    assert dispatcher.tick().drain
    assert Source.objects.exists()
    Chunk.objects.filter(id=chunk.pk).delete()
    dispatcher.tick()
    assert not Source.objects.exists()


def test_a_source_whose_files_cannot_be_deleted_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(target: str) -> None:
        raise SourceError("The files cannot be stored (Read-only file system); look at the disk of DATA_DIR.")

    remove = KEEPERS["uploads"]
    monkeypatch.setitem(KEEPERS, "uploads", refuse)
    kept, gone, other = (make_source(name, kind="uploads", target=name) for name in ("kept", "gone", "other"))
    remove_source(kept)
    run = start_run(other)
    assert run.pk in dispatcher.tick().runs
    assert set(Source.objects.values_list("name", flat=True)) == {"kept", "gone", "other"}
    monkeypatch.setitem(KEEPERS, "uploads", remove)
    remove_source(gone)
    dispatcher.tick()
    assert set(Source.objects.values_list("name", flat=True)) == {"other"}


@pytest.mark.django_db(transaction=True)
def test_a_due_source_that_is_deleted_at_that_moment_holds_no_other_up(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, other = make_source("gone"), make_source("other")
    due = [Source.objects.get(pk=gone.pk), other]
    gone.delete()
    monkeypatch.setattr(runs, "due_sources", lambda: due)
    dispatcher.tick()
    assert Run.objects.get().source == other


def test_a_slow_host_does_not_take_the_room_of_others(settings) -> None:  # type: ignore[no-untyped-def]
    settings.MAX_DOCUMENTS_IN_FLIGHT, settings.DISPATCH_SECONDS = 40, 2.0
    slow = make_source("slow", kind="website", target="https://slow.example/", delay_seconds=1.0)
    fast = make_source("fast")
    for n in range(50):
        make_document(slow, f"https://slow.example/{n}")
        make_document(fast, f"file:///{n}")
    for _ in range(3):
        dispatcher.tick()
    flying = Document.objects.filter(state=Document.State.FETCHING)
    assert flying.filter(source=slow).count() == 4
    assert flying.filter(source=fast).count() == 36


def test_a_source_whose_host_wants_a_pause_starts_nothing_until_then() -> None:
    source = make_source(kind="website", target="https://x.example/", paused_until=at(timedelta(minutes=1)))
    document = make_document(source, "https://x.example/a")
    assert dispatcher.tick().documents == ()
    Source.objects.update(paused_until=at(PAST))
    assert dispatcher.tick().documents == ((document.pk, 0),)


def test_pages_that_are_missing_for_certain_leave_with_the_run() -> None:
    document = make_document(make_source(), state=Document.State.MISSING, misses=2, chunk_count=1)
    make_chunk(document, 0, state=Chunk.State.INDEXED)
    assert dispatcher.tick().drain
    document.refresh_from_db()
    assert document.state == Document.State.GONE
    assert Run.objects.get().state == Run.State.FINISHED
