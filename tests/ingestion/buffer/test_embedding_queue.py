"""The Redis list: nothing leaves it before its claim is confirmed; records; what is known of an outage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import redis
from django.conf import settings
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from ingestion.buffer import codec, dead_letters, embedding_queue
from ingestion.coordination import circuit_breaker, redis_client
from ingestion.coordination.celery_queues import queue_length
from ingestion.coordination.locks import hold
from ingestion.exceptions import BadRecord, BufferUnavailable, LeaseLost
from ingestion.types import EmbeddedChunk, Vectors


def chunk(number: int, *, dense: np.ndarray | None = None, text: str = "text") -> EmbeddedChunk:
    vector = np.full(settings.EMBED_DIMENSION, 0.05, np.float32) if dense is None else dense
    lexical = np.array([7, 9], np.uint32), np.array([0.5, 2.0], np.float32)
    return EmbeddedChunk(
        f"{number:032x}", number, 2, 3, "https://x/", "Title", "Head", 4, text, Vectors(vector, *lexical), "documents"
    )


def numbers(claimed: tuple[str, list[bytes]] | None) -> list[int]:
    return [codec.unpack(r).chunk_id for r in claimed[1]] if claimed else []


def test_a_record_comes_back_as_it_went_in() -> None:
    before, after = chunk(1), codec.unpack(codec.pack(chunk(1)))
    same = ("key", "chunk_id", "document_id", "source_id", "url", "title", "heading", "position", "text", "collection")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    np.testing.assert_allclose(after.vectors.dense, before.vectors.dense, atol=1e-3)
    assert after.vectors.indices.tolist() == [7, 9]
    assert after.vectors.weights.tolist() == [0.5, 2.0]


def test_a_text_with_half_a_character_is_packed_like_any_other() -> None:
    assert codec.unpack(codec.pack(chunk(1, text="a\ud800b"))).text == "a?b"


def test_a_record_of_bge_m3_size_stays_below_five_kilobytes(settings) -> None:  # type: ignore[no-untyped-def]
    settings.EMBED_DIMENSION = 1024
    many = Vectors(np.zeros(1024, np.float32), np.arange(120, dtype=np.uint32), np.ones(120, np.float32))
    record = EmbeddedChunk("k" * 32, 1, 2, 3, "https://x/", "Title", "Head", 4, "t" * 1500, many)
    assert len(codec.pack(record)) < 5000


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(BadRecord, match="NaN"):
        codec.check(chunk(1, dense=np.full(settings.EMBED_DIMENSION, bad, np.float32)))


def test_a_vector_of_another_dimension_is_refused_before_it_is_pushed() -> None:
    with pytest.raises(BadRecord, match="5 dimensions"):
        codec.check(chunk(1, dense=np.ones(5, np.float32)))


@given(st.binary(max_size=400))
def test_any_bytes_are_either_a_record_or_a_bad_record(data: bytes) -> None:
    with pytest.raises(BadRecord):
        codec.unpack(data)


RECORD = codec.pack(chunk(1))


@given(st.integers(0, len(RECORD) - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_record_is_a_chunk_or_a_bad_record_and_nothing_else(at: int, damage: bytes) -> None:
    try:
        found = codec.unpack(RECORD[:at] + damage + RECORD[at + len(damage) :])
    except BadRecord:
        return
    assert np.isfinite(found.vectors.dense).all()
    assert len(found.vectors.indices) == len(found.vectors.weights)


def test_claims_are_made_in_order_and_vanish_when_confirmed(clean_redis: redis.Redis) -> None:
    embedding_queue.push([chunk(n) for n in range(5)])
    first = embedding_queue.claim(3)
    assert first is not None
    assert numbers(first) == [0, 1, 2]
    embedding_queue.confirm(first[0])
    rest = embedding_queue.claim(10)
    assert rest is not None
    assert numbers(rest) == [3, 4]
    embedding_queue.confirm(rest[0])
    assert embedding_queue.claim(10) is None
    assert embedding_queue.length() == 0
    assert clean_redis.keys() == []


def test_an_unconfirmed_claim_is_handed_out_again_before_new_records(clean_redis: redis.Redis) -> None:
    embedding_queue.push([chunk(1), chunk(2)])
    first = embedding_queue.claim(2)
    embedding_queue.push([chunk(3)])
    assert embedding_queue.claim(2) == first
    assert embedding_queue.length() == 3


def test_claims_left_behind_come_in_the_order_in_which_they_were_made(clean_redis: redis.Redis) -> None:
    embedding_queue.push([chunk(n) for n in range(12)])
    made: list[str] = []
    for _ in range(12):
        claimed = embedding_queue.claim(1, besides=made)
        assert claimed is not None
        made.append(claimed[0])
    for n in range(12):
        left = embedding_queue.claim(1)
        assert left is not None
        assert numbers(left) == [n]
        embedding_queue.confirm(left[0])


def test_a_claim_in_hand_is_not_handed_out_a_second_time(clean_redis: redis.Redis) -> None:
    embedding_queue.push([chunk(1), chunk(2)])
    one = embedding_queue.claim(1)
    assert one is not None
    assert numbers(embedding_queue.claim(1, besides=[one[0]])) == [2]


def test_confirming_one_claim_leaves_another_alone(clean_redis: redis.Redis) -> None:
    embedding_queue.push([chunk(1), chunk(2)])
    one = embedding_queue.claim(1)
    assert one is not None
    two = embedding_queue.claim(1, besides=[one[0]])
    embedding_queue.confirm(one[0])
    assert numbers(two) == [2]
    assert embedding_queue.claim(1) == two


def test_a_claim_whose_answer_was_lost_on_the_way_can_be_made_again(clean_redis: redis.Redis) -> None:
    """redis-py sends a command again when the connection breaks before its answer."""
    embedding_queue.push([chunk(n) for n in range(4)])
    keys = (settings.EMBEDDINGS_KEY, embedding_queue.claims_key(), "claim")
    first = clean_redis.eval(embedding_queue.CLAIM, 3, *keys, 2, 10**6)
    again = clean_redis.eval(embedding_queue.CLAIM, 3, *keys, 2, 10**6)
    assert again == first
    assert clean_redis.llen(settings.EMBEDDINGS_KEY) == 2


def test_a_claim_is_bounded_in_bytes(clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_queue, "CLAIM_BYTES", 25_000)
    embedding_queue.push([chunk(n, text="x" * 10_000) for n in range(5)])
    assert numbers(embedding_queue.claim(5)) == [0, 1, 2]


@pytest.fixture
def full_redis(clean_redis: redis.Redis) -> Iterator[redis.Redis]:
    yield clean_redis
    clean_redis.config_set("maxmemory", 0)


def test_a_redis_without_memory_refuses_records_by_name_and_lets_a_drain_free_it(full_redis: redis.Redis) -> None:
    embedding_queue.push([chunk(n) for n in range(300)])
    full_redis.config_set("maxmemory", 1)
    with pytest.raises(BufferUnavailable, match="maxmemory"):
        embedding_queue.push([chunk(1)])
    claimed = embedding_queue.claim(200)
    assert claimed is not None
    embedding_queue.confirm(claimed[0])
    assert embedding_queue.length() == 100


def test_bytes_are_counted_record_by_record(clean_redis: redis.Redis) -> None:
    """The size of one record says little: the first and the last are small here, those between are not."""
    embedding_queue.push([chunk(0), *(chunk(n, text="x" * 40_000) for n in range(1, 30)), chunk(30)])
    stored = sum(map(len, clean_redis.lrange(settings.EMBEDDINGS_KEY, 0, -1)))
    assert stored < embedding_queue.size_bytes() < 1.3 * stored
    embedding_queue.claim(15)
    assert stored < embedding_queue.size_bytes() < 1.3 * stored


def test_a_full_list_stays_full_until_half_of_it_is_free(clean_redis: redis.Redis, settings: Any) -> None:
    settings.EMBEDDINGS_MAX_BYTES = 100_000
    for n in range(10):
        assert not embedding_queue.is_full()
        embedding_queue.push([chunk(n, text="x" * 10_000)])
    assert embedding_queue.is_full()
    for _ in range(3):
        claimed = embedding_queue.claim(1)
        assert claimed is not None
        embedding_queue.confirm(claimed[0])
    assert embedding_queue.size_bytes() < 100_000
    assert embedding_queue.is_full()
    for _ in range(3):
        claimed = embedding_queue.claim(1)
        assert claimed is not None
        embedding_queue.confirm(claimed[0])
    assert not embedding_queue.is_full()


def test_an_unusable_record_is_kept_once_with_its_reason(clean_redis: redis.Redis) -> None:
    for _ in range(2):
        dead_letters.bury(b"garbage", "not a record")
    dead_letters.bury(RECORD, "too old")
    letters = dead_letters.buried()
    assert [(letter.reason, letter.key, letter.size) for letter in letters] == [
        ("not a record", "", 7),
        ("too old", f"{1:032x}", len(RECORD)),
    ]
    assert dead_letters.reasons() == {"not a record": 1, "too old": 1}


def test_no_more_than_a_bounded_number_of_unusable_records_is_kept(
    clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "KEPT", 3)
    for n in range(5):
        dead_letters.bury(b"garbage %d" % n, f"reason {n}")
    assert list(dead_letters.reasons()) == ["reason 2", "reason 3", "reason 4"]


def test_unusable_records_are_shown_put_back_in_line_or_forgotten(clean_redis: redis.Redis, capsys: Any) -> None:
    dead_letters.bury(RECORD, "too old")
    call_command("deadletters")
    assert "too old" in capsys.readouterr().out
    call_command("deadletters", "--requeue")
    assert numbers(embedding_queue.claim(5)) == [1]
    assert dead_letters.count() == 0
    dead_letters.bury(b"garbage", "not a record")
    call_command("deadletters", "--drop", "--json")
    assert '{"dropped": 1}' in capsys.readouterr().out
    assert dead_letters.count() == 0


def test_each_failure_makes_the_pause_longer_until_milvus_answers(
    clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr("ingestion.coordination.circuit_breaker.time", lambda: now)
    pauses = []
    for _ in range(8):
        known = circuit_breaker.note("Milvus does not answer")
        assert known.pauses()
        pauses.append(known.pause)
        now += known.pause
        assert not known.pauses()
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    assert str(circuit_breaker.current()) == (
        "Milvus does not answer (Since 2027-01-15 08:00:00 UTC; next try at 2027-01-15 08:04:02 UTC.)"
    )
    circuit_breaker.over()
    assert circuit_breaker.current() is None


def test_after_an_outage_milvus_is_left_alone_once_more(
    clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr("ingestion.coordination.circuit_breaker.time", lambda: now)
    assert circuit_breaker.answered() is None
    for _ in range(4):
        circuit_breaker.note("Milvus does not answer")
    settles = circuit_breaker.answered()
    assert settles == circuit_breaker.current()
    assert settles is not None
    assert (settles.since, settles.next_try - now) == (now, circuit_breaker.SETTLE_SECONDS)
    assert circuit_breaker.note("Milvus does not answer").pause == 2 * circuit_breaker.FIRST_PAUSE_SECONDS
    assert circuit_breaker.answered() is not None
    assert circuit_breaker.answered() is None
    assert circuit_breaker.current() is None


def test_an_outage_noted_by_a_clock_that_was_wrong_holds_nobody_up(
    clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = circuit_breaker.note("Milvus does not answer")
    monkeypatch.setattr("ingestion.coordination.circuit_breaker.time", lambda: known.since - 86_400)
    assert not known.pauses()


def test_a_lease_is_held_by_one_and_given_back(clean_redis: redis.Redis) -> None:
    with hold("drain", seconds=30) as mine, hold("drain", seconds=30) as other:
        assert mine is not None
        assert other is None
    with hold("drain", seconds=30) as mine:
        assert mine is not None


def test_a_lease_that_ran_out_is_noticed_and_the_next_holder_left_alone(clean_redis: redis.Redis) -> None:
    with hold("drain", seconds=30) as mine:
        assert mine is not None
        clean_redis.delete(f"{settings.EMBEDDINGS_KEY}:lock:drain")  # as its life time would
        with hold("drain", seconds=30) as other:
            assert other is not None
            with pytest.raises(LeaseLost):
                mine.renew()
            other.renew()


def test_renewing_gives_a_lease_its_full_time_again(clean_redis: redis.Redis) -> None:
    with hold("drain", seconds=30) as mine:
        assert mine is not None
        clean_redis.pexpire(f"{settings.EMBEDDINGS_KEY}:lock:drain", 1000)
        mine.renew()
        assert clean_redis.pttl(f"{settings.EMBEDDINGS_KEY}:lock:drain") > 25_000


def test_queue_length_counts_all_priorities(clean_redis: redis.Redis) -> None:
    from ragproject.celery import app

    with app.connection_for_write() as connection:
        for priority in (settings.PRIORITY_URGENT, settings.PRIORITY_NORMAL):
            app.send_task("ingestion.tasks.embed", queue="gpu", priority=priority, connection=connection)
    assert queue_length("gpu") == 2
    assert queue_length("cpu") == 0


def test_a_dead_redis_is_named_with_what_to_do(settings) -> None:  # type: ignore[no-untyped-def]
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    redis_client.forget()
    with pytest.raises(BufferUnavailable, match="Check that it runs"):
        embedding_queue.length()
    redis_client.forget()


def test_every_time_out_of_the_client_is_explicit_and_nothing_waits_for_long(
    clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions of redis-py differ in their defaults, and a hung Redis must not hang us."""
    monkeypatch.setattr(redis_client, "_patient", False)
    redis_client.be_patient()
    options = redis_client.connect().connection_pool.connection_kwargs
    assert options["socket_timeout"] == 10
    assert options["socket_connect_timeout"] == 5
    assert options["socket_keepalive"] is True
    assert options["health_check_interval"] == 15
    assert options["retry"]._retries == 3
