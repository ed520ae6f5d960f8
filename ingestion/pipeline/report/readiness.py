"""Whether each kind of worker does its work, by canaries that pass through its queue.

In: a role. Out: a sentence that says what is wrong, or "". The canaries of Beat's jobs are the jobs themselves: each
goes through the queue and a worker's process, and notes when it was done. An embedding worker reports every few
seconds, and its batches have a time limit of their own.
"""

from __future__ import annotations

from ingestion.coordination import heartbeat
from ingestion.exceptions import BufferUnavailable
from ingestion.pipeline.report.alerts import late_after

# The job that passes through each role.
CANARIES = {"beat": "dispatch", "cpu": "dispatch", "index": "drain"}
ROLES = (*CANARIES, "gpu")


def role_trouble(role: str) -> str:
    """Return why the workers of a role do not seem to do their work; "" when they do it."""
    try:
        return embedders_trouble() if role == "gpu" else canary_trouble(CANARIES[role])
    except BufferUnavailable:
        return "Redis does not answer."


def canary_trouble(job: str) -> str:
    """Return that a job was never done, or not for too long; "" when it was done in time. Raise BufferUnavailable."""
    age = heartbeat.job_ages().get(job)
    if age is None:
        return f"The job {job} was never done."
    return f"The job {job} was not done for {age:.0f} s." if age > late_after(job) else ""


def embedders_trouble() -> str:
    """Return what is wrong with the embedding workers; "" while one of them is well."""
    workers = heartbeat.workers()
    if not workers:
        return "No embedding worker answers."
    well = [worker for worker in workers if worker.state != "unhealthy"]
    return "" if well else "Every embedding worker's device fails."
