"""From a question to passages, through the real model, a real Milvus and real rows."""

from __future__ import annotations

import gc
import re
import threading
import time

import pytest
import redis
from django.conf import settings as project
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from ingestion.coordination import circuit_breaker
from ingestion.embedding import loading
from ingestion.exceptions import ModelError, VectorStoreUnavailable
from ingestion.models import Chunk, Collection, Document, Source
from ingestion.types import EmbeddedChunk, Hits, ModelSpec
from ingestion.vector_store.store import QueryVectors, open_store
from search.access.caller import OPERATOR
from search.catalogue import indexed_sources, overview
from search.exceptions import IndexIncomplete, NothingIndexed, QuestionRefused
from search.forms import MODES
from search.questions import Passage, Question
from search.retrieval import index_search, question_model
from search.retrieval.index_search import EmbeddedQuestion, Search, carried_out
from search.retrieval.preparation import Asked, PreparedQuestion
from search.retrieval.retriever import retrieve
from search.retrieval.selection import Selection
from search.timings import Timings
from tests.conftest import wait_until
from tests.support.search_services import COLLECTION, HANDBOOK, ROWS, SITE, vectors, write_vectors


def ask(text: str, **options: object) -> list[Passage]:
    return retrieve(Question(text, OPERATOR, **options), Timings())  # type: ignore[arg-type]


class FakeStore:
    """Answers with keys in a fixed order; remembers what it was asked."""

    name = "documents"

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        self.asked: list[int] = []

    def search(self, queries: list[QueryVectors], *, limit: int, **where: object) -> list[dict[str, Hits]]:
        self.asked.append(limit)
        return [{"dense": {key: 1.0 / n for n, key in enumerate(self.keys[:limit], 1)}}]


def search(store: FakeStore, question: Question) -> list[Passage]:
    prepared = PreparedQuestion(None, Selection(), [question.text], [])  # type: ignore[arg-type]
    embedded = EmbeddedQuestion(Asked(question, Timings()), prepared, [])
    [found] = carried_out([Search(embedded, store, {question.text: {}})])  # type: ignore[arg-type]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("mode", MODES)
def test_it_finds_the_passage_that_answers(index: None, mode: str) -> None:
    best = ask("How do I create migrations after changing a model?", mode=mode)[0]
    assert (best.document, best.position, best.source) == (911, 0, "Handbook")


def test_words_come_from_the_rows_not_from_milvus(index: None) -> None:
    best = ask("How do I cache in Redis?")[0]
    row = ROWS[4]
    assert (best.title, best.url, best.heading, best.anchor, best.text) == (
        row.title, row.url, row.heading, row.anchor, row.text,
    )  # fmt: skip


def test_it_searches_one_source_only(index: None) -> None:
    found = ask("How do I create migrations?", source="Site", limit=50)
    assert {p.source for p in found} == {"Site"}
    assert len(found) == 3


def test_it_searches_below_a_path_only(index: None) -> None:
    site = "https://docs.example.org/topics/cache/"
    with_addresses()
    found = ask("How do I create migrations?", path="https://docs.example.org/topics/", limit=50)
    assert {p.url for p in found} == {site}
    assert ask("How do I create migrations?", path="https://elsewhere.example/") == []
    assert {p.document for p in ask("variables", path="file:///handbook/templates")} == {912}
    assert {p.document for p in ask("variables", path="file:///handbook/templates.txt")} == {912}
    for last in ("\ud7ff", "\U0010ffff", "\x7f", '"\\'):
        assert ask("variables", path=f"file:///handbook/templates{last}") == []


def with_addresses() -> None:
    """Milvus has the documents' addresses, as after real indexing."""
    store = open_store(COLLECTION, project.EMBED_DIMENSION)
    store.upsert(
        [
            EmbeddedChunk(r.key, n, r.document, r.source, r.url, r.title, r.heading, r.position, r.text, v)
            for n, (r, v) in enumerate(zip(ROWS, vectors(), strict=True))
        ]
    )


def test_a_search_asks_the_database_three_times(index: None) -> None:
    question = Question("How do I create migrations?", OPERATOR, limit=50)
    with CaptureQueriesContext(connection) as asked:
        assert len(retrieve(question, Timings())) == len(ROWS)
    tables = [re.findall(r'FROM "(\w+)"', query["sql"])[-1] for query in asked.captured_queries]
    assert tables == ["ingestion_collection", "ingestion_source", "ingestion_chunk"]
    for query in asked.captured_queries:  # a document's text may have megabytes
        assert "markdown" not in query["sql"]


