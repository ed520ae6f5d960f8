"""The Milvus collection: in Milvus Lite, and in a real server of version 2.3, which knows no sparse vectors."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import yaml
from django.conf import settings as project
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pymilvus import MilvusClient, MilvusException

from ingestion.buffer import embedding_queue
from ingestion.coordination import circuit_breaker
from ingestion.exceptions import CollectionMissing, IngestionError, PermanentError, VectorStoreUnavailable
from ingestion.models import Chunk, Document
from ingestion.pipeline.index import drain
from ingestion.pipeline.state.collections import open_mirrored, written_store
from ingestion.types import EmbeddedChunk, Hits, TermWeights, Vectors
from ingestion.vector_store import client as milvus_client
from ingestion.vector_store import store as vector_store
from ingestion.vector_store.index_kinds import trial_collection
from ingestion.vector_store.rows import TEXT_BYTES, UPSERT_BYTES, cut, parts_by_bytes, row_of
from ingestion.vector_store.store import QueryVectors, VectorStore, knows_sparse
from ragproject.embedded import services
from tests.conftest import serve, stop, wait_until
from tests.support.ports import free_port
from tests.support.rows import make_chunk, make_document, make_source, record

DIMENSION = 8
UNAVAILABLE = VectorStoreUnavailable


def embedded(number: int, *, text: str = "text") -> EmbeddedChunk:
    dense = np.zeros(DIMENSION, np.float32)
    dense[number % DIMENSION] = 1
    lexical = np.array([5, number + 10], np.uint32), np.array([0.5, 1.0], np.float32)
    return EmbeddedChunk(
        *(f"{number:032x}", number, 1, 2, "https://x/", "T", "H", number, text, Vectors(dense, *lexical)),
        words=TermWeights(np.array([number], np.uint32), np.ones(1, np.float32)),
    )


def asking(number: int) -> QueryVectors:
    return {"dense": embedded(number).vectors.dense.tolist(), "sparse": {number + 10: 2.0}, "words": {number: 3.0}}


def key(number: int) -> str:
    return f"{number:032x}"


def keys(*numbers: int) -> list[str]:
    return [f"{n:032x}" for n in numbers]


@pytest.fixture
def store(clean_milvus: MilvusClient) -> Iterator[VectorStore]:
    store = VectorStore("store_tests", DIMENSION)
    store.ensure()
    yield store
    store.close()


def test_what_was_written_is_read_at_once_and_what_was_deleted_is_not(store: VectorStore) -> None:
    for number in range(20):
        assert store.upsert([embedded(number)]) == 1
        assert store.count() == number + 1
    store.delete(keys(3, 4))
    assert store.count() == 18
    assert store.existing(keys(2, 3, 4, 5)) == set(keys(2, 5))


def test_vectors_come_back_as_they_went_in(store: VectorStore) -> None:
    store.upsert([embedded(1), embedded(2)])
    found = store.vectors(keys(1, 2, 3))
    assert set(found) == set(keys(1, 2))
    assert found[keys(2)[0]].dense.tolist() == embedded(2).vectors.dense.tolist()
    assert found[keys(2)[0]].indices.tolist() == [5, 12]
    assert found[keys(2)[0]].weights.tolist() == [0.5, 1.0]


@pytest.mark.parametrize(("other", "why"), [(8, "it has no field key"), (None, "have 16 numbers and the model's 8")])
def test_another_collection_of_its_name_takes_and_gives_nothing(
    store: VectorStore, clean_milvus: MilvusClient, other: int | None, why: str
) -> None:
    store.upsert([embedded(1)])
    clean_milvus.drop_collection(store.name)
    if other:
        clean_milvus.create_collection(store.name, dimension=other)
    else:
        VectorStore(store.name, 2 * DIMENSION).ensure()
    for request in (store.ensure, store.verify, store.count, lambda: VectorStore(store.name, DIMENSION).channels):
        with pytest.raises(VectorStoreUnavailable, match=rf"another collection under the name {store.name}: .*{why}"):
            request()
    clean_milvus.drop_collection(store.name)
    store.ensure()
    assert store.count() == 0


def test_any_number_of_keys_is_asked_for_in_bounded_queries(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_store, "ANSWER_BYTES", 10 * vector_store.KEY_BYTES)
    sizes: list[int] = []
    query = store._query

    def counting(where: str, fields: list[str]) -> list[dict[str, Any]]:
        rows = query(where, fields)
        sizes.append(len(rows))
        return rows

    monkeypatch.setattr(store, "_query", counting)
    store.upsert([embedded(n) for n in range(25)])
    assert store.existing(keys(*range(30))) == set(keys(*range(25)))
    assert sizes == [10, 10, 5]
    assert len(store.vectors(keys(*range(3)))) == 3
    assert sizes[3:] == [1, 1, 1]
    assert store.existing([]) == set()
    assert store.vectors([]) == {}


def test_each_channel_answers_for_itself(store: VectorStore) -> None:
    store.upsert([embedded(n) for n in range(6)])
    found = store.search([{**asking(3), "words": {2: 3.0, 5: 4.0}}], limit=2)[0]
    best = {channel: next(iter(hits.items())) for channel, hits in found.items()}
    assert best == {"dense": (key(3), 1.0), "sparse": (key(3), 2.0), "words": (key(5), 4.0)}
    assert list(found["words"]) == keys(5, 2)


def test_several_queries_are_one_request_of_each_channel(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.upsert([embedded(n) for n in range(6)])
    asked: list[tuple[str, int]] = []
    search = store._search

    def counting(channel: str, vectors: Sequence[Any], limit: int, where: str) -> list[Hits]:
        asked.append((channel, len(vectors)))
        return search(channel, vectors, limit, where)

    monkeypatch.setattr(store, "_search", counting)
    without_words = {channel: vector for channel, vector in asking(4).items() if channel != "words"}
    found = store.search([{**asking(3), "words": {5: 4.0}}, without_words], limit=1)
    assert sorted(asked) == [("dense", 2), ("sparse", 2), ("words", 1)]
    assert [set(each) for each in found] == [{"dense", "sparse", "words"}, {"dense", "sparse"}]
    assert [each["dense"] for each in found] == [{key(3): 1.0}, {key(4): 1.0}]
    assert store.search([], limit=1) == []


def test_addresses_are_searched_below_a_prefix(store: VectorStore) -> None:
    addresses = ["https://d.example/a_b/1", "https://d.example/a_b", "https://d.example/axb/1", 'file:///ü%20 "%/x']
    store.upsert([replace(embedded(n), url=url, source_id=n % 2) for n, url in enumerate(addresses)])

    def below(*prefixes: str, **where: Any) -> set[str]:
        hits = store.search([asking(1)], limit=10, prefixes=prefixes, **where)[0]["dense"]
        return {addresses[int(found, 16)] for found in hits}

    assert below("https://d.example/a_b/") == {addresses[0]}
    assert below("https://d.example/a_b") == set(addresses[:2])
    assert below('file:///ü%20 "%/') == {addresses[3]}
    assert below("https://d.example/axb/", "file:") == set(addresses[2:])
    assert below("https://d.example/", source_ids=[1]) == {addresses[1]}
    assert below("https://other.example/") == set()


def test_terms_are_numbers_of_32_bits(store: VectorStore) -> None:
    largest = 2**32 - 2
    high = replace(embedded(1), words=TermWeights(np.array([largest], np.uint32), np.ones(1, np.float32)))
    store.upsert([high, replace(embedded(2), words=TermWeights())])
    assert store.search([{"words": {largest: 1.0}}], limit=5)[0] == {"words": {key(1): 1.0}}


def test_a_collection_from_before_words_is_written_and_searched_without_them(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.drop()
    monkeypatch.setattr(vector_store, "CHANNELS", ("dense", "sparse"))
    store.__dict__.pop("channels", None)
    store.ensure()
    monkeypatch.undo()
    old = VectorStore(store.name, DIMENSION)
    old.upsert([embedded(1)])
    assert old.channels == ("dense", "sparse")
    assert set(old.search([asking(1)], limit=1)[0]) == {"dense", "sparse"}
    assert set(old.vectors(keys(1))) == set(keys(1))
    old.close()


@pytest.mark.parametrize("key", ['" or 1 == 1 or key == "', '"] or key != "x" or key in ["', "\\", "'", "é\n", "{x}"])
def test_a_key_is_never_read_as_an_expression(store: VectorStore, key: str) -> None:
    store.upsert([embedded(1)])
    assert store.existing([key]) == set()
    store.delete([key])
    assert store.count() == 1


def test_a_batch_that_was_not_taken_whole_is_no_success(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VectorStore, "_upsert", lambda self, rows: len(rows) - 1)
    with pytest.raises(VectorStoreUnavailable, match="acknowledged 2 of 3"):
        store.upsert([embedded(n) for n in range(3)])


def test_a_long_text_of_a_wide_script_is_cut_between_characters(store: VectorStore) -> None:
    store.upsert([embedded(1, text="漢字" * 40_000)])
    text = store._query(f'key == "{keys(1)[0]}"', ["text"])[0]["text"]
    assert text == cut("漢字" * 40_000, TEXT_BYTES)
    assert TEXT_BYTES - 3 < len(text.encode()) <= TEXT_BYTES


@given(st.lists(st.integers(0, 65_535), max_size=300))
def test_no_message_is_larger_than_its_bound_and_none_is_lost(lengths: list[int]) -> None:
    rows = [row_of(embedded(n, text="é" * (length // 2))) for n, length in enumerate(lengths)]
    parts = list(parts_by_bytes(rows))
    assert [row["key"] for part in parts for row in part] == [row["key"] for row in rows]
    for part in parts:
        assert sum(len(row["text"].encode()) for row in part) <= UPSERT_BYTES
    for part, after in itertools.pairwise(parts):
        texts = sum(len(row["text"].encode()) for row in [*part, after[0]])
        assert texts > 0.9 * UPSERT_BYTES


@pytest.mark.parametrize(
    ("version", "sparse"),
    [("v2.3.5-lite", False), ("2.2.16", False), ("v2.4.0", True), ("v2.6.16", True), ("v3.0", True), ("", True)],
)
def test_servers_before_2_4_know_no_sparse_vectors(version: str, sparse: bool) -> None:
    assert knows_sparse(version) is sparse


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (100, "can't find collection collection not found[database=default][collection=x]", CollectionMissing),
        (100, "Can not find x's schema: collection not found", CollectionMissing),
        (2, "Fail connecting to server on 127.0.0.1:1, illegal connection params or server unavailable", UNAVAILABLE),
        (grpc.StatusCode.UNAVAILABLE, "[query] Retry timeout: 3s, StatusCode.UNAVAILABLE", UNAVAILABLE),
        (101, "failed to query: collection not loaded[collection=4]", UNAVAILABLE),
        (904, "node not match[expectedNodeID=1][actualNodeID=2]", UNAVAILABLE),
        (10001, "context deadline exceeded", UNAVAILABLE),
        (8, "[delete] Retry timeout: 3s, message=rate limit exceeded[rate=1.048576]", UNAVAILABLE),
        (9, "quota exceeded[reason=the writing has been deactivated by the administrator]", UNAVAILABLE),
        (7, "out of room", UNAVAILABLE),
        (1100, "the length (60) of 0th string exceeds max length (50): invalid parameter", PermanentError),
        (1100, "[upsert] Retry timeout: 3s, message=Invalid expr: timeout === 5", PermanentError),
        (1401, "privilege not permitted", PermanentError),
    ],
)
def test_the_code_of_a_failure_says_what_kind_it_is(code: Any, message: str, kind: type[Exception]) -> None:
    assert kind_of(MilvusException(code, message)) is kind


@pytest.mark.parametrize("code", [0, 1, 65535])
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("collection not loaded", UNAVAILABLE),
        ("rate limit exceeded[rate=0.1]", UNAVAILABLE),
        ("quota exceeded[reason=memory quota exceeded, please allocate more resources]", UNAVAILABLE),
        ("deny to write, reason: disk quota exceeded", UNAVAILABLE),
        ("no space left on disk", UNAVAILABLE),
        ("invalid index type: DISKANN, local mode only support FLAT IVF_FLAT AUTOINDEX", PermanentError),
        ("can't find collection[collection=documents]", CollectionMissing),
        ("StatusCode.UNAVAILABLE", UNAVAILABLE),
        ("[query] Retry timeout: 1e-05s, message=proxy TaskCondition context Done", UNAVAILABLE),
        ("length of varchar field text exceeds max length", PermanentError),
        ("the dim (5) of field data(dense) is not equal to schema dim (8)", PermanentError),
    ],
)
def test_where_the_code_says_nothing_the_words_do(code: int, message: str, kind: type[Exception]) -> None:
    assert kind_of(MilvusException(code, message)) is kind


def test_a_failure_that_milvus_calls_worth_another_try_passes_whatever_its_code() -> None:
    assert kind_of(MilvusException(4321, "something new", retriable=True)) is UNAVAILABLE
    assert kind_of(MilvusException(4321, "something new")) is PermanentError


def kind_of(error: MilvusException) -> type[Exception]:
    with pytest.raises(IngestionError) as raised, milvus_client.failures_translated():
        raise error
    return raised.type


def test_a_collection_that_is_not_there_is_missing(clean_milvus: MilvusClient) -> None:
    assert_missing(VectorStore("store_tests", DIMENSION))


def assert_missing(store: VectorStore) -> None:
    requests: list[Callable[[], object]] = [
        lambda: store.upsert([embedded(1)]),
        lambda: store.delete(keys(1)),
        lambda: store.existing(keys(1)),
        lambda: store.search([asking(1)], limit=1),
    ]
    for request in requests:
        with pytest.raises(CollectionMissing, match="not found"):
            request()
    store.close()


def test_a_row_that_milvus_refuses_is_a_permanent_error(store: VectorStore) -> None:
    with pytest.raises(PermanentError, match="refused"):
        VectorStore("store_tests", 5).client.has_collection  # noqa: B018  its own client
        wrong = embedded(1)
        object.__setattr__(wrong.vectors, "dense", np.ones(5, np.float32))
        store.upsert([wrong])


@pytest.mark.slow
def test_a_process_that_writes_sparse_vectors_loads_no_scipy() -> None:
    code = (
        "import sys, django; django.setup()\n"
        "from ingestion.vector_store.client import library; library()\n"
        "from pymilvus.client.entity_helper import sparse_rows_to_proto\n"
        "assert len(sparse_rows_to_proto([{5: 0.5}]).contents) == 1\n"
        "sys.exit('scipy' in sys.modules)\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    assert subprocess.run(command, cwd=project.BASE_DIR, env=environment, check=False).returncode == 0


class Watched:
    """A client that notes calls without a time-out."""

    LOCAL = ("create_schema", "prepare_index_params", "close")

    def __init__(self, client: MilvusClient) -> None:
        self.client = client
        self.calls: list[str] = []
        self.boundless: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if name in self.LOCAL:
            return method

        def call(*args: Any, **options: Any) -> Any:
            self.calls.append(name)
            if not options.get("timeout"):
                self.boundless.append(name)
            return method(*args, **options)

        return call


def test_every_call_has_a_time_out(clean_milvus: MilvusClient) -> None:
    store = VectorStore("store_tests", DIMENSION)
    store.__dict__["client"] = client = Watched(store.client)
    store.ensure()
    store.upsert([embedded(1)])
    store.search([asking(1)], limit=1)
    store.vectors(keys(1))
    store.count()
    list(store.keys())
    store.delete(keys(1))
    store.exists()
    store.drop()
    assert {"create_collection", "upsert", "search", "query", "delete"} <= set(client.calls)
    assert client.boundless == []
    store.close()


def test_a_server_that_takes_connections_and_says_nothing_is_unavailable(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (milvus_client, vector_store):
        monkeypatch.setattr(module, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(vector_store, "TIMEOUT_SECONDS", 10_000.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.MILVUS_URI = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(VectorStoreUnavailable, match="does not answer at"):
            VectorStore("store_tests", DIMENSION).ensure()


@pytest.mark.e2e
def test_after_a_restart_of_milvus_lite_the_same_store_goes_on(settings: Any, tmp_path: Path) -> None:
    settings.MILVUS_URI = f"http://127.0.0.1:{free_port()}"
    settings.DATA_DIR = tmp_path
    service = services.milvus_server()
    server = serve(service.command, cwd=tmp_path)
    try:
        store = VectorStore("store_tests", DIMENSION)
        wait_until(lambda: store.exists() is False)
        store.ensure()
        store.upsert([embedded(1)])
        server.kill()
        server.wait()
        server = serve(service.command, cwd=tmp_path)
        wait_until(lambda: services.milvus_trouble() == "")
        assert store.existing(keys(1, 2)) == set(keys(1))
        store.upsert([embedded(2)])
        assert store.count() == 2
        store.close()
    finally:
        stop(server)


# --- A real server of version 2.3 -------------------------------------------------------------------------------


class OldMilvus:
    """The server's process; ``kill`` it and ``start`` it again as often as is wanted."""

    def __init__(self, folder: Path) -> None:
        from tests.support import old_milvus

        self.folder = folder
        self.uri = old_milvus.prepare(folder)
        self.start()

    def start(self) -> None:
        """It answers after 3 s, after a crash in 10 s."""
        command = (sys.executable, "-m", "tests.support.old_milvus", str(self.folder))
        self.process: subprocess.Popen[bytes] = serve(command, cwd=project.BASE_DIR)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def deny_writes(self, denied: bool) -> None:
        """It reads its configuration again every few seconds."""
        path = self.folder / "configs/milvus.yaml"
        config = yaml.safe_load(path.read_text())
        config["quotaAndLimits"] |= {"limitWriting": {"forceDeny": denied}, "quotaCenterCollectInterval": 1}
        path.write_text(yaml.safe_dump(config))

    def answers(self) -> bool:
        client = MilvusClient(self.uri, timeout=2)
        try:
            return client.list_collections(timeout=2) is not None
        finally:
            client.close()


