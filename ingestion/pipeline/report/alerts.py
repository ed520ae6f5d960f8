"""What needs a person now, in sentences that say what to do: for `manage.py status` and above the admin's sources."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count

from ingestion.buffer import dead_letters
from ingestion.coordination import circuit_breaker, heartbeat, redis_client
from ingestion.exceptions import BufferUnavailable
from ingestion.models import Chunk, Run
from ingestion.pipeline.describe.describe_waiting import pause_reason
from ingestion.pipeline.index.completeness import shortfall
from ingestion.pipeline.state.transitions import TO_EMBED
from ragproject.embedded.preflight import OLD_TABLES, tables_are_current
from ragproject.embedded.restarts import unstable_processes

# Beat's jobs: the setting of their period, what stands still without them, and which processes do them.
JOBS = {
    "dispatch": ("DISPATCH_SECONDS", "Nothing has looked for work", "beat and the CPU workers"),
    "drain": ("EMBEDDINGS_FLUSH_SECONDS", "Nothing has been written to Milvus", "beat and the index worker"),
}
# A job is late after three periods, but not while all workers may be busy with a slow page each.
LATE_PERIODS, LATE_SECONDS = 3, 60.0
# Redis, Milvus Lite and SQLite write in pieces of up to some MB; below this one of them fails soon.
LEAST_FREE_BYTES = 32 * 2**20


def alerts() -> list[str]:
    """Return what needs a person now, the worst first; empty when all is well."""
    # Of the embedded stack only: another supervisor knows which of its processes end again and again.
    unstable = [str(process) for process in unstable_processes(settings.DATA_DIR)]
    full_disk = list(_full_disk())
    try:
        redis_client.require_writes()  # without them nothing else moves, and what follows would name the wrong process
        return [*unstable, *full_disk, *_old_tables(), *_held_up_runs(), *_late_jobs(), *_failing_services()]
    except BufferUnavailable as error:
        return [*unstable, *(full_disk or [str(error)]), *_old_tables()]  # a full disk is why Redis takes no writes


def _full_disk() -> Iterator[str]:
    """Yield an alert when the disk of DATA_DIR is full; the processes that would say so cannot store it."""
    free = shutil.disk_usage(settings.DATA_DIR).free if settings.DATA_DIR.exists() else LEAST_FREE_BYTES
    if free < LEAST_FREE_BYTES:
        yield (
            f"The disk of {settings.DATA_DIR} is full: {free // 2**20} MiB are left. Make room; the work goes on by "
            "itself."
        )


def _old_tables() -> Iterator[str]:
    """Yield an alert while the database has not been migrated to this version."""
    if not tables_are_current():
        yield OLD_TABLES


def _held_up_runs() -> Iterator[str]:
    """Yield what holds runs up, each fault once."""
    held_up = Run.objects.active().exclude(held_up_until=None).order_by("note")
    for note, number in held_up.values_list("note").annotate(n=Count("*")):
        yield f"{number} {'run waits' if number == 1 else 'runs wait'}: {note}"


def _late_jobs() -> Iterator[str]:
    """Yield an alert for each of Beat's jobs that is late while work waits; none before its first time."""
    ages = heartbeat.job_ages()
    for name, (_, symptom, processes) in JOBS.items():
        age = ages.get(name)
        if age is None or age <= late_after(name):
            continue
        unfinished = Chunk.objects.filter(state__in=(*Chunk.PENDING, *Chunk.LEAVING))
        if Run.objects.active().exists() or unfinished.exists():
            yield f"{symptom} for {age:.0f} s: look whether {processes} run and what they log."


def late_after(job: str) -> float:
    """Return after how many seconds a job of Beat's is late."""
    return max(LATE_PERIODS * float(getattr(settings, JOBS[job][0])), LATE_SECONDS)


def _failing_services() -> Iterator[str]:
    """Yield alerts about Milvus, the embedding workers, and records that cannot be stored."""
    if outage := circuit_breaker.current():
        yield str(outage)
    if reason := pause_reason():
        yield f"Chunks wait for their sentences of context: {reason}"
    without = Chunk.objects.live().exclude(context_error="")
    if settings.CONTEXT_MODEL and (first := without.values_list("context_error", flat=True).first()):
        yield (
            f"{without.count()} chunks are searched without a sentence of context ({first}) `manage.py context --retry "
            "--apply` asks for them again."
        )
    if missing := shortfall():
        yield missing
    workers = heartbeat.workers()
    waiting = Chunk.objects.filter(state__in=TO_EMBED).count()
    if waiting and not workers:
        yield f"{waiting} chunks wait, and no embedding worker answers: look whether one runs and what it logs."
    yield from heartbeat.turned_away()
    for worker in workers:
        if worker.state == "unhealthy":
            yield f"The embedder on {worker.device_id}: {worker.reason or 'unhealthy'}"
    for reason, number in dead_letters.reasons().items():
        yield (
            f"{number} records could not be stored ({reason}). Their chunks are embedded again; "
            "`manage.py deadletters` shows the records, puts them back in line or forgets them."
        )
