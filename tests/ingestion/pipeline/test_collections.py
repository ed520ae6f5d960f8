"""A change of model against real Redis and Milvus Lite: the old collection answers until the new one is complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.db import IntegrityError
from django.utils import timezone
from pymilvus import MilvusClient
from pytest_django import Settings

from ingestion.buffer import embedding_queue
from ingestion.coordination import circuit_breaker, locks
from ingestion.exceptions import ModelError
from ingestion.models import LAYOUT, Chunk, Collection, Document, Run, TermFrequencies
from ingestion.pipeline.embed.embed_waiting import embed_waiting
from ingestion.pipeline.embed.vector_reuse import look_up
from ingestion.pipeline.index import rebuild
from ingestion.pipeline.index.drain import drain
from ingestion.pipeline.index.rebuild import fill
from ingestion.pipeline.process import process_document
from ingestion.pipeline.report.sentences import build_sentence
from ingestion.pipeline.state import collections
from ingestion.pipeline.state.collections import (
    adopt,
    build_progress,
    change_wanted,
    drop_retired,
    embedder_is_current,
    written_store,
)
from ingestion.pipeline.state.fingerprints import embedding_digest
from ingestion.vector_store import store as vector_store
from ingestion.vector_store.rows import sparse_of
from ingestion.vector_store.store import open_store
from ingestion.words.weights import Frequencies, question_weights
from search.access.caller import OPERATOR
from search.questions import Question
from search.retrieval import question_model, retriever
from search.timings import Timings
from tests.conftest import wait_until
from tests.support.databases import fresh_url
from tests.support.models_apart import choose, embed, empty_milvus, made_by, models_found, work
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis")]
State = Chunk.State
CHUNKS = 12


@pytest.fixture(autouse=True)
def first_model(milvus_server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small vectors, no web, and a first model; ``choose`` sets another one."""
    settings.EMBED_DIMENSION = 8
    empty_milvus()
    monkeypatch.setattr(process_document, "fetch", lambda *a: pytest.fail("a page was fetched"))
    choose(1)
    yield
    collections._adopted.clear()
    collections.open_mirrored.cache_clear()
    open_store.cache_clear()


@pytest.fixture
def document(db: None) -> Document:
    """Indexed by the first model."""
    document = make_document(make_source(), state=Document.State.EMBEDDING, chunk_count=CHUNKS)
    for position in range(CHUNKS):
        make_chunk(document, position)
    work()
    document.refresh_from_db()
    assert document.state == Document.State.INDEXED
    return document


def keys() -> list[str]:
    return sorted(Chunk.objects.values_list("key", flat=True))


def searched() -> Collection:
    row = Collection.objects.searched()
    assert row is not None
    return row


def answers_from(number: int) -> None:
    """Every chunk is in the searched collection, with vectors of this model only."""
    row = searched()
    assert row.model == f"/models/number-{number}"
    assert models_found(keys())[row.name] == {number}
    store = open_store(row.name, row.dimension)
    assert list(store.keys()) == keys()
    assert store.count() == len(keys())


def test_the_first_collection_is_searched_at_once(document: Document) -> None:
    assert Collection.objects.count() == 1
    assert Collection.objects.written() == searched()
    assert build_progress() is None
    answers_from(1)


def test_the_drain_counts_the_terms_before_the_run_is_done(document: Document) -> None:
    assert TermFrequencies.objects.get().chunks == CHUNKS


def test_a_new_model_is_built_beside_the_old_one_and_takes_its_place(document: Document) -> None:
    choose(2)
    adopt()
    fill()
    embed(5)
    drain()
    answers_from(1)
    progress = build_progress()
    assert progress is not None
    assert (progress.percent, progress.chunks_left) == (41.7, 7)
    assert progress.eta_seconds is not None
    assert build_sentence(progress).endswith(f": 41.7 %, 7 chunks left, about {progress.eta_seconds} s")
    work()
    answers_from(2)
    assert build_progress() is None
    document.refresh_from_db()
    assert document.state == Document.State.INDEXED


def test_every_chunk_is_embedded_once(document: Document) -> None:
    choose(2)
    assert work() == CHUNKS
    assert work() == 0


def test_the_old_one_answers_until_the_very_end(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "swap", lambda row: False)
    choose(2)
    work()
    answers_from(1)
    monkeypatch.undo()
    work(1)
    answers_from(2)


def test_a_dimension_may_change_with_the_model(document: Document, settings: Settings) -> None:
    settings.EMBED_DIMENSION = 16
    choose(2)
    work()
    assert searched().dimension == 16
    answers_from(2)


def test_pooling_makes_another_model(document: Document, settings: Settings) -> None:
    settings.EMBED_POOLING = "cls"
    choose(1)
    assert change_wanted()
    assert work() == CHUNKS
    assert searched().pooling == "cls"
    assert Collection.objects.count() == 2


