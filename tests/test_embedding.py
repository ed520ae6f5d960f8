"""Waiting chunks -> records, with the real model, a real list, and failures on purpose."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import redis
from django.conf import settings as django_settings
from django.utils import timezone

from ingestion import buffer
from ingestion.embedder import load_model
from ingestion.exceptions import VectorStoreUnavailable
from ingestion.models import Chunk, Collection, Document, Run
from ingestion.pipeline import embedding
from ingestion.pipeline.embedding import embed_waiting
from ingestion.pipeline.indexing import active_store
from ingestion.pipeline.shape import embedding_digest
from ingestion.vector_store import VectorStore
from tests.rows import make_chunk, make_document, make_source, record

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("clean_redis", "model_path"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


@pytest.fixture
def documents() -> list[Document]:
    source = make_source()
    rows = [make_document(source, f"file:///{n}", state=Document.State.EMBEDDING, chunk_count=4) for n in range(3)]
    for document in rows:
        for position in range(4):
            make_chunk(document, position, text=f"text {position} of {document.pk}")
    return rows


def test_it_embeds_chunks_of_many_documents_in_one_task(documents: list[Document]) -> None:
    embed_waiting()
    assert buffer.length() == 12
    assert set(Chunk.objects.values_list("state", flat=True)) == {Chunk.State.BUFFERED}
    assert set(Document.objects.values_list("state", flat=True)) == {Document.State.INDEXING}
    assert Run.objects.get().embed_seconds > 0


def test_the_record_holds_the_vector_of_heading_and_text(documents: list[Document]) -> None:
    Chunk.objects.exclude(position=0, document=documents[0]).delete()
    Chunk.objects.update(heading="Title › Section")
    embed_waiting()
    name, records = buffer.claim(10) or ("", [])
    found = buffer.unpack(records[0])
    expected = load_model(django_settings.EMBED_DEVICE).embed([f"Title › Section\n\n{found.text}"])[0]
    assert float(found.vectors.dense @ expected.dense) > 0.999


def test_it_pauses_while_the_buffer_is_full_and_says_so(
    documents: list[Document],
    settings,
    clean_redis: redis.Redis,  # type: ignore[no-untyped-def]
) -> None:
    settings.EMBEDDINGS_MAX_BYTES = 10
    clean_redis.rpush(settings.EMBEDDINGS_KEY, b"x" * 100)
    assert not embed_waiting()
    assert buffer.length() == 1
    assert "buffer is full" in Run.objects.get().note


def test_claims_of_a_dead_process_in_this_place_are_taken_over_at_once(documents: list[Document]) -> None:
    later = timezone.now() + timedelta(hours=1)
    Chunk.objects.update(state=Chunk.State.EMBEDDING, owner=f"{embedding.worker_place()}/1", lease_until=later)
    embed_waiting()
    assert buffer.length() == 12


def test_claims_of_another_machine_are_left_alone(documents: list[Document]) -> None:
    later = timezone.now() + timedelta(hours=1)
    Chunk.objects.update(state=Chunk.State.EMBEDDING, owner="elsewhere/cuda:0/1", lease_until=later)
    assert not embed_waiting()
    assert buffer.length() == 0


def test_a_chunk_that_breaks_the_model_fails_alone(documents: list[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    poison = Chunk.objects.all()[5]
    embedder = load_model(django_settings.EMBED_DEVICE)
    run = embedder._run
    marker = embedder.tokenizer("zebra", add_special_tokens=False)["input_ids"][0]
    Chunk.objects.filter(id=poison.pk).update(text="zebra")

    def fragile(ids: list[list[int]]) -> list[object]:
        if any(marker in i for i in ids):
            raise RuntimeError("device-side assert")
        return run(ids)

    monkeypatch.setattr(embedder, "_run", fragile)
    for _ in range(6):
        try:
            embed_waiting()
        except RuntimeError:
            continue
    embed_waiting()
    poison.refresh_from_db()
    assert poison.state == Chunk.State.FAILED
    assert "device-side assert" in poison.error
    assert buffer.length() == 11


def test_a_model_that_cannot_be_loaded_fails_the_documents_with_the_reason(
    documents: list[Document],
    settings,  # type: ignore[no-untyped-def]
) -> None:
    settings.MODEL_PATH = "/nowhere/bge-m3"
    load_model.cache_clear()
    assert not embed_waiting()
    load_model.cache_clear()
    assert set(Document.objects.values_list("state", flat=True)) == {Document.State.FAILED}
    assert "/nowhere/bge-m3" in Document.objects.all()[0].error


def test_nothing_waiting_does_not_load_the_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedding, "load_model", lambda device: pytest.fail("loaded"))
    assert not embed_waiting()


def same_text(chunks: list[Chunk], text: str) -> None:
    digest = embedding_digest("", text)
    Chunk.objects.filter(id__in=[c.pk for c in chunks]).update(text=text, heading="", digest=digest)


def test_equal_texts_are_embedded_once(documents: list[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    same_text(list(Chunk.objects.filter(position=0)), "Said on every page.")
    model, read = load_model(django_settings.EMBED_DEVICE), []
    batches = model.embed_batches
    monkeypatch.setattr(model, "embed_batches", lambda texts: read.extend(texts) or batches(texts))
    embed_waiting()
    assert read.count("Said on every page.") == 1
    records = [buffer.unpack(r) for r in (buffer.claim(20) or ("", []))[1]]
    alike = [r.vectors.dense for r in records if r.text == "Said on every page."]
    assert len(alike) == 3
    assert all((vector == alike[0]).all() for vector in alike)
    assert Run.objects.get().copied_chunks == 2


def test_a_text_that_the_index_holds_takes_its_vector_from_there(
    documents: list[Document], clean_milvus: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = Chunk.objects.filter(position=0)
    same_text([first, *others], "Said on every page.")
    store = active_store()
    store.upsert([record(first)])
    Chunk.objects.filter(id=first.pk).update(state=Chunk.State.INDEXED)
    Chunk.objects.exclude(position=0).delete()
    model = load_model(django_settings.EMBED_DEVICE)
    monkeypatch.setattr(model, "embed_batches", lambda texts: pytest.fail("embedded again") if texts else [])
    embed_waiting()
    records = [buffer.unpack(r) for r in (buffer.claim(20) or ("", []))[1]]
    assert {r.key for r in records} == {c.key for c in others}
    for found in records:
        assert found.vectors.dense == pytest.approx(record(first).vectors.dense)
        assert found.vectors.indices.tolist() == record(first).vectors.indices.tolist()
    run = Run.objects.get()
    assert (run.copied_chunks, run.copied_tokens, run.embed_tokens) == (2, 10, 0)


def test_without_milvus_a_known_text_is_embedded_again(
    documents: list[Document], settings, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    first, *others = Chunk.objects.filter(position=0)
    same_text([first, *others], "Said on every page.")
    Chunk.objects.filter(id=first.pk).update(state=Chunk.State.INDEXED)
    Collection.objects.create(name="away", model=settings.MODEL_PATH, dimension=384, active=True)

    def unavailable(self: object, keys: object) -> object:
        raise VectorStoreUnavailable("Milvus does not answer")

    monkeypatch.setattr(VectorStore, "vectors", unavailable)
    embed_waiting()
    assert buffer.length() == 11
