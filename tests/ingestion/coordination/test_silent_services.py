"""A Redis or a Milvus that accepts connections and never answers: whoever waits for a person learns of it once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis
from django.test import Client
from pytest_django import Settings

from ingestion import tasks
from ingestion.buffer import dead_letters, embedding_queue
from ingestion.coordination import circuit_breaker, heartbeat, redis_client
from ingestion.exceptions import BufferUnavailable, VectorStoreUnavailable
from ingestion.models import Collection
from ingestion.pipeline.dispatcher import drain_wanted
from ingestion.pipeline.report.alerts import alerts
from ingestion.pipeline.report.status import Unavailable, status
from ingestion.vector_store.store import VectorStore, open_store

SECONDS = 0.3


class SilentServer:
    """Accepts, reads and never answers; counts its connections."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                self.connections.append(self.listener.accept()[0])

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # which wakes whoever accepts
        self.acceptor.join()
        for one in (self.listener, *self.connections):
            one.close()


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()


@pytest.fixture
def silent_redis(silent: SilentServer, settings: Settings) -> Iterator[SilentServer]:
    settings.REDIS_URL, settings.SERVICE_TIMEOUT_SECONDS = f"redis://127.0.0.1:{silent.port}/0", SECONDS
    redis_client.forget()
    yield silent
    redis_client.forget()


@pytest.fixture
def silent_milvus(silent: SilentServer, settings: Settings) -> Iterator[SilentServer]:
    settings.MILVUS_URI, settings.SERVICE_TIMEOUT_SECONDS = f"http://127.0.0.1:{silent.port}", SECONDS
    open_store.cache_clear()
    yield silent
    open_store.cache_clear()


@pytest.fixture
def searched(db: None) -> Collection:
    return Collection.objects.create(name="searched", model="m", pooling="cls", dimension=8, active=True)


@pytest.mark.django_db
def test_a_status_asks_a_silent_redis_once(silent_redis: SilentServer) -> None:
    now = status()
    assert len(silent_redis.connections) == 1
    assert isinstance(now.queues, Unavailable)
    assert "Redis does not answer" in now.queues.error
    assert "Redis does not answer" in now.alerts[0]


def test_every_way_of_a_person_learns_of_it_from_the_first(silent_redis: SilentServer) -> None:
    for asks in (heartbeat.workers, embedding_queue.length, dead_letters.buried, circuit_breaker.current, tasks.wake):
        with pytest.raises(BufferUnavailable, match="does not answer"):
            asks()
    assert len(silent_redis.connections) == 1


def test_the_admin_shows_its_sources_and_saves_without_redis(silent_redis: SilentServer, admin_client: Client) -> None:
    page = admin_client.get("/admin/ingestion/source/")
    assert page.status_code == 200
    assert b"Redis does not answer" in page.content
    assert len(silent_redis.connections) == 1


def test_it_is_asked_again_after_a_while(silent_redis: SilentServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_client, "SILENCE_SECONDS", 0.0)
    for number in (1, 2):
        with pytest.raises(BufferUnavailable):
            embedding_queue.length()
        assert len(silent_redis.connections) == number


def test_workers_and_beat_wait_longer_and_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_client, "_patient", False)
    impatient = redis_client.connect.__wrapped__().connection_pool.connection_kwargs
    redis_client.be_patient()
    patient = redis_client.connect.__wrapped__().connection_pool.connection_kwargs
    redis_client.forget()
    assert patient["retry"]._retries > impatient["retry"]._retries == 0