def test_the_parts_of_a_question_are_searched_for_together(index: None) -> None:
    parts = ("How do I reverse a migration?", "How do I cache in Redis?")
    text = "I want to undo what was done to the database and keep pages in memory somewhere."
    found = ask(text, parts=parts, limit=50)
    best = {part: next(p for p in found if p.found_by == part) for part in parts}
    assert [(p.document, p.position) for p in best.values()] == [(911, 2), (921, 0)]
    assert found == sorted(found, key=lambda p: -p.score)
    assert len({(p.document, p.position) for p in found}) == len(found)


def test_the_order_does_not_depend_on_the_limit(index: None) -> None:
    whole = ask("How do I create migrations?", limit=50)
    for limit in range(1, len(whole)):
        assert ask("How do I create migrations?", limit=limit) == whole[:limit]


def test_it_refuses_an_unknown_source(index: None) -> None:
    with pytest.raises(QuestionRefused, match="no source named 'Nowhere'"):
        ask("migrations", source="Nowhere")


def test_a_chunk_without_an_indexed_row_is_never_shown(index: None) -> None:
    Chunk.objects.filter(key=ROWS[0].key).update(state=Chunk.State.REMOVING)
    Chunk.objects.filter(key=ROWS[1].key).delete()
    found = ask("How do I create migrations?", limit=50)
    assert len(found) == len(ROWS) - 2
    assert not {(911, 0), (911, 1)} & {(p.document, p.position) for p in found}


def test_a_source_on_its_way_out_is_not_searched(index: None) -> None:
    Source.objects.filter(id=HANDBOOK).update(deleting=True)
    assert {p.source for p in ask("How do I create migrations?", limit=50)} == {"Site"}
    with pytest.raises(QuestionRefused):
        ask("migrations", source="Handbook")
    Source.objects.filter(id=SITE).update(deleting=True)
    with pytest.raises(NothingIndexed):
        ask("migrations")


def test_stale_hits_do_not_shrink_the_answer(rows: None) -> None:
    store = FakeStore([f"orphan-{n}" for n in range(300)] + [r.key for r in ROWS])
    question = Question("q", OPERATOR, limit=3)
    found = search(store, question)
    assert [(p.document, p.position) for p in found] == [(911, 0), (911, 1), (911, 2)]
    assert store.asked == [120, 480]


def test_it_stops_asking_when_milvus_has_no_more(rows: None) -> None:
    store = FakeStore([ROWS[0].key])
    question = Question("q", OPERATOR, limit=3)
    assert len(search(store, question)) == 1
    assert store.asked == [120]


def test_it_never_asks_for_more_than_the_maximum(rows: None) -> None:
    store = FakeStore([f"orphan-{n}" for n in range(5000)])
    question = Question("q", OPERATOR, limit=3)
    assert search(store, question) == []
    assert max(store.asked) == index_search.MAX_HITS


def test_it_says_that_nothing_is_indexed(db: None) -> None:
    with pytest.raises(NothingIndexed, match="Nothing has been indexed yet"):
        ask("anything")


def test_milvus_down_is_named(index: None, settings: Settings) -> None:
    settings.MILVUS_URI = "http://127.0.0.1:9"
    Collection.objects.update(name="another_handle")
    with pytest.raises(VectorStoreUnavailable, match="MILVUS_URI"):
        ask("anything")


