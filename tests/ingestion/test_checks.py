"""Settings that cannot work are named before anything starts, and a Redis that would lose things too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings as project
from django.core.checks import run_checks

from ingestion.coordination import redis_client
from ingestion.fetching import ssrf_guard


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"EMBED_MODEL": "/nowhere", "MODEL_PATH": "/nowhere"}, "ingestion.E001"),
        ({"MODEL_PATH": "/nowhere"}, "ingestion.W001"),
        ({"PAGE_TIME_LIMIT_SECONDS": 4000}, "ingestion.E002"),
        ({"EMBED_DEVICE": "cpu", "EMBED_DTYPE": "float16"}, "ingestion.E003"),
        ({"EMBED_DEVICE": "cuda:0", "EMBED_DTYPE": "int8"}, "ingestion.E003"),
        ({"FETCH_PRIVATE_NETWORKS": ["10.1.2.3/16"]}, "ingestion.E004"),
        ({"REDIS_URL": f"unix:///{'x' * 120}/redis.sock?db=0"}, "ingestion.E006"),
        ({"MILVUS_URI": f"unix:/{'x' * 120}/milvus.sock"}, "ingestion.E006"),
    ],
)
def test_a_setting_that_cannot_work_is_named(changes: dict[str, Any], check: str, settings: Any) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    assert check in {message.id for message in run_checks()}


@pytest.mark.usefixtures("model_path")
def test_a_guard_that_lets_the_metadata_service_through_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssrf_guard, "METADATA_NETWORKS", ())
    monkeypatch.setattr(ssrf_guard, "_is_public", lambda ip: True)
    assert {message.id for message in run_checks()} == {"ingestion.E005"}


@pytest.mark.usefixtures("model_path")
@pytest.mark.parametrize("dtype", ["auto", "float32", "int8"])
def test_settings_that_work_raise_no_complaint(dtype: str, settings: Any) -> None:
    settings.EMBED_DEVICE, settings.EMBED_DTYPE = "cpu", dtype
    assert run_checks() == []


def test_no_time_out_of_redis_is_left_to_the_library() -> None:
    """redis-py 8 made 5 s its own default, under which longer waits for a message fail."""
    ours = redis_client.connect().connection_pool.connection_kwargs
    for options in (ours, project.CELERY_BROKER_TRANSPORT_OPTIONS):
        assert {"socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval"} <= set(options)


@pytest.fixture
def configured_redis(clean_redis: redis.Redis) -> Iterator[redis.Redis]:
    yield clean_redis
    clean_redis.config_set("maxmemory-policy", "noeviction")
    clean_redis.config_set("maxmemory", 0)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru", "allkeys-random", "volatile-ttl"])
def test_a_redis_that_throws_things_away_is_refused(configured_redis: redis.Redis, policy: str) -> None:
    assert redis_client.memory_fault() == ""
    configured_redis.config_set("maxmemory-policy", policy)
    assert f"maxmemory-policy {policy}" in redis_client.memory_fault()


def test_a_redis_that_vectors_alone_would_fill_is_refused(configured_redis: redis.Redis) -> None:
    configured_redis.config_set("maxmemory", 2 * project.EMBEDDINGS_MAX_BYTES)
    assert redis_client.memory_fault() == ""
    configured_redis.config_set("maxmemory", project.EMBEDDINGS_MAX_BYTES)
    assert "EMBEDDINGS_MAX_BYTES" in redis_client.memory_fault()
    configured_redis.config_set("maxmemory", 0)


@pytest.mark.e2e
def test_no_worker_starts_on_such_a_redis(configured_redis: redis.Redis) -> None:
    configured_redis.config_set("maxmemory-policy", "allkeys-lru")
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-q", "-A", "ragproject", "worker", "-c", "1"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "ragproject.settings"}
    done = subprocess.run(
        command, cwd=project.BASE_DIR, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "The worker does not start. Redis has maxmemory-policy allkeys-lru" in done.stderr