def test_few_old_chunks_wait_at_a_time(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "CHUNKS_AHEAD", 5)
    choose(2)
    adopt()
    for _ in range(3):
        fill()
        assert Chunk.objects.filter(state=State.WAITING).count() == 5
    embed(2)
    fill()
    assert Chunk.objects.filter(state=State.WAITING).count() == 5
    work()
    answers_from(2)


def test_going_back_before_the_end_needs_no_embedding(document: Document) -> None:
    choose(2)
    adopt()
    fill()
    embed(5)
    drain()
    choose(1)
    assert work() == 0
    answers_from(1)
    assert set(Chunk.objects.values_list("state", flat=True)) == {State.INDEXED}
    assert Collection.objects.written() == searched()


def test_going_back_embeds_what_only_the_new_one_has(document: Document) -> None:
    choose(2)
    adopt()
    fresh = make_chunk(document, CHUNKS)
    fill()
    embed()
    drain()
    fresh.refresh_from_db()
    assert fresh.state == State.INDEXED
    choose(1)
    assert work() == 1
    answers_from(1)


def test_going_back_after_the_end_needs_no_embedding_either(document: Document) -> None:
    choose(2)
    work()
    choose(1)
    assert work() == 0
    answers_from(1)


def test_turning_back_and_forth_ends_where_it_was_left(document: Document) -> None:
    for number in (2, 1, 3, 2, 1, 2):
        choose(number)
        work(1)
    work()
    answers_from(2)


def test_records_of_the_old_model_are_never_written_to_the_new_collection(document: Document) -> None:
    late = make_chunk(document, CHUNKS, state=State.BUFFERED, buffered_at=timezone.now())
    embedding_queue.push([made_by(late, 1)])
    choose(2)
    assert work() == CHUNKS + 1
    answers_from(2)


def test_an_embedder_with_the_old_settings_stops_and_turns_nothing_back(document: Document) -> None:
    old, remembered = adopt(), set(collections._adopted)
    choose(2)
    new = adopt()
    choose(1)
    collections._adopted.update(remembered)  # it is the first process again
    assert adopt() == old
    assert not embedder_is_current(old)
    assert embedder_is_current(new)
    assert embed() == 0


def test_other_processes_go_by_the_rows_whatever_their_settings(document: Document) -> None:
    choose(2)
    adopt()
    choose(1)  # a web or CPU process that was not restarted; it adopts nothing
    written = Collection.objects.written()
    assert written is not None
    assert written.model == "/models/number-2"
    assert written_store().name == written.name
    assert change_wanted()


def test_what_is_deleted_during_the_build_leaves_both(document: Document) -> None:
    choose(2)
    adopt()
    fill()
    embed()
    drain()
    gone = keys()[:3]
    Chunk.objects.filter(key__in=gone).remove()
    drain()
    assert not Chunk.objects.filter(key__in=gone).exists()
    assert Collection.objects.filter(building=True).exists()
    assert list(models_found(gone).values()) == [set(), set()]
    work()
    answers_from(2)


def test_a_chunk_that_leaves_while_it_waits_is_not_built(document: Document) -> None:
    choose(2)
    adopt()
    fill()
    Chunk.objects.filter(position__lt=4).remove()
    assert work() == CHUNKS - 4
    answers_from(2)


def test_pages_that_keep_coming_do_not_keep_it_from_ending(document: Document) -> None:
    choose(2)
    adopt()
    for position in range(CHUNKS, CHUNKS + 3):
        fill()
        embed()
        drain()
        make_chunk(document, position)
    fill()
    assert searched().model == "/models/number-2"
    work()
    answers_from(2)


def test_it_starts_after_the_drain_that_was_at_work(document: Document) -> None:
    choose(2)
    adopt()
    with locks.named("drain", seconds=30):
        fill()
    assert not Chunk.objects.filter(state=State.WAITING).exists()
    fill()
    assert Chunk.objects.filter(state=State.WAITING).count() == CHUNKS


def test_a_row_lost_on_the_way_is_found_before_it_takes_over(document: Document) -> None:
    choose(2)
    adopt()
    fill()
    embed()
    drain()
    name = written_store().name
    open_store(name, 8).delete(keys()[:1])
    fill()
    answers_from(1)
    assert work() == 1
    answers_from(2)


def test_a_model_that_fails_does_not_take_over(document: Document) -> None:
    choose(2)
    adopt()
    fill()
    Chunk.objects.filter(state=State.WAITING).update(state=State.FAILED, error="The model returned NaN")
    fill()
    answers_from(1)
    progress = build_progress()
    assert progress is not None
    assert "could not embed 12 chunks" in progress.note
    assert "The model returned NaN" in progress.note
    choose(2)  # mended, and restarted
    assert work() == CHUNKS
    answers_from(2)