class FakeModel:
    """Loads at once, or when it is let; its embedder says which model it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried: list[ModelSpec] = []
        self.overlaps = 0
        self.broken = self.busy = False
        self.free = threading.Event()
        self.free.set()
        monkeypatch.setattr(loading, "load_model", self)
        monkeypatch.setattr(question_model, "_served", None)

    def __call__(self, device: str, model: ModelSpec, *, questions: bool) -> ModelSpec:
        assert (device, questions) == (project.QUERY_DEVICE, True)
        self.overlaps += self.busy
        self.busy = True
        self.tried.append(model)
        time.sleep(0.01)
        assert self.free.wait(120)
        self.busy = False
        if self.broken:
            raise ModelError("the folder is empty")
        return model

    def cache_clear(self) -> None:
        pass


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    return FakeModel(monkeypatch)


def collection(name: str, **fields: object) -> Collection:
    known = {"model": f"/models/{name}", "pooling": "cls", "dimension": 8, **fields}
    return Collection.objects.create(name=name, **known)


def asked() -> tuple[str, object]:
    """Return the name of the collection that a question goes to, and what embeds it."""
    found = question_model.served_model(question_model.searched_collection(), Timings())
    return found.collection.name, found.embedder


def swap(old: Collection, new: Collection) -> None:
    Collection.objects.filter(pk=old.pk).update(active=False)
    Collection.objects.filter(pk=new.pk).update(active=True)


def test_threads_load_one_model_once(db: None, fake_model: FakeModel) -> None:
    row = collection("a", active=True)
    threads = [threading.Thread(target=question_model.load, args=(row,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fake_model.tried == [row.spec()]
    assert fake_model.overlaps == 0


def test_full_collections_do_not_look_through_what_is_loaded(db: None, fake_model: FakeModel) -> None:
    gc.unfreeze()
    try:
        question_model.load(collection("a", active=True))
        assert gc.get_freeze_count() > 10 * sum(map(len, map(gc.get_objects, range(3))))
    finally:
        gc.unfreeze()


def test_a_model_that_failed_is_not_tried_again_at_once(db: None, fake_model: FakeModel) -> None:
    row, fake_model.broken = collection("a", active=True), True
    for _ in range(2):
        with pytest.raises(ModelError, match="the folder is empty"):
            question_model.load(row)
    assert len(fake_model.tried) == 1


def test_a_question_is_read_by_the_model_of_the_collection_whatever_the_settings(
    db: None, fake_model: FakeModel
) -> None:
    row = collection("a", active=True, model="/models/of-the-row", pooling="mean", dimension=5)
    assert asked() == ("a", ModelSpec("/models/of-the-row", "mean", 5))
    assert row.spec() != ModelSpec(project.MODEL_PATH, project.EMBED_POOLING, project.EMBED_DIMENSION)


def test_the_old_collection_answers_while_the_new_model_loads(transactional_db: None, fake_model: FakeModel) -> None:
    old, new = collection("old", active=True), collection("new")
    assert asked() == ("old", old.spec())
    fake_model.free.clear()
    swap(old, new)
    for _ in range(3):
        assert asked() == ("old", old.spec())
    fake_model.free.set()
    wait_until(lambda: asked() == ("new", new.spec()))
    assert fake_model.tried == [old.spec(), new.spec()]


def test_a_new_model_that_cannot_be_loaded_leaves_the_old_one_in_use(
    db: None, fake_model: FakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = collection("old", active=True), collection("new")
    asked()
    fake_model.broken = True
    swap(old, new)
    assert asked() == ("old", old.spec())
    wait_until(lambda: "the model of new cannot be loaded: the folder is empty" in caplog.text)
    assert asked() == ("old", old.spec())
    assert fake_model.tried == [old.spec(), new.spec()]


def test_once_the_old_collection_is_gone_questions_wait_for_the_new_model(db: None, fake_model: FakeModel) -> None:
    old, new = collection("old", active=True), collection("new")
    asked()
    swap(old, new)
    Collection.objects.filter(pk=old.pk).delete()
    assert asked() == ("new", new.spec())


def test_a_collection_of_the_same_model_is_searched_at_once(db: None, fake_model: FakeModel) -> None:
    old, new = collection("old", active=True), collection("new", model="/models/old")
    asked()
    swap(old, new)
    assert asked() == ("new", old.spec())
    assert len(fake_model.tried) == 1


@pytest.mark.parametrize("state", [Chunk.State.WAITING, Chunk.State.EMBEDDING, Chunk.State.BUFFERED])
def test_a_chunk_on_its_way_into_another_collection_is_found_in_this_one(index: None, state: str) -> None:
    Chunk.objects.update(state=state)
    assert len(ask("How do I create migrations?", limit=50)) == len(ROWS)


def test_what_waits_for_another_collection_is_still_shown(rows: None) -> None:
    Chunk.objects.update(state=Chunk.State.WAITING, buffered_at=timezone.now())
    assert overview(OPERATOR).documents == 0
    Collection.objects.update(checked_to=0)
    assert overview(OPERATOR).documents == 4
    Chunk.objects.filter(document_id=911).remove()
    assert overview(OPERATOR).documents == 3
    assert {source.name: source.documents for source in indexed_sources(OPERATOR)} == {"Handbook": 1, "Site": 2}


def test_timings_cover_embedding_and_search(index: None) -> None:
    timings = Timings()
    retrieve(Question("migrations", OPERATOR), timings)
    spent = timings.milliseconds()
    assert set(spent) == {"embed", "search", "fuse", "rows", "total"}
    assert spent["total"] >= spent["embed"] > 0


def link_of(**changes: object) -> tuple[str, bool]:
    fields = {"score": 1.0, "title": "", "url": "", "heading": "", "anchor": "", "text": "", "document": 7,
              "source": "", "position": 3, **changes}  # fmt: skip
    passage = Passage(**fields)  # type: ignore[arg-type]
    return passage.link, passage.external


def test_a_web_page_is_linked_with_its_section() -> None:
    assert link_of(url="https://a.example/p", anchor="per-view cache") == ("https://a.example/p#per-view%20cache", True)
    assert link_of(url="https://a.example/p#old", anchor="new") == ("https://a.example/p#new", True)
    assert link_of(url="https://a.example/p") == ("https://a.example/p", True)


@pytest.mark.parametrize(
    "url", ["file:///etc/x.txt", "javascript:alert(1)", "data:text/html,x", "http:", "x", "//a.b/c"]
)
def test_everything_else_is_linked_to_our_copy(url: str) -> None:
    assert link_of(url=url, anchor="a") == ("/documents/7/#p3", False)


def test_browsers_are_not_told_where_files_are() -> None:
    fields = (1.0, "t", "file:///srv/secret/x.txt", "", "", "text", 7, "s", 0)
    assert "secret" not in str(Passage(*fields).as_citation(1))
    assert Passage(*fields).as_row()["url"] == "file:///srv/secret/x.txt"


def test_the_command_prints_passages_as_json(index: None, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    call_command("search", "How do I create migrations?", "--limit", "2", "--source", "Handbook", "--json")
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 2
    assert set(found[0]) == {
        "score",
        "title",
        "url",
        "heading",
        "text",
        "document",
        "source",
        "position",
        "found_by",
        "version",
        "also",
    }
    assert (found[0]["document"], found[0]["url"]) == (911, ROWS[0].url)


def test_the_command_prints_readable_passages(index: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("search", "How do I create migrations?", "--limit", "1")
    out = capsys.readouterr().out
    assert "Migrations › Creating" in out
    assert ROWS[0].url in out
    assert "makemigrations" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([" "], "Ask a question first"),
        (["x" * 2001], "2001 characters; at most 2000"),
        (["x", "--limit", "0"], "limit is a number from 1 to 50"),
        (["x"], "Nothing has been indexed yet"),
    ],
)
def test_the_command_says_in_one_line_what_to_do(db: None, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message) as caught:
        call_command("search", *arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_missing_model_is_a_command_error(rows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_model, "_served", None)
    Collection.objects.update(model="/nowhere/model")
    with pytest.raises(CommandError, match=r"/nowhere/model does not exist\. Put the model there"):
        call_command("search", "anything")


def test_a_collection_that_vanished_is_one_line(index: None) -> None:
    Collection.objects.update(name=f"{COLLECTION}_gone")
    with pytest.raises(CommandError) as caught:
        call_command("search", "anything")
    assert "being completed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_question_may_hold_any_characters(index: None) -> None:
    write_vectors()
    for text in ("\ud800", "🦓" * 100, "' OR 1=1 --", "\x1b[31m", "}{"):
        assert ask(text.encode(errors="replace").decode(), limit=1)


def test_a_document_that_is_gone_is_not_found(index: None) -> None:
    Document.objects.filter(id=911).delete()
    assert 911 not in {p.document for p in ask("How do I create migrations?", limit=50)}


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_lost_collection_is_said_to_be_incomplete_instead_of_finding_nothing(
    index: None, clean_redis: redis.Redis, made_anew: bool
) -> None:
    ask("How do I create migrations?")
    open_store(COLLECTION, project.EMBED_DIMENSION).drop()
    if made_anew:
        open_store(COLLECTION, project.EMBED_DIMENSION).ensure()
    with pytest.raises(IndexIncomplete, match="is being completed"):
        ask("How do I create migrations?")
    assert circuit_breaker.current() is None
    Chunk.objects.update(state=Chunk.State.WAITING)  # the audit found out
    with pytest.raises(IndexIncomplete, match="is being completed"):
        ask("How do I create migrations?")
    Chunk.objects.update(state=Chunk.State.FAILED)
    assert ask("How do I create migrations?") == []