@pytest.mark.parametrize(
    ("setting", "value", "mended", "words"),
    [("maxmemory", "1", "0", "maxmemory"), ("min-replicas-to-write", "1", "0", "NOREPLICAS")],
)
@pytest.mark.django_db
def test_a_redis_that_refuses_writes_is_the_trouble_in_its_own_words(
    clean_redis: redis.Redis, setting: str, value: str, mended: str, words: str
) -> None:
    heartbeat.note_job("dispatch")
    clean_redis.sadd("embedder:places", "gone/cpu")  # whom a status forgets, which is a write
    clean_redis.config_set(setting, value)
    try:
        (alert,) = alerts()
        now = status()
        with pytest.raises(BufferUnavailable, match=words):
            tasks.wake()
        heartbeat.note_job("dispatch")  # which nothing depends on
    finally:
        clean_redis.config_set(setting, mended)
    assert words in alert
    assert "Redis takes no writes" in alert
    assert now.alerts == (alert,)


def test_a_silent_milvus_ends_a_request_in_time(silent_milvus: SilentServer) -> None:
    with pytest.raises(VectorStoreUnavailable):
        VectorStore("any", 8, SECONDS).existing(["key"])


def test_one_question_finds_milvus_silent_and_the_others_are_told(clean_redis: redis.Redis) -> None:
    with pytest.raises(VectorStoreUnavailable), circuit_breaker.interactive():
        raise VectorStoreUnavailable("Milvus does not answer.")
    with pytest.raises(VectorStoreUnavailable, match="Milvus does not answer"), circuit_breaker.interactive():
        pytest.fail("a second question should not wait for Milvus")


def test_questions_do_not_prolong_the_pause_that_the_drain_keeps(
    clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    circuit_breaker.note_question("Milvus does not answer.")
    first = circuit_breaker.current()
    assert first is not None
    assert first.pauses()
    monkeypatch.setattr("ingestion.coordination.circuit_breaker.time", lambda: first.next_try + 1)
    circuit_breaker.note_question("again")
    now = circuit_breaker.current()
    assert now is not None
    assert now.failed_lately()
    assert not now.pauses()


def test_the_drain_is_sent_to_look_as_soon_as_the_pause_is_over(
    db: None, clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not drain_wanted()
    known = circuit_breaker.note("Milvus does not answer.")
    assert not drain_wanted()
    monkeypatch.setattr("ingestion.coordination.circuit_breaker.time", lambda: known.next_try + 1)
    assert drain_wanted()


def test_questions_are_asked_while_milvus_settles(clean_redis: redis.Redis) -> None:
    circuit_breaker.note("Milvus does not answer.")
    circuit_breaker.answered()
    with circuit_breaker.interactive():
        pass


def test_without_redis_a_question_asks_milvus_all_the_same(silent_redis: SilentServer) -> None:
    with circuit_breaker.interactive():
        pass


def test_a_status_tells_what_a_silent_milvus_did_not(
    silent_milvus: SilentServer, searched: Collection, clean_redis: redis.Redis
) -> None:
    index = status().index
    assert isinstance(index, Unavailable)
    assert "Milvus does not answer" in index.error
    opened = open_store.cache_info().misses
    open_store(searched.name, 8, SECONDS)
    assert open_store.cache_info().misses == opened  # it was asked with that time


@pytest.mark.django_db(transaction=True)
def test_readiness_names_what_is_silent(silent: SilentServer, settings: Settings, client: Client) -> None:
    settings.REDIS_URL, settings.MILVUS_URI = f"redis://127.0.0.1:{silent.port}/0", f"http://127.0.0.1:{silent.port}"
    open_store.cache_clear()
    response = client.get("/readyz")
    open_store.cache_clear()
    assert (response.status_code, response.json()["missing"]) == (503, ["redis", "milvus"])


def test_readiness_does_not_wait_for_a_database_that_hangs(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from search.api import health

    released = threading.Event()
    monkeypatch.setitem(health.PROBES, "database", released.wait)
    monkeypatch.setitem(health.PROBES, "redis", lambda: True)
    monkeypatch.setitem(health.PROBES, "milvus", lambda: True)
    monkeypatch.setitem(health.PROBES, health.MIGRATIONS, lambda: True)
    try:
        assert client.get("/readyz").json()["missing"] == ["database"]
    finally:
        released.set()
