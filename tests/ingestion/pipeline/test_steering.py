"""Pausing, cancelling and embedding again, against the rows that workers find afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingestion.models import Chunk, Document, Run, Source
from ingestion.pipeline import dispatcher
from ingestion.pipeline.discover.list_source import list_run, register
from ingestion.pipeline.process.process_document import process
from ingestion.pipeline.state import steering
from ingestion.pipeline.state.runs import start_run
from ingestion.types import Listed
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis", "model_path")]


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Source:
    """A source of three files."""
    settings.FILES_ROOTS = [str(tmp_path)]
    for name in "abc":
        (tmp_path / f"{name}.md").write_text(f"# Page {name}\n\nWords about {name} and nothing else.\n")
    return make_source(target=str(tmp_path))


def states(source: Source) -> list[str]:
    return sorted(source.documents.values_list("state", flat=True))


def listed(source: Source) -> Run:
    """A run whose documents wait."""
    run = start_run(source)
    assert run.pk in dispatcher.tick().runs
    list_run(run.pk)
    return run


def test_a_cancelled_run_fetches_nothing_more_and_keeps_what_was_fetched(folder: Source) -> None:
    run = listed(folder)
    (first, attempt), second, _ = dispatcher.start_documents()
    process(first, attempt)
    assert steering.cancel(folder) == 2
    assert states(folder) == ["cancelled", "cancelled", "embedding"]
    run.refresh_from_db()
    assert (run.state, run.error) == ("cancelled", "Cancelled by staff.")
    process(*second)  # its message was under way
    assert dispatcher.start_documents() == ()
    assert dispatcher.tick().embed
    assert states(folder) == ["cancelled", "cancelled", "embedding"]
    assert steering.cancel(folder) is None


def test_a_listing_that_goes_on_after_its_run_was_cancelled_adds_nothing(folder: Source) -> None:
    run = start_run(folder)
    steering.cancel(folder)
    register(run, [Listed("file:///docs/late.md")])
    assert not Document.objects.exists()


def test_the_run_after_a_cancelled_one_takes_up_what_it_left(folder: Source) -> None:
    listed(folder)
    document, *_ = dispatcher.start_documents()
    process(*document)
    steering.cancel(folder)
    run = listed(folder)
    assert states(folder) == ["embedding", "waiting", "waiting"]
    assert set(folder.documents.values_list("run", flat=True)) == {run.pk}
    for rest in dispatcher.start_documents():
        process(*rest)
    Chunk.objects.update(state=Chunk.State.INDEXED)
    dispatcher.tick()
    assert states(folder) == ["indexed"] * 3
    run.refresh_from_db()
    assert run.state == Run.State.FINISHED


def test_all_chunks_of_one_source_are_embedded_again() -> None:
    mine, other = (make_document(make_source(name), f"file:///{name}/a.txt") for name in ("mine", "other"))
    for document in (mine, other):
        make_chunk(document, 0, state=Chunk.State.INDEXED)
    make_chunk(mine, 1, state=Chunk.State.REMOVING)
    assert steering.embed_again(mine.source) == 1
    assert list(mine.chunks.values_list("state", flat=True)) == ["waiting", "removing"]
    assert list(other.chunks.values_list("state", flat=True)) == ["indexed"]


def test_a_paused_source_starts_nothing_until_it_is_resumed(folder: Source) -> None:
    listed(folder)
    steering.pause(folder)
    assert dispatcher.start_documents() == ()
    steering.resume(folder)
    assert len(dispatcher.start_documents()) == 3
