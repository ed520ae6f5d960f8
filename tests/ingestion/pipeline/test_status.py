"""How things stand: the three lines, what stands in them, why a source waits and for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion.management.commands.status import lines
from ingestion.models import Chunk, Document, Run, Source
from ingestion.pipeline.report import status as module
from ingestion.pipeline.report.status import status
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]


def source_of(now: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (source for source in now["sources"] if source["name"] == name)
    return dict(found)


def test_each_line_says_what_stands_in_it_and_its_bound(settings) -> None:  # type: ignore[no-untyped-def]
    source = make_source()
    make_document(source, "file:///a")
    make_document(source, "file:///b", state=Document.State.FETCHING)
    embedding = make_document(source, "file:///c", state=Document.State.EMBEDDING)
    for position, state in enumerate((Chunk.State.WAITING, Chunk.State.EMBEDDING, Chunk.State.BUFFERED)):
        make_chunk(embedding, position, state=state)
    assert status()["depths"] == {
        "cpu": {"documents_waiting": 1, "documents": 1, "bound": settings.MAX_DOCUMENTS_IN_FLIGHT},
        "gpu": {"chunks": 2, "bound": settings.MAX_CHUNKS_WAITING},
        "milvus": {"chunks": 1, "bytes": 0, "bound": settings.EMBEDDINGS_MAX_BYTES},
    }


def test_documents_and_chunks_are_counted_by_state_over_all_sources() -> None:
    done = make_document(make_source("a"), state=Document.State.INDEXED)
    make_document(make_source("b"), state=Document.State.INDEXED)
    make_document(make_source("c"))
    make_chunk(done, 0, state=Chunk.State.INDEXED)
    make_chunk(done, 1, state=Chunk.State.FAILED)
    now = status()
    assert now["documents"] == {"indexed": 2, "waiting": 1}
    assert now["chunks"] == {"indexed": 1, "failed": 1}
    assert source_of(now, "c")["documents"] == {"waiting": 1}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (Document.State.WAITING, "2 pages wait for their turn"),
        (Document.State.FETCHING, "2 pages are with the CPU workers"),
        (Document.State.EMBEDDING, "2 pages wait for the embedder"),
        (Document.State.INDEXING, "2 pages wait to be written to Milvus"),
        (Document.State.INDEXED, ""),
    ],
)
def test_a_source_says_where_most_of_its_pages_stand(state: str, words: str) -> None:
    source = make_source()
    make_document(source, "file:///a", state=state)
    make_document(source, "file:///b", state=state)
    make_document(source, "file:///c", state=Document.State.INDEXED)
    why = source_of(status(), "docs")["waits_because"]
    assert why.startswith(words)
    assert bool(why) == bool(words)


def test_a_note_and_a_hosts_pause_say_more_than_where_the_pages_stand() -> None:
    make_document(make_source())
    Run.objects.update(note="Fetching pauses.")
    assert source_of(status(), "docs")["waits_because"] == "Fetching pauses."
    Source.objects.update(paused_until=timezone.now() + timedelta(minutes=1))
    assert source_of(status(), "docs")["waits_because"].startswith("Its host wants to be left alone")


def test_the_time_left_follows_from_the_pace_of_the_run() -> None:
    source = make_source()
    for n in range(3):
        make_document(source, f"file:///done/{n}", state=Document.State.INDEXED)
    make_document(source, "file:///left")
    Run.objects.update(created_at=timezone.now() - timedelta(seconds=300))
    now = status()
    assert source_of(now, "docs")["eta_seconds"] == pytest.approx(100, abs=2)
    assert any("about 100 s left" in line or "about 101 s left" in line for line in lines(now))
    Document.objects.update(state=Document.State.INDEXED)
    assert source_of(status(), "docs")["eta_seconds"] is None


def test_documents_count_whichever_run_they_were_last_part_of() -> None:
    source = make_source()
    forgotten, earlier = (make_document(source, f"file:///{n}", state=Document.State.INDEXED) for n in range(2))
    Document.objects.filter(pk=forgotten.pk).update(run=None)
    Run.objects.update(state=Run.State.FINISHED)
    make_document(source, "file:///now", run=Run.objects.create(source=source))
    assert earlier.run is not None
    assert source_of(status(), "docs")["documents"] == {"indexed": 2, "waiting": 1}
    assert status()["documents"] == {"indexed": 2, "waiting": 1}


def test_nothing_done_yet_makes_no_promise() -> None:
    make_document(make_source())
    assert source_of(status(), "docs")["eta_seconds"] is None


def test_the_tokens_that_wait_are_exact_while_few_and_estimated_when_many(monkeypatch: pytest.MonkeyPatch) -> None:
    document = make_document(make_source(), state=Document.State.EMBEDDING)
    for position in range(6):
        make_chunk(document, position, tokens=10)
    assert status()["tokens_waiting"] == 60
    monkeypatch.setattr(module, "SAMPLED_CHUNKS", 2)
    assert status()["tokens_waiting"] == 60


def test_the_embedders_pace_gives_the_time_that_the_waiting_tokens_take() -> None:
    document = make_document(make_source(), state=Document.State.EMBEDDING)
    make_chunk(document, 0, tokens=500)
    Run.objects.update(embed_seconds=10.0, embed_tokens=1000)
    now = status()
    assert (now["tokens_per_second"], now["eta_seconds"]) == (100.0, 5)
