"""The state of everything, and what all processes measured, as Prometheus' metrics.

In: ``status``, and the sums that ``measurements`` keeps in Redis. Out: the text of `/metrics`. Everything is read from
the rows and from Redis when it is asked for, at most once in CACHED_SECONDS, so that every process says the same. What
a service that does not answer would tell is left out, and ``ragproject_service_up`` says so.
"""

from __future__ import annotations

import threading
import time
from collections import Counter as Counts
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import Error, connection
from django.db.models import Min
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ingestion.coordination import measurements
from ingestion.coordination.heartbeat import EmbeddingWorker
from ingestion.coordination.measurements import SUM, Histogram
from ingestion.exceptions import BufferUnavailable
from ingestion.models import Chunk, Collection, Document, Run
from ingestion.pipeline.report.alerts import JOBS, late_after
from ingestion.pipeline.report.status import Status, Unavailable, status

# Several Prometheus servers, and people who look, cost no more than one: with 100 000 documents on two busy cores 0.4 s
# on SQLite and 0.6 s on PostgreSQL.
CACHED_SECONDS = 5.0
ANSWERS = "Whether a service answers."
AUDIT_FINDINGS = ("missing", "orphan", "duplicate", "stale", "repaired")
EMBEDDER_GAUGES = {
    "tokens_per_second": ("tokens_per_second", "Tokens a second of the last minute."),
    "busy": ("busy_ratio", "Share of the last minute's work in which the device computed."),
    "padding": ("padding_ratio", "Share of what was computed that no text asked for."),
    "peak_bytes": ("memory_peak_bytes", "Most memory that the device's process has used."),
}


@dataclass(frozen=True, slots=True)
class Exposition:
    """What a scrape is given, and its media type."""

    body: bytes
    content_type: str


class State(Collector):
    """The collector of prometheus-client that reads everything anew."""

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics.

        While the database does not answer, yield only that it does not, and what the processes measured.
        """
        try:
            now = status()
            yield from [*rows(now), *oldest(), *services(now), *jobs(now), *embedders(now), *index(now)]
        except Error:
            yield gauge("service_up", ANSWERS, {"database": 0.0}, "service")
        yield from measured()


_lock = threading.Lock()
_kept: dict[str, tuple[float, Exposition]] = {}
_registry = CollectorRegistry(auto_describe=False)


def exposition(accept: str) -> Exposition:
    """Return the metrics in the format that the ``Accept`` header asks for; they are kept for CACHED_SECONDS."""
    encode, content_type = choose_encoder(accept)
    with _lock:
        at, kept = _kept.get(content_type, (0.0, None))
        if kept is None or time.monotonic() - at > CACHED_SECONDS:
            try:
                kept = Exposition(encode(_registry), content_type)
            finally:
                connection.close()  # of a thread that may never ask again
            _kept[content_type] = time.monotonic(), kept
        return kept


def gauge(name: str, meaning: str, values: Mapping[str, float], label: str) -> GaugeMetricFamily:
    """Return a gauge with one label."""
    family = GaugeMetricFamily(f"ragproject_{name}", meaning, labels=[label])
    for value_of_label, value in values.items():
        family.add_metric([value_of_label], value)
    return family


def single(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    """Return a gauge without labels."""
    return GaugeMetricFamily(f"ragproject_{name}", meaning, value=value)


def rows(now: Status) -> Iterator[Metric]:
    """Yield the metrics of documents, chunks, runs and alerts."""
    states = [state.value for state in Document.State]
    yield gauge("documents", "Documents by state.", dict.fromkeys(states, 0) | now.documents, "state")
    states = [state.value for state in Chunk.State]
    yield gauge("chunks", "Chunks by state.", dict.fromkeys(states, 0) | now.chunks, "state")
    yield single("embed_backlog_chunks", "Chunks that wait for an embedder or are with one.", now.depths.gpu.chunks)
    yield single("embed_backlog_tokens", "Tokens of the chunks that wait for an embedder.", now.tokens_waiting)
    runs = Counts(Run.objects.active().values_list("state", flat=True))
    yield gauge("runs", "Runs that have not ended.", dict.fromkeys(map(str, Run.ACTIVE), 0) | dict(runs), "state")
    yield single("alerts", "Sentences that `manage.py status` shows under troubles.", len(now.alerts))


def oldest() -> Iterator[Metric]:
    """Yield since when the oldest work waits before each kind of worker; 0 when none does."""
    waiting = Chunk.objects.filter(state=Chunk.State.WAITING).order_by("attempts", "id")
    buffered = Chunk.objects.filter(state=Chunk.State.BUFFERED).order_by()
    since = {
        "cpu": Document.objects.due().order_by().aggregate(at=Min("updated_at"))["at"],
        "gpu": waiting.values_list("document__updated_at", flat=True).first(),
        "index": buffered.aggregate(at=Min("buffered_at"))["at"],
    }
    meaning = "Age of the oldest work that waits for each kind of worker."
    yield gauge("oldest_waiting_seconds", meaning, {queue: age(at) for queue, at in since.items()}, "queue")


def age(at: datetime | None) -> float:
    """Return the seconds since a time; 0 for none, and for one that lies ahead."""
    return max(0.0, (timezone.now() - at).total_seconds()) if at else 0.0


def services(now: Status) -> Iterator[Metric]:
    """Yield which services answer, and what waits in Redis."""
    up = {"redis": now.buffer, "milvus": now.index}
    answers = {name: float(not isinstance(said, Unavailable)) for name, said in up.items()}
    yield gauge("service_up", ANSWERS, {"database": 1.0, **answers}, "service")
    if not isinstance(now.queues, Unavailable):
        yield gauge("queue_messages", "Messages in Celery's queues.", now.queues, "queue")
    if not isinstance(now.buffer, Unavailable):
        yield single("buffer_records", "Records between the embedder and Milvus.", now.buffer.records)
        yield single("buffer_bytes", "What the records take in Redis.", now.buffer.bytes)
        yield single("buffer_limit_bytes", "Size at which embedding pauses.", now.depths.milvus.bound)
        yield single("dead_letters", "Records that cannot be stored.", now.buffer.unusable)


def jobs(now: Status) -> Iterator[Metric]:
    """Yield when each of Beat's jobs was done last, and from when on it is late."""
    yield gauge(
        "task_late_seconds", "Age at which one of Beat's jobs is late.", {j: late_after(j) for j in JOBS}, "task"
    )
    if not isinstance(now.jobs, Unavailable):
        yield gauge("task_age_seconds", "Time since each of Beat's jobs was done.", now.jobs, "task")


