"""Readiness of each kind of worker, by what passed through its queue."""

from __future__ import annotations

import time

import pytest
import redis
from django.test import Client
from pytest_django import Settings

from ingestion.coordination import heartbeat, redis_client

pytestmark = [pytest.mark.usefixtures("clean_redis")]


def asked(role: str) -> tuple[int, str]:
    response = Client().get(f"/readyz/{role}")
    return response.status_code, response.json().get("error", "")


@pytest.mark.parametrize(("role", "job"), [("beat", "dispatch"), ("cpu", "dispatch"), ("index", "drain")])
def test_a_role_is_ready_while_its_job_is_done(role: str, job: str, clean_redis: redis.Redis) -> None:
    assert asked(role) == (503, f"The job {job} was never done.")
    heartbeat.note_job(job)
    assert asked(role) == (200, "")
    clean_redis.hset(heartbeat.JOBS, job, time.time() - 1000)
    status, said = asked(role)
    assert status == 503 and "was not done for 100" in said


def test_one_embedder_that_is_well_is_enough() -> None:
    assert asked("gpu") == (503, "No embedding worker answers.")
    heartbeat.report_state("a/cuda:0", state="unhealthy")
    assert asked("gpu") == (503, "Every embedding worker's device fails.")
    heartbeat.report_state("a/cuda:1", state="idle")
    assert asked("gpu") == (200, "")


def test_without_redis_no_role_is_ready(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    redis_client.forget()
    found = [asked(role) for role in ("cpu", "gpu")]
    redis_client.forget()
    assert found == [(503, "Redis does not answer.")] * 2


def test_other_names_are_no_roles() -> None:
    assert Client().get("/readyz/nothing").status_code == 404
