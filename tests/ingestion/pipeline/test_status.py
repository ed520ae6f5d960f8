"""How things stand: the three lines, what stands in them, why a source waits and for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion.coordination import heartbeat
from ingestion.management.commands.status import as_json, lines
from ingestion.models import Chunk, Collection, Document, Run, Source
from ingestion.pipeline.report import status as module
from ingestion.pipeline.report.status import status
from ingestion.pipeline.state.runs import PAUSED, progress
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]


def shown() -> dict[str, Any]:
    """Return what --json prints."""
    return as_json(status())


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
    assert shown()["depths"] == {
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
    now = shown()
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
    why = source_of(shown(), "docs")["waits_because"]
    assert why.startswith(words)
    assert bool(why) == bool(words)


def test_a_note_and_a_hosts_pause_say_more_than_where_the_pages_stand() -> None:
    make_document(make_source())
    Run.objects.update(note="Fetching pauses.")
    assert source_of(shown(), "docs")["waits_because"] == "Fetching pauses."
    Source.objects.update(paused_until=timezone.now() + timedelta(minutes=1))
    assert source_of(shown(), "docs")["waits_because"].startswith("Its host wants to be left alone")


def test_a_source_that_staff_paused_says_so_to_who_asks_and_to_who_watches() -> None:
    make_document(make_source(paused=True))
    assert source_of(shown(), "docs")["waits_because"] == PAUSED
    assert progress([Run.objects.get().pk]).notes == (PAUSED,)
    Run.objects.update(state=Run.State.FINISHED)
    assert progress([Run.objects.get().pk]).notes == ()


def test_the_time_left_follows_from_the_pace_of_the_run() -> None:
    source = make_source()
    for n in range(3):
        make_document(source, f"file:///done/{n}", state=Document.State.INDEXED)
    make_document(source, "file:///left")
    Run.objects.update(created_at=timezone.now() - timedelta(seconds=300))
    assert source_of(shown(), "docs")["eta_seconds"] == pytest.approx(100, abs=2)
    assert any("about 100 s left" in line or "about 101 s left" in line for line in lines(status()))
    Document.objects.update(state=Document.State.INDEXED)
    assert source_of(shown(), "docs")["eta_seconds"] is None


def test_documents_count_whichever_run_they_were_last_part_of() -> None:
    source = make_source()
    forgotten, earlier = (make_document(source, f"file:///{n}", state=Document.State.INDEXED) for n in range(2))
    Document.objects.filter(pk=forgotten.pk).update(run=None)
    Run.objects.update(state=Run.State.FINISHED)
    make_document(source, "file:///now", run=Run.objects.create(source=source))
    assert earlier.run is not None
    assert source_of(shown(), "docs")["documents"] == {"indexed": 2, "waiting": 1}
    assert shown()["documents"] == {"indexed": 2, "waiting": 1}


def test_nothing_done_yet_makes_no_promise() -> None:
    make_document(make_source())
    assert source_of(shown(), "docs")["eta_seconds"] is None


def test_the_tokens_that_wait_are_exact_while_few_and_estimated_when_many(monkeypatch: pytest.MonkeyPatch) -> None:
    document = make_document(make_source(), state=Document.State.EMBEDDING)
    for position in range(6):
        make_chunk(document, position, tokens=10)
    assert shown()["tokens_waiting"] == 60
    monkeypatch.setattr(module, "SAMPLED_CHUNKS", 2)
    assert shown()["tokens_waiting"] == 60


def test_the_embedders_pace_gives_the_time_that_the_waiting_tokens_take() -> None:
    document = make_document(make_source(), state=Document.State.EMBEDDING)
    make_chunk(document, 0, tokens=500)
    Run.objects.update(embed_seconds=10.0, embed_tokens=1000)
    now = shown()
    assert (now["tokens_per_second"], now["eta_seconds"]) == (100.0, 5)


def test_the_keys_of_its_json_stay(milvus_server: str) -> None:
    make_document(make_source())
    now = shown()
    assert list(now) == [
        "documents", "chunks", "depths", "sources", "queues", "buffer", "embedders", "index", "building", "audit",
        "tokens_waiting", "tokens_per_second", "eta_seconds", "jobs", "troubles", "waits_because",
    ]  # fmt: skip
    assert list(now["sources"][0]) == [
        "name", "kind", "target", "state", "documents", "error", "waits_because", "eta_seconds", "left_out",
        "next_run_at",
    ]  # fmt: skip
    assert now["queues"].keys() == {"cpu", "gpu", "index"}
    assert now["buffer"] == {"records": 0, "bytes": 0, "unusable": 0}
    assert now["index"] == {"collection": None, "rows": 0}
    assert (now["building"], now["audit"], now["embedders"]) == (None, None, {})


def test_an_embedder_is_shown_with_what_it_said_and_nothing_else() -> None:
    heartbeat.report_state("here/cuda:0", state="loading", model="BAAI/bge-m3", reason="")
    assert shown()["embedders"] == {
        "here/cuda:0": {
            "host": "here", "device": "cuda:0", "state": "loading", "model": "BAAI/bge-m3", "reason": "",
            "tokens_per_second": 0.0, "busy": 0.0,
        }
    }  # fmt: skip
    assert "embedder   here/cuda:0: loading, BAAI/bge-m3, 0.0 tokens/s, busy 0% of the last minute's work" in lines(
        status()
    )


def test_a_collection_is_shown_with_its_audit_and_how_far_it_is_built() -> None:
    audit = {"missing": 0, "orphan": 1, "duplicate": 0, "stale": 0, "repaired": 1, "at": "2026-11-01T10:00:00+00:00"}
    Collection.objects.create(
        name="new", model="m", pooling="cls", dimension=8, building=True, audit=audit, started_at=timezone.now()
    )
    now = shown()
    assert now["audit"] == audit
    assert now["building"] == {
        "collection": "new", "model": "m", "percent": 100.0, "chunks_left": 0, "eta_seconds": None, "found_later": 0,
        "note": "",
    }  # fmt: skip
    said = list(lines(status()))
    assert "building   new: 100.0 %, 0 chunks left" in said
    assert "audit      0 missing, 1 orphan, 0 duplicate, 0 stale, 1 repaired, 2026-11-01T10:00:00+00:00 at" in said
