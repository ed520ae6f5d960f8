"""What needs a person now, in sentences that say what to do: for `manage.py status` and above the admin's sources."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from ingestion.buffer import dead_letters
from ingestion.coordination import circuit_breaker, heartbeat, redis_client
from ingestion.exceptions import BufferUnavailable
from ingestion.models import Chunk, Run
from ingestion.pipeline.index.completeness import shortfall
from ingestion.pipeline.state.transitions import TO_EMBED
from ragproject.embedded.restarts import unstable_processes

# Beat's jobs by their periods' settings, and what stands still without them.
JOBS = {
    "dispatch": ("DISPATCH_SECONDS", "Nothing has looked for work", "beat and the CPU workers"),
    "drain": ("EMBEDDINGS_FLUSH_SECONDS", "Nothing has been written to Milvus", "beat and the index worker"),
}
# A job is late after three periods, but not because all workers are busy with a slow page each.
LATE_PERIODS, LATE_SECONDS = 3, 60.0


def troubles() -> list[str]:
    """The worst first; empty when all is well."""
    try:
        redis_client.require_writes()  # without them nothing else moves, and what follows would name the wrong process
        found = [
            *jobs_late(),
            *milvus_out(),
            *chunks_missing(),
            *embedders_missing(),
            *embedders_unwell(),
            *records_unusable(),
        ]
    except BufferUnavailable as error:
        found = [str(error)]
    return [*processes_unsteady(), *found]


def processes_unsteady() -> list[str]:
    """Processes of the embedded stack that end again and again; where another supervisor runs them, it knows."""
    return [str(each) for each in unstable_processes(settings.DATA_DIR)]


def jobs_late() -> Iterator[str]:
    """While nothing is under way it does not matter, and before the first start there is nothing to say."""
    ages = heartbeat.job_ages()
    for name, (period, what, who) in JOBS.items():
        age, bound = ages.get(name), max(LATE_PERIODS * getattr(settings, period), LATE_SECONDS)
        if age is not None and age > bound and under_way():
            yield f"{what} for {age:.0f} s: look whether {who} run and what they log."


def under_way() -> bool:
    return Run.objects.active().exists() or Chunk.objects.filter(state__in=(*Chunk.PENDING, *Chunk.LEAVING)).exists()


def milvus_out() -> Iterator[str]:
    if known := circuit_breaker.current():
        yield str(known)


def chunks_missing() -> Iterator[str]:
    if said := shortfall():
        yield said


def embedders_missing() -> Iterator[str]:
    waiting = Chunk.objects.filter(state__in=TO_EMBED).count()
    if waiting and not heartbeat.workers():
        yield f"{waiting} chunks wait, and no embedding worker answers: look whether one runs and what it logs."


def embedders_unwell() -> Iterator[str]:
    for worker in heartbeat.workers():
        if worker["state"] == "unhealthy":
            yield f"The embedder on {worker['host']}/{worker['device']}: {worker.get('reason', 'unhealthy')}"


def records_unusable() -> Iterator[str]:
    for reason, number in dead_letters.reasons().items():
        yield (
            f"{number} records could not be stored ({reason}). Their chunks are embedded again; "
            "`manage.py deadletters` shows the records, puts them back in line or forgets them."
        )