@pytest.fixture(scope="module")
def old_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldMilvus]:
    pytest.importorskip("milvus", reason="the package has wheels for Linux on x86-64 only")
    server = OldMilvus(tmp_path_factory.mktemp("old_milvus"))
    wait_until(server.answers)
    yield server
    server.kill()


@pytest.fixture
def old_milvus(old_server: OldMilvus, settings: Any) -> Iterator[OldMilvus]:
    settings.MILVUS_URI = old_server.uri
    forget_stores()
    yield old_server
    client = MilvusClient(old_server.uri)
    for name in client.list_collections():
        client.drop_collection(name)
    client.close()
    forget_stores()


def forget_stores() -> None:
    vector_store.open_store.cache_clear()
    open_mirrored.cache_clear()


@pytest.mark.e2e
def test_a_server_without_sparse_vectors_is_written_and_searched_dense_only(old_milvus: OldMilvus) -> None:
    store = VectorStore("old_tests", DIMENSION)
    store.ensure()
    assert store.channels == ("dense",)
    assert store.upsert([embedded(n) for n in range(6)]) == 6
    assert store.upsert([embedded(n) for n in range(4, 10)]) == 6
    assert store.count() == 10
    found = store.vectors(keys(3, 99))
    assert list(found) == keys(3)
    assert found[keys(3)[0]].dense.tolist() == embedded(3).vectors.dense.tolist()
    assert found[keys(3)[0]].indices.tolist() == []
    [(channel, hits)] = store.search([asking(3)], limit=1)[0].items()
    assert (channel, list(hits)) == ("dense", keys(3))
    store.delete(keys(3))
    assert store.existing(keys(2, 3)) == set(keys(2))
    store.close()