def embedders(now: Status) -> Iterator[Metric]:
    """Yield the metrics that the embedding workers report about themselves."""
    if isinstance(now.embedders, Unavailable):
        return
    workers: dict[str, EmbeddingWorker] = now.embedders
    yield single("embedders", "Embedding workers that live.", len(workers))
    unhealthy = {worker: float(said.state == "unhealthy") for worker, said in workers.items()}
    yield gauge("embedder_unhealthy", "Whether the device failed again and again.", unhealthy, "worker")
    for field, (name, meaning) in EMBEDDER_GAUGES.items():
        said = {worker: value for worker, facts in workers.items() if (value := getattr(facts, field)) is not None}
        yield gauge(f"embedder_{name}", meaning, said, "worker")


def index(now: Status) -> Iterator[Metric]:
    """Yield the index and what its last audit found."""
    if now.index and not isinstance(now.index, Unavailable):
        yield single("index_rows", "Rows of the collection that is searched.", now.index.rows)
    if now.building:
        yield single("index_build_ratio", "How far the collection is that is being filled.", now.building.percent / 100)
    if now.audit and now.audit.at:
        said = {kind: getattr(now.audit, kind) for kind in AUDIT_FINDINGS}
        found = {kind: number for kind, number in said.items() if number is not None}
        yield gauge("audit_findings", "What the last audit found.", found, "kind")
    if row := Collection.objects.written():
        at = datetime.fromisoformat(now.audit.at) if now.audit and now.audit.at else row.created_at
        yield single("audit_age_seconds", "Time since the last audit, or since there is an index.", age(at))
        yield single("audit_interval_seconds", "How often an audit is due (AUDIT_SECONDS).", settings.AUDIT_SECONDS)


def measured() -> Iterator[Metric]:
    """Yield the histograms and counters of all processes; none without Redis."""
    try:
        sums = measurements.sums()
    except BufferUnavailable:
        return
    for counter in measurements.COUNTERS:
        total = CounterMetricFamily(counter.name, counter.meaning, labels=counter.labels)
        for labels, parts in sums.get(counter.name, {(): {}} if not counter.labels else {}).items():
            total.add_metric(labels, parts.get(SUM, 0.0))
        yield total
    for histogram in measurements.HISTOGRAMS:
        yield distribution(histogram, sums.get(histogram.name, {}))


def distribution(
    histogram: Histogram, series: Mapping[tuple[str, ...], Mapping[int | str, float]]
) -> HistogramMetricFamily:
    """Return a histogram with cumulative buckets, as Prometheus wants them."""
    family = HistogramMetricFamily(histogram.name, histogram.meaning, labels=histogram.labels)
    for labels, parts in series.items():
        count, buckets = 0.0, []
        for number, bound in enumerate((*histogram.bounds, float("inf"))):
            count += parts.get(number, 0.0)
            buckets.append(("+Inf" if bound == float("inf") else str(bound), count))
        family.add_metric(labels, buckets, sum_value=parts.get(SUM, 0.0))
    return family


_registry.register(State())