def test_going_back_from_a_model_that_fails_mends_the_rows(document: Document) -> None:
    choose(2)
    adopt()
    fill()
    Chunk.objects.filter(state=State.WAITING).update(state=State.FAILED, error="The model returned NaN")
    choose(1)
    assert work() == 0
    answers_from(1)
    assert set(Chunk.objects.values_list("state", "error")) == {(State.INDEXED, "")}


def test_an_odd_chunk_fails_its_document_and_not_the_build(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "FAILED_SHARE", 0.2)
    choose(2)
    adopt()
    fill()
    Chunk.objects.filter(position=0).update(state=State.FAILED, error="NaN")
    work()
    assert searched().model == "/models/number-2"
    document.refresh_from_db()
    assert document.state == Document.State.FAILED
    assert "1 of 12 chunks" in document.error


def test_a_refresh_goes_on_during_the_build(document: Document) -> None:
    choose(2)
    adopt()
    fill()
    run = Run.objects.get()
    Run.objects.update(state=Run.State.RUNNING)
    other = make_document(document.source, "file:///b", run=run, state=Document.State.EMBEDDING, chunk_count=1)
    make_chunk(other, 0)
    embed()
    drain()
    other.refresh_from_db()
    run.refresh_from_db()
    assert (other.state, run.state) == (Document.State.INDEXED, Run.State.FINISHED)
    progress = build_progress()
    assert progress is not None
    assert progress.found_later == 1
    assert "1 documents are found when it is done" in build_sentence(progress)
    work()
    answers_from(2)


def test_a_collection_without_words_is_replaced_by_one_with_copies_of_its_vectors(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_store, "CHANNELS", ("dense", "sparse"))
    old = open_store("store_of_an_old_layout", 8)
    old.ensure()
    old.upsert([made_by(chunk, 1) for chunk in Chunk.objects.all()])
    assert old.channels == ("dense", "sparse")
    monkeypatch.undo()
    open_store(searched().name, 8).drop()
    Collection.objects.update(name=old.name, layout=1)
    for chunk in Chunk.objects.all():
        Chunk.objects.filter(pk=chunk.pk).update(digest=embedding_digest(chunk.heading, chunk.text))
    collections._adopted.clear()
    assert change_wanted()
    adopt()
    assert not change_wanted()
    fill()
    fill()
    waiting = list(Chunk.objects.filter(state=State.WAITING))
    assert len(waiting) == CHUNKS
    assert set(look_up(waiting)()) == {chunk.digest for chunk in waiting}
    work()
    answers_from(1)
    assert searched().layout == LAYOUT
    store = open_store(searched().name, 8)
    assert store.channels == ("dense", "sparse", "words")
    words = question_weights("text 3", Frequencies(CHUNKS))
    assert len(store.search([{"words": sparse_of(words.terms, words.weights)}], limit=50)[0]["words"]) == CHUNKS
    old.drop()


def test_the_old_collection_is_dropped_after_its_time_of_grace(clean_milvus: MilvusClient, document: Document) -> None:
    choose(2)
    work()
    assert drop_retired() == 0
    Collection.objects.update(retired_at=timezone.now() - timedelta(seconds=collections.GRACE_SECONDS + 1))
    assert drop_retired() == 1
    assert clean_milvus.list_collections() == [searched().name]
    assert drop_retired() == 0
    answers_from(2)
    choose(1)
    assert work() == CHUNKS
    answers_from(1)


def test_a_collection_that_is_in_use_is_never_dropped(document: Document) -> None:
    choose(2)
    adopt()
    Collection.objects.update(retired_at=timezone.now() - timedelta(days=9))
    assert drop_retired() == 0
    assert Collection.objects.count() == 2


def test_one_collection_at_most_is_searched_and_one_built(document: Document) -> None:
    for flag in ("active", "building"):
        Collection.objects.create(name=f"a-{flag}", model="m", pooling="cls", dimension=1, building=flag == "building")
        with pytest.raises(IntegrityError):
            Collection.objects.create(name=f"b-{flag}", model="m", pooling="cls", dimension=1, **{flag: True})


def test_an_index_without_chunks_changes_its_model_at_once(db: None) -> None:
    adopt()
    choose(2)
    work(1)
    assert searched().model == "/models/number-2"


def test_milvus_down_only_makes_it_wait(document: Document, settings: Settings) -> None:
    choose(2)
    adopt()
    there = settings.MILVUS_URI
    for row in Collection.objects.all():
        open_store(row.name, row.dimension).close()
    collections.open_mirrored.cache_clear()
    settings.MILVUS_URI = "http://127.0.0.1:1"
    fill()
    assert not Chunk.objects.filter(state=State.WAITING).exists()
    settings.MILVUS_URI = there
    open_store.cache_clear()
    collections.open_mirrored.cache_clear()
    circuit_breaker.over()
    work()
    answers_from(2)


