"""The lengths of Celery's queues."""

from __future__ import annotations

from django.conf import settings

from ingestion.coordination.redis_client import available


def queue_length(queue: str) -> int:
    """Return the number of messages that wait in ``queue``, over all priorities (kombu keeps one list for each)."""
    with available() as client:
        asked = client.pipeline(transaction=False)
        for name in (queue, *(f"{queue}\x06\x16{step}" for step in settings.PRIORITY_STEPS)):
            asked.llen(name)
        return sum(asked.execute())