@pytest.mark.e2e
def test_a_real_server_tells_its_kinds_of_failures(old_milvus: OldMilvus) -> None:
    store = VectorStore("old_tests", DIMENSION, seconds=5.0)
    assert_missing(store)
    store.ensure()
    store.upsert([embedded(1)])
    wrong = embedded(2)
    object.__setattr__(wrong.vectors, "dense", np.ones(5, np.float32))
    with pytest.raises(PermanentError, match="refused"):
        store.upsert([wrong])
    old_milvus.deny_writes(True)
    wait_until(lambda: denies_writes(store))
    assert store.existing(keys(1)) == set(keys(1))
    old_milvus.deny_writes(False)
    wait_until(lambda: not denies_writes(store))
    store.client.release_collection(store.name, timeout=5)
    assert store.existing(keys(1)) == set(keys(1))  # it was loaded again
    store.close()


@pytest.mark.e2e
@pytest.mark.parametrize("dimension", [384, 1024])
def test_vectors_of_any_length_get_an_index_of_codes(old_milvus: OldMilvus, dimension: int) -> None:
    vectors = np.eye(300, dimension, dtype=np.float32)
    with trial_collection(vectors) as trials:
        assert trials.tried("IVF_PQ", vectors[:2], 1).found == [[0], [1]]


