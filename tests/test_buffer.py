"""The Redis list: nothing leaves it before its claim is confirmed."""

from __future__ import annotations

import numpy as np
import pytest
import redis
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from ingestion import broker, buffer
from ingestion.exceptions import BadRecord, BufferUnavailable
from ingestion.types import EmbeddedChunk, Vectors


def chunk(number: int, *, dense: np.ndarray | None = None) -> EmbeddedChunk:
    vector = np.full(settings.EMBED_DIMENSION, 0.05, np.float32) if dense is None else dense
    lexical = np.array([7, 9], np.uint32), np.array([0.5, 2.0], np.float32)
    return EmbeddedChunk(
        f"{number:032x}", number, 2, 3, "https://x/", "Title", "Head", 4, "text", Vectors(vector, *lexical)
    )


def test_a_record_comes_back_as_it_went_in() -> None:
    before, after = chunk(1), buffer.unpack(buffer.pack(chunk(1)))
    assert (after.key, after.url, after.text, after.position) == (before.key, before.url, before.text, before.position)
    np.testing.assert_allclose(after.vectors.dense, before.vectors.dense, atol=1e-3)
    assert after.vectors.indices.tolist() == [7, 9]
    assert after.vectors.weights.tolist() == [0.5, 2.0]


def test_a_record_of_bge_m3_size_stays_below_five_kilobytes(settings) -> None:  # type: ignore[no-untyped-def]
    settings.EMBED_DIMENSION = 1024
    many = Vectors(np.zeros(1024, np.float32), np.arange(120, dtype=np.uint32), np.ones(120, np.float32))
    record = EmbeddedChunk("k" * 32, 1, 2, 3, "https://x/", "Title", "Head", 4, "t" * 1500, many)
    assert len(buffer.pack(record)) < 5000


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(BadRecord, match="NaN"):
        buffer.pack(chunk(1, dense=np.full(settings.EMBED_DIMENSION, bad, np.float32)))


def test_a_vector_of_another_dimension_is_refused() -> None:
    with pytest.raises(BadRecord, match="dimensions"):
        buffer.unpack(buffer.pack(chunk(1, dense=np.ones(5, np.float32))))


@given(st.binary(max_size=400))
def test_any_bytes_are_either_a_record_or_a_bad_record(data: bytes) -> None:
    with pytest.raises(BadRecord):
        buffer.unpack(data)


def test_claims_are_made_in_order_and_vanish_when_confirmed(clean_redis: redis.Redis) -> None:
    buffer.push([chunk(n) for n in range(5)])
    name, records = buffer.claim(3) or ("", [])
    assert [buffer.unpack(r).chunk_id for r in records] == [0, 1, 2]
    buffer.confirm(name)
    rest = buffer.claim(10)
    assert rest is not None
    assert [buffer.unpack(r).chunk_id for r in rest[1]] == [3, 4]
    buffer.confirm(rest[0])
    assert buffer.claim(10) is None
    assert buffer.length() == 0


def test_an_unconfirmed_claim_is_handed_out_again_before_new_records(clean_redis: redis.Redis) -> None:
    buffer.push([chunk(1), chunk(2)])
    first = buffer.claim(2)
    buffer.push([chunk(3)])
    assert buffer.claim(2) == first
    assert buffer.length() == 3


def test_confirming_one_claim_leaves_another_alone(clean_redis: redis.Redis) -> None:
    buffer.push([chunk(1), chunk(2)])
    client = broker.connect()
    one, two = buffer.claim_new(client, 1), buffer.claim_new(client, 1)
    assert one is not None
    assert two is not None
    buffer.confirm(one[0])
    assert buffer.claim(1) == two


def test_an_unusable_record_is_kept_with_its_reason(clean_redis: redis.Redis) -> None:
    buffer.bury(b"garbage", "not a record")
    assert buffer.dead_length() == 1


def test_queue_length_counts_all_priorities(clean_redis: redis.Redis) -> None:
    from ragproject.celery import app

    with app.connection_for_write() as connection:
        for priority in (settings.PRIORITY_URGENT, settings.PRIORITY_NORMAL):
            app.send_task("ingestion.tasks.embed", queue="gpu", priority=priority, connection=connection)
    assert buffer.queue_length("gpu") == 2
    assert buffer.queue_length("cpu") == 0


def test_a_dead_redis_is_named_with_what_to_do(settings) -> None:  # type: ignore[no-untyped-def]
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    broker.connect.cache_clear()
    with pytest.raises(BufferUnavailable, match="Check that it runs"):
        buffer.length()
    broker.connect.cache_clear()
