"""`/metrics`: figures from rows and Redis, sums over processes, and who may read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pymilvus import MilvusClient
from pytest_django import Settings

from ingestion import views
from ingestion.coordination import heartbeat, measurements
from ingestion.coordination.measurements import EMBEDDED_TOKENS, FETCH, QUESTION_STAGE
from ingestion.exceptions import FetchFailed
from ingestion.models import Chunk, Collection, Document
from ingestion.pipeline.report import metrics
from ingestion.pipeline.report.status import Status, status
from ingestion.vector_store.store import open_store
from search.timings import Timings
from tests.conftest import wait_until
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    metrics._kept.clear()
    measurements._begin_anew()
    yield
    measurements._begin_anew()


def scraped() -> Samples:
    families = text_string_to_metric_families(metrics.exposition("").body.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(name: str, **labels: str) -> float:
    return scraped()[(f"ragproject_{name}", frozenset(labels.items()))]


def test_states_backlog_and_ages_come_from_the_rows() -> None:
    source = make_source()
    make_document(source, "file:///a")
    document = make_document(source, "file:///b", state=Document.State.EMBEDDING)
    Document.objects.update(updated_at=timezone.now() - timedelta(seconds=90))
    for position, state in enumerate((Chunk.State.WAITING, Chunk.State.EMBEDDING, Chunk.State.INDEXED)):
        make_chunk(document, position, state=state)
    found = scraped()

    def of(name: str, **labels: str) -> float:
        return found[(f"ragproject_{name}", frozenset(labels.items()))]

    assert of("documents", state="waiting") == of("documents", state="embedding") == 1
    assert of("documents", state="failed") == 0
    assert of("chunks", state="indexed") == 1
    assert of("embed_backlog_chunks") == 2
    assert of("oldest_waiting_seconds", queue="cpu") >= 90
    assert of("oldest_waiting_seconds", queue="gpu") >= 90
    assert of("oldest_waiting_seconds", queue="index") == 0


def test_jobs_embedders_and_the_audit_are_told() -> None:
    heartbeat.note_job("drain")
    heartbeat.report_state("host/cuda:0", state="unhealthy", reason="it failed", peak_bytes=7)
    Collection.objects.create(
        name="c", model="m", pooling="cls", dimension=4, active=True,
        audit={"missing": 3, "orphan": 0, "at": (timezone.now() - timedelta(hours=1)).isoformat()},
    )  # fmt: skip
    assert value("task_age_seconds", task="drain") < 60
    found = scraped()
    assert found[("ragproject_embedder_unhealthy", frozenset({("worker", "host/cuda:0")}))] == 1
    assert found[("ragproject_embedder_memory_peak_bytes", frozenset({("worker", "host/cuda:0")}))] == 7
    assert found[("ragproject_audit_findings", frozenset({("kind", "missing")}))] == 3
    assert found[("ragproject_audit_age_seconds", frozenset())] >= 3600


def test_rules_and_dashboard_name_metrics_that_there_are(settings: Settings, clean_milvus: MilvusClient) -> None:
    audited = {"missing": 0, "at": timezone.now().isoformat()}
    row = Collection.objects.create(name="c", model="m", pooling="cls", dimension=4, active=True, audit=audited)
    open_store(row.name, row.dimension).ensure()
    heartbeat.note_job("drain")
    told = {family.name for family in text_string_to_metric_families(metrics.exposition("").body.decode())}
    folder = settings.BASE_DIR / "docker" / "observability"
    text = (folder / "rules.yml").read_text() + (folder / "dashboard.json").read_text()
    named = {name.group() for name in re.finditer(r"ragproject_[a-z_]+", text)}
    unknown = {
        name for name in named if re.sub("_(bucket|count|sum|total)$", "", name) not in told and name not in told
    }
    assert len(named) > 20 and not unknown


def test_durations_of_all_processes_add_up_and_only_grow() -> None:
    for _ in range(2):  # two processes, one after the other
        EMBEDDED_TOKENS.add(100)
        QUESTION_STAGE.observe(0.012, "search")
        measurements.flush()
        measurements._begin_anew()
    assert value("embedded_tokens_total") == 200
    assert value("question_stage_seconds_count", stage="search") == 2
    assert value("question_stage_seconds_sum", stage="search") == pytest.approx(0.024)
    assert value("question_stage_seconds_bucket", stage="search", le="0.01") == 0
    assert value("question_stage_seconds_bucket", stage="search", le="0.015") == 2
    assert value("question_stage_seconds_bucket", stage="search", le="+Inf") == 2


def test_a_forked_child_counts_its_own_observations_only() -> None:
    EMBEDDED_TOKENS.add(1)
    child = os.fork()
    if not child:
        EMBEDDED_TOKENS.add(10)
        measurements.flush()
        os._exit(0)
    os.waitpid(child, 0)
    measurements.flush()
    assert value("embedded_tokens_total") == 11


def test_what_redis_does_not_take_is_written_later(clean_redis: redis.Redis) -> None:
    clean_redis.config_set("min-replicas-to-write", 1)
    try:
        EMBEDDED_TOKENS.add(5)
        measurements.flush()
    finally:
        clean_redis.config_set("min-replicas-to-write", 0)
    measurements.flush()
    assert value("embedded_tokens_total") == 5


def test_an_observation_is_written_without_another_one_after_it(
    clean_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "FLUSH_SECONDS", 0.01)
    EMBEDDED_TOKENS.add(5)
    wait_until(lambda: clean_redis.hlen(measurements.redis_key()) == 1)


def test_a_stage_of_a_question_is_counted() -> None:
    with Timings().stage("parse"):
        pass
    measurements.flush()
    assert value("question_stage_seconds_count", stage="parse") == 1


def test_a_request_that_fails_is_told_apart() -> None:
    with pytest.raises(FetchFailed), FETCH.timed("web"):
        raise FetchFailed("refused")
    measurements.flush()
    assert value("fetch_seconds_count", host_class="web", outcome="failed") == 1


def test_without_redis_the_rows_are_told(settings: Settings) -> None:
    from ingestion.coordination import redis_client

    make_document(make_source())
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    redis_client.forget()
    found = scraped()
    redis_client.forget()
    assert found[("ragproject_service_up", frozenset({("service", "redis")}))] == 0
    assert found[("ragproject_documents", frozenset({("state", "waiting")}))] == 1
    assert ("ragproject_buffer_bytes", frozenset()) not in found


def test_without_a_database_it_is_told_and_so_is_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    EMBEDDED_TOKENS.add(7)
    measurements.flush()

    def gone() -> Status:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(metrics, "status", gone)
    found = scraped()
    assert found[("ragproject_service_up", frozenset({("service", "database")}))] == 0
    assert found[("ragproject_embedded_tokens_total", frozenset())] == 7
    assert ("ragproject_documents", frozenset({("state", "waiting")})) not in found


def test_an_index_that_was_never_audited_has_an_age_too(settings: Settings) -> None:
    settings.AUDIT_SECONDS = 7 * 86_400
    Collection.objects.create(name="c", model="m", pooling="cls", dimension=4, active=True)
    Collection.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert value("audit_age_seconds") >= 2 * 86_400
    assert value("audit_interval_seconds") == 7 * 86_400


def test_a_job_is_late_after_three_of_its_own_periods(settings: Settings) -> None:
    settings.EMBEDDINGS_FLUSH_SECONDS = 300
    assert value("task_late_seconds", task="drain") == 900
    assert value("task_late_seconds", task="dispatch") == 60


# Series for half a day, the alerts that they raise then, and those that they do not.
ALERTS: list[tuple[dict[str, float], set[str], set[str]]] = [
    ({'task_age_seconds{task="drain"}': 300, 'task_late_seconds{task="drain"}': 180}, {"DrainStopped"}, set()),
    ({'task_age_seconds{task="drain"}': 300, 'task_late_seconds{task="drain"}': 900}, set(), {"DrainStopped"}),
    ({'task_age_seconds{task="dispatch"}': 130, 'task_late_seconds{task="dispatch"}': 60}, {"SchedulerStopped"}, set()),
    ({'service_up{service="redis"}': 1}, {"JobNeverDone", "Absent"}, {"ServiceDown"}),
    ({'service_up{service="redis"}': 0}, {"ServiceDown"}, {"JobNeverDone"}),
    ({'service_up{service="database"}': 0}, {"ServiceDown"}, {"JobNeverDone"}),
    (
        {
            'service_up{service="redis"}': 1,
            **{f'task_age_seconds{{task="{job}"}}': 1 for job in ("dispatch", "drain")},
            'documents{state="waiting"}': 0,
        },
        set(),
        {"JobNeverDone", "Absent"},
    ),
    ({"audit_age_seconds": 4 * 86_400, "audit_interval_seconds": 86_400}, {"AuditOverdue"}, set()),
    ({"audit_age_seconds": 4 * 86_400, "audit_interval_seconds": 7 * 86_400}, set(), {"AuditOverdue"}),
    ({"embed_backlog_chunks": 5, "embedders": 0}, {"NoEmbedder"}, {"EmbeddingStuck"}),
    ({"embed_backlog_chunks": 5, "embedders": 1, "embedded_chunks_total": 9}, {"EmbeddingStuck"}, {"NoEmbedder"}),
    ({'oldest_waiting_seconds{queue="cpu"}': 1000}, {"FetchingStuck"}, {"IndexingStuck"}),
    ({'oldest_waiting_seconds{queue="cpu"}': 1000, "embed_backlog_chunks": 20_000}, set(), {"FetchingStuck"}),
    ({'oldest_waiting_seconds{queue="index"}': 1000}, {"IndexingStuck"}, {"FetchingStuck"}),
    ({"buffer_bytes": 95, "buffer_limit_bytes": 100}, {"BufferFull"}, set()),
    ({"dead_letters": 1, "alerts": 2}, {"DeadLetters", "Troubles"}, set()),
    ({'embedder_unhealthy{worker="host/cuda:0"}': 1}, {"DeviceFailing"}, set()),
]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool asks the rules")
def test_each_rule_fires_on_what_it_is_for_and_on_nothing_else(tmp_path: Path, settings: Settings) -> None:
    rules = settings.BASE_DIR / "docker" / "observability" / "rules.yml"
    cases = [
        {
            "interval": "1m",
            "input_series": [
                {"series": f"ragproject_{name}", "values": f"{number:g}x720"} for name, number in series.items()
            ],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="Ragproject{alert}",alertstate="firing"}}) > bool 0',
                    "eval_time": "11h",
                    "exp_samples": [{"labels": "{}", "value": 1}] if alert in fire else [],
                }
                for alert in sorted(fire | rest)
            ],
        }
        for series, fire, rest in ALERTS
    ]
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": cases}))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_for_some_seconds_the_same_figures_are_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Status] = []

    def noted() -> Status:
        asked.append(status())
        return asked[-1]

    monkeypatch.setattr(metrics, "status", noted)
    assert metrics.exposition("") == metrics.exposition("")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("token", "headers", "allowed"),
    [
        ("", {}, 200),
        ("", {"REMOTE_ADDR": "192.0.2.7"}, 403),
        ("", {"HTTP_X_FORWARDED_FOR": "192.0.2.7"}, 403),
        ("secret", {}, 403),
        ("secret", {"HTTP_AUTHORIZATION": "Bearer wrong", "REMOTE_ADDR": "192.0.2.7"}, 403),
        ("secret", {"HTTP_AUTHORIZATION": "Bearer secret", "REMOTE_ADDR": "192.0.2.7"}, 200),
    ],
)
def test_metrics_are_for_this_machine_or_for_the_token(
    token: str, headers: dict[str, Any], allowed: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.METRICS_TOKEN = token
    monkeypatch.setattr(views, "exposition", lambda accept: metrics.Exposition(b"up 1\n", "text/plain"))
    response = Client().get("/metrics", **headers)
    assert response.status_code == allowed
    assert (response.content == b"up 1\n") is (allowed == 200)


def test_a_service_that_hangs_does_not_hang_the_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(views, "SCRAPE_SECONDS", 0.05)
    monkeypatch.setattr(views, "_scraper", views.Scraper())
    monkeypatch.setattr(views, "exposition", lambda accept: hangs.wait(60))
    try:
        assert [Client().get("/metrics").status_code for _ in range(3)] == [503] * 3
        assert len(views._scraper.running) == 1
    finally:
        hangs.set()
        views._scraper.thread.shutdown()