def denies_writes(store: VectorStore) -> bool:
    try:
        store.upsert([embedded(3)])
    except VectorStoreUnavailable as error:
        return "quota exceeded" in str(error)
    return False


ROWS, BATCH = 2000, 100


def drained() -> bool:
    circuit_breaker.over()
    drain.drain()
    return embedding_queue.length() == 0


@pytest.mark.e2e
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("clean_redis")
def test_a_real_server_killed_in_the_middle_of_a_drain_ends_with_every_row_once(
    old_milvus: OldMilvus, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMBEDDINGS_BATCH_ROWS = BATCH
    document = make_document(make_source(), state=Document.State.INDEXING)
    now = timezone.now()
    chunks = [make_chunk(document, n, state=Chunk.State.BUFFERED, buffered_at=now) for n in range(ROWS)]
    embedding_queue.push([record(c) for c in chunks])
    upsert, calls = VectorStore._upsert, []

    def killing(self: VectorStore, rows: list[dict[str, object]]) -> int:
        calls.append(len(rows))
        if len(calls) == 5:  # before Milvus has the batch
            old_milvus.kill()
        if len(calls) == 12:  # while Milvus is at it
            threading.Timer(0.01, old_milvus.kill).start()
        return upsert(self, rows)

    monkeypatch.setattr(VectorStore, "_upsert", killing)
    for _ in range(2):
        assert not drain.drain().more
        assert circuit_breaker.current() is not None
        assert 0 < embedding_queue.length() < ROWS
        old_milvus.start()
        wait_until(old_milvus.answers)
        circuit_breaker.over()
    wait_until(drained)
    store = written_store()
    assert store.channels == ("dense",)
    assert store.count() == ROWS
    assert store.existing([c.key for c in chunks]) == {c.key for c in chunks}
    assert Chunk.objects.filter(state=Chunk.State.INDEXED).count() == ROWS
    document.refresh_from_db()
    assert document.state == Document.State.INDEXED


@pytest.mark.e2e
def test_a_new_collection_is_laid_out_as_the_settings_say(old_milvus: OldMilvus, settings: Any) -> None:
    settings.MILVUS_INDEX, settings.MILVUS_INDEX_PARAMS = "HNSW", {"M": 8, "efConstruction": 64}
    settings.MILVUS_SEARCH_PARAMS = {"ef": 32}
    settings.MILVUS_SHARDS = 2
    store = VectorStore("laid_out", DIMENSION)
    store.ensure()
    index = store.client.describe_index("laid_out", "dense")
    assert (index["index_type"], index["M"], index["efConstruction"]) == ("HNSW", "8", "64")
    assert store.client.describe_collection("laid_out")["num_shards"] == 2
    rows = [replace(embedded(n), source_id=n % 3) for n in range(9)]
    store.upsert(rows)
    store.upsert(rows)
    assert store.count() == 9
    found = store.search([{"dense": asking(4)["dense"]}], limit=9, source_ids=[1])[0]["dense"]
    assert next(iter(found)) == key(4)
    store.drop()
    store.close()


def test_milvus_lite_has_the_index_that_the_settings_name(clean_milvus: MilvusClient, settings: Any) -> None:
    settings.MILVUS_INDEX, settings.MILVUS_INDEX_PARAMS = "IVF_FLAT", {"nlist": 4}
    settings.MILVUS_SEARCH_PARAMS = {"nprobe": 4}
    store = VectorStore("laid_out", DIMENSION)
    store.ensure()
    store.upsert([embedded(n) for n in range(6)])
    assert clean_milvus.describe_index("laid_out", "dense")["index_type"] == "IVF_FLAT"
    assert store.search([asking(3)], limit=1)[0]["dense"] == {key(3): 1.0}
    store.close()


def test_an_index_that_milvus_refuses_is_made_once_the_settings_name_another(
    clean_milvus: MilvusClient, settings: Any
) -> None:
    settings.MILVUS_INDEX = "DISKANN"
    store = VectorStore("laid_out", DIMENSION)
    for _ in range(2):  # the first time leaves a collection
        with pytest.raises(PermanentError, match=r"MILVUS_INDEX=DISKANN .*: .*only support FLAT.*Set them"):
            store.ensure()
    settings.MILVUS_INDEX = "FLAT"
    store.ensure()
    assert clean_milvus.describe_index("laid_out", "dense")["index_type"] == "FLAT"
    store.close()


def test_a_collection_whose_making_was_interrupted_gets_the_indexes_that_it_lacks(
    store: VectorStore, clean_milvus: MilvusClient
) -> None:
    store.upsert([embedded(1)])
    clean_milvus.release_collection(store.name)
    clean_milvus.drop_index(store.name, "words")
    assert indexed(clean_milvus, store.name) == {"dense", "sparse"}
    store.ensure()
    assert indexed(clean_milvus, store.name) == {"dense", "sparse", "words"}
    assert list(store.search([asking(1)], limit=1)[0]["words"]) == keys(1)


def indexed(client: MilvusClient, collection: str) -> set[str]:
    return {name for name in ("dense", "sparse", "words") if client.list_indexes(collection, field_name=name)}


def test_a_collection_is_loaded_as_often_as_the_settings_say(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Only Milvus Distributed has the query nodes for it."""
    asked: list[Any] = []
    monkeypatch.setattr(
        store.client, "load_collection", lambda name, **options: asked.append(options.get("replica_number"))
    )
    store.ensure()
    settings.MILVUS_REPLICAS = 3
    store.ensure()
    assert asked == [None, 3]
