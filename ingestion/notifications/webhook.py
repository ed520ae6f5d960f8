"""A message as a signed POST, by Standard Webhooks (https://www.standardwebhooks.com), through the guarded fetcher.

Redirects are not followed, private networks are refused as for pages, and one deadline covers the attempt.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.utils import timezone
from standardwebhooks import Webhook

from ingestion.fetching import fetcher
from ingestion.models import Delivery
from ingestion.notifications.outcome import Outcome

SECONDS = 15.0
# A host's certificate or a crawled page may be part of an error's text.
ERROR_CHARS = 1000


def send(message: Delivery) -> Outcome:
    """POST a message to its web address once, and return the outcome. Raises IngestionError without an answer."""
    now = timezone.now()
    body = json.dumps(payload(message, now))
    headers = signed(f"msg_{message.pk}", now, body, message.subscription.secret)
    answer = fetcher.post(message.subscription.address, body.encode(), headers=headers, seconds=SECONDS)
    status = answer.status
    if 200 <= status < 300:
        return Outcome(f"HTTP {status}", sent=True)
    if status == 410:
        return Outcome("HTTP 410: the receiver wants no messages any more.", gone=True)
    if 300 <= status < 400:
        return Outcome(f"HTTP {status}: it redirects, which is not followed; enter the address it leads to.")
    return Outcome(f"HTTP {status}", retry_after=answer.retry_after or 0.0)


def payload(message: Delivery, now: datetime) -> dict[str, Any]:
    """Return the JSON object that tells a receiver about the run of a message."""
    run = message.run
    data = {
        "run": run.pk,
        "source": run.source.name,
        "source_id": run.source_id,
        "state": run.state,
        "error": run.error[:ERROR_CHARS],
        "finished_at": run.finished_at and run.finished_at.isoformat(),
        "figures": {name: run.figures[name] for name in ("documents", "indexed", "failed") if name in run.figures},
    }
    return {"type": f"run.{run.state}", "timestamp": now.isoformat(), "data": data}


def signed(message_id: str, now: datetime, body: str, secret: str) -> dict[str, str]:
    """Return the headers by which a receiver knows who sent the body, and when."""
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body),
    }