def test_the_real_embedder_and_the_real_questions_follow_a_change_of_pooling(
    model_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MODEL_PATH, settings.EMBED_DIMENSION, settings.EMBED_POOLING = str(model_path), 384, "mean"
    monkeypatch.setattr(question_model, "_served", None)
    texts = ["How to create migrations", "A template is a text file", "Cache a view in Redis", "Cache a view in Redis"]
    source = make_source()
    for position, text in enumerate(texts):
        document = make_document(source, f"file:///{position}", state=Document.State.EMBEDDING, chunk_count=1)
        make_chunk(document, position, text=text, digest=embedding_digest("", text))
    embed_waiting()
    drain()
    assert best("caching with redis") == texts[2]
    settings.EMBED_POOLING = "cls"
    collections._adopted.clear()
    assert embed_waiting() is False  # nothing waits, but the model is another one
    fill()
    embed_waiting()
    assert best("caching with redis") == texts[2]
    drain()
    fill()
    assert searched().pooling == "cls"
    wait_until(lambda: best("caching with redis") and question_model._served.collection == searched())  # type: ignore[union-attr]
    mean, cls = (open_store(r.name, 384).vectors(keys()) for r in Collection.objects.order_by("id"))
    assert len(mean) == len(cls) == len(texts)
    alike = [float(mean[key].dense @ cls[key].dense) for key in keys()]
    assert max(alike) < 0.99
    assert np.allclose(cls[keys()[2]].dense, cls[keys()[3]].dense, atol=1e-3)


def best(question: str) -> str:
    return retriever.retrieve(Question(question, OPERATOR), Timings())[0].text


POINTS = (
    "ingestion.pipeline.state.collections.begin",
    "ingestion.models.ChunkQuerySet.embed_again",
    "ingestion.pipeline.index.rebuild.move_cursor",
    "ingestion.pipeline.state.collections.open_mirrored",
    "ingestion.buffer.embedding_queue.confirm",
    "ingestion.pipeline.index.rebuild.audit",
    "ingestion.pipeline.index.audit.note",
    "ingestion.pipeline.index.rebuild.swap",
)


@pytest.mark.e2e
def test_a_build_killed_at_any_point_comes_to_the_same_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.killed_builds", *POINTS],
        env={
            **os.environ,
            "DATABASE_URL": fresh_url(tmp_path / "kill.sqlite3"),
            "DJANGO_SETTINGS_MODULE": "ragproject.settings",
            "EMBED_DIMENSION": "16",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["30 30 True 30 1"] * len(POINTS)


def at(folder: Path, content: bytes) -> str:
    """Files of a model in a folder; the settings name it, and the embedder is started again."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(content)
    django_settings.MODEL_PATH = str(folder)
    collections._adopted.clear()
    return str(folder)


def test_a_model_at_another_path_is_known_by_its_files(document: Document, tmp_path: Path) -> None:
    Collection.objects.update(model=at(tmp_path / "number-1", b"weights"))
    adopt()
    row = searched()
    assert len(row.weights) == 64
    elsewhere = at(tmp_path / "moved-1", b"weights")
    assert change_wanted()
    assert adopt() == row
    assert not change_wanted()
    assert searched().model == elsewhere
    assert work() == 0
    assert Collection.objects.count() == 1
    at(tmp_path / "other-2", b"other weights")
    assert adopt() != row


def test_other_files_in_a_models_place_are_refused_until_they_are_the_old_ones(
    document: Document, tmp_path: Path
) -> None:
    Collection.objects.update(model=at(tmp_path / "number-1", b"weights"))
    adopt()
    (tmp_path / "number-1" / "model.safetensors").write_bytes(b"other weights")
    collections._adopted.clear()
    with pytest.raises(ModelError, match=r"number-1 .* are not those that made the vectors .* in EMBED_MODEL"):
        adopt()
    with pytest.raises(ModelError, match="are not those"):
        question_model.load(searched())
    (tmp_path / "number-1" / "model.safetensors").write_bytes(b"weights")
    assert adopt() == searched()


def test_questions_are_embedded_by_the_same_files_at_another_path(document: Document, tmp_path: Path) -> None:
    Collection.objects.update(model=at(tmp_path / "number-1", b"weights"))
    adopt()
    shutil.rmtree(tmp_path / "number-1")
    elsewhere = at(tmp_path / "moved-1", b"weights")  # before an embedder has looked
    assert question_model.as_found_here(searched()).path == elsewhere
    at(tmp_path / "other-1", b"other weights")
    assert question_model.as_found_here(searched()).path == str(tmp_path / "number-1")
