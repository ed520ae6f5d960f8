"""What needs a person: jobs that are late, services that are out, records that cannot be stored."""

from __future__ import annotations

import json
import time

import pytest
import redis
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from ingestion import tasks
from ingestion.buffer import dead_letters
from ingestion.coordination import circuit_breaker, heartbeat, redis_client
from ingestion.management.commands.status import lines
from ingestion.models import Chunk
from ingestion.pipeline.report.alerts import alerts
from ingestion.pipeline.report.status import status
from ingestion.pipeline.state.runs import start_run
from ragproject.embedded import preflight
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = pytest.mark.django_db


def test_nothing_is_said_when_all_is_well(clean_redis: redis.Redis) -> None:
    start_run(make_source())
    heartbeat.note_job("dispatch")
    heartbeat.note_job("drain")
    assert alerts() == []


def test_beats_jobs_note_when_they_were_done(clean_redis: redis.Redis, milvus_server: str) -> None:
    assert heartbeat.job_ages() == {}
    tasks.dispatch()
    tasks.drain()
    ages = heartbeat.job_ages()
    assert set(ages) == {"dispatch", "drain"}
    assert all(0 <= age < 30 for age in ages.values())
    assert any(line.startswith("job        drain: ") for line in lines(status()))


@pytest.mark.parametrize(("job", "who"), [("dispatch", "beat and the CPU workers"), ("drain", "the index worker")])
def test_a_job_that_stands_still_while_work_waits_is_named(
    clean_redis: redis.Redis,
    settings: Settings,
    job: str,
    who: str,
) -> None:
    settings.EMBEDDINGS_FLUSH_SECONDS = settings.DISPATCH_SECONDS = 30
    clean_redis.hset(heartbeat.JOBS, job, time.time() - 80)
    assert alerts() == []  # nothing is under way
    run = start_run(make_source())
    assert alerts() == []  # late, but not by three periods
    clean_redis.hset(heartbeat.JOBS, job, time.time() - 100)
    (said,) = alerts()
    assert who in said
    assert [
        line for line in lines(status()) if line.startswith("trouble    ") and who in line
    ]  # a second later, perhaps
    run.delete()
    assert alerts() == []


def test_chunks_without_an_embedder_are_named(clean_redis: redis.Redis) -> None:
    make_chunk(make_document(make_source()), 0, state=Chunk.State.WAITING)
    assert "1 chunks wait, and no embedding worker answers" in alerts()[0]
    heartbeat.report_state("here/cuda:0", state="idle")
    assert alerts() == []
    heartbeat.report_state("here/cuda:0", state="unhealthy", reason="Fell off the bus.")
    assert alerts() == ["The embedder on here/cuda:0: Fell off the bus."]


def test_an_outage_and_unusable_records_are_named_to_staff(clean_redis: redis.Redis, admin_client: Client) -> None:
    circuit_breaker.note("Milvus does not answer.")
    dead_letters.bury(b"nonsense", "384 dimensions")
    page = admin_client.get("/admin/ingestion/source/").content.decode()
    assert "Milvus does not answer. (Since" in page
    assert "1 records could not be stored (384 dimensions)" in page


def test_without_redis_that_is_the_alert(settings) -> None:  # type: ignore[no-untyped-def]
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    from ingestion.coordination import redis_client

    redis_client.forget()
    try:
        (said,) = alerts()
    finally:
        redis_client.forget()
    assert "Redis" in said


def test_a_worker_whose_device_is_taken_is_told_until_it_comes_no_more(
    clean_redis: redis.Redis, admin_client: Client
) -> None:
    heartbeat.note_turned_away("box/cpu", "box/cpu is in use by another embedding worker.")
    assert alerts() == ["box/cpu is in use by another embedding worker."]
    assert b"in use by another embedding worker" in admin_client.get(reverse("admin:ingestion_live")).content
    note = json.dumps([time.time() - heartbeat.TURNED_AWAY_SECONDS - 1, "long ago"])
    clean_redis.hset(heartbeat.TURNED_AWAY, "box/cpu", note)
    assert alerts() == []
    assert 0 < clean_redis.ttl(heartbeat.TURNED_AWAY) <= heartbeat.TURNED_AWAY_SECONDS


@pytest.mark.parametrize("redis_answers", [True, False])
def test_tables_of_an_older_version_are_told(
    redis_answers: bool, clean_redis: redis.Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "_tables_are_current", False)
    monkeypatch.setattr(preflight, "migrations_missing", lambda: 1)
    if not redis_answers:
        settings.REDIS_URL = "redis://127.0.0.1:9/0"
        redis_client.forget()
    told = alerts()
    redis_client.forget()
    assert preflight.OLD_TABLES in told
    assert any("Redis does not answer" in alert for alert in told) is not redis_answers
