"""Ended runs → messages → one attempt after the other, with longer and longer pauses, until one succeeds.

One message of an address is under way at a time: a receiver that is slow holds up its own messages and no worker but
one. Retries follow the schedule that Standard Webhooks proposes.
"""

from __future__ import annotations

import logging
import random
from datetime import timedelta

from django.db.models import Exists, OuterRef
from django.utils import timezone

from ingestion.exceptions import IngestionError, PermanentError
from ingestion.models import Delivery, Run, Subscription
from ingestion.notifications import mail, webhook
from ingestion.notifications.outcome import Outcome

logger = logging.getLogger(__name__)

# Seconds before the second, third, … attempt; after the last the message has failed.
PAUSES = (5, 300, 1800, 7200, 18_000, 36_000, 36_000)
# Nobody wants to be told in the morning of a week ago what a database that was restored holds.
TOLD_WITHIN = timedelta(days=3)
# Longer than an attempt can take.
LEASE = timedelta(seconds=90)
# Messages begun in one look; the next one is seconds later.
AT_ONCE = 20


def write_messages() -> int:
    """Write the messages about runs that ended, one for each address that wants it. Return how many."""
    written = 0
    for subscription in Subscription.objects.filter(active=True):
        since = max(subscription.created_at, timezone.now() - TOLD_WITHIN)
        told = Exists(Delivery.objects.filter(subscription=subscription, run=OuterRef("pk")))
        runs = Run.objects.filter(~told, state__in=subscription.wanted_states(), finished_at__gte=since)
        messages = [Delivery(subscription=subscription, run=run) for run in runs.order_by("id")]
        written += len(Delivery.objects.bulk_create(messages, ignore_conflicts=True))
    return written


def messages_to_send() -> list[int]:
    """Return the ids of messages to send now: the oldest due one of each address that has none under way."""
    under_way = Delivery.objects.filter(state=Delivery.State.SENDING, next_attempt_at__gt=timezone.now())
    due = Delivery.objects.due().exclude(subscription__in=under_way.values("subscription")).order_by("id")
    oldest: dict[int, int] = {}
    for delivery_id, subscription_id in due.values_list("id", "subscription"):
        oldest.setdefault(subscription_id, delivery_id)
    return list(oldest.values())[:AT_ONCE]


def send(delivery_id: int) -> None:
    """Make one attempt to send a message, if it is still due, and store the outcome."""
    if not Delivery.objects.claim(delivery_id, until=timezone.now() + LEASE):
        return
    message = Delivery.objects.select_related("subscription", "run__source").get(id=delivery_id)
    channel = mail if message.subscription.by_mail else webhook
    try:
        outcome = channel.send(message)
    except PermanentError as error:
        outcome = Outcome(str(error), final=True)
    except IngestionError as error:
        outcome = Outcome(str(error))
    settle(message, outcome)


def settle(message: Delivery, outcome: Outcome) -> None:
    """Store that a message was sent, has failed, or is to be tried again."""
    mine = Delivery.objects.filter(id=message.pk, state=Delivery.State.SENDING, attempts=message.attempts)
    answer = outcome.sentence[:300]
    if outcome.gone:
        Subscription.objects.filter(id=message.subscription_id).update(active=False, stopped_because=answer[:200])
    if outcome.sent:
        mine.update(state=Delivery.State.SENT, answer=answer, sent_at=timezone.now())
    elif outcome.final or outcome.gone or message.attempts > len(PAUSES):
        mine.update(state=Delivery.State.FAILED, answer=answer)
        logger.warning("notification %d has failed: %s", message.pk, answer)
    else:
        asked = min(outcome.retry_after, max(PAUSES))  # whoever writes "next year" is told tomorrow
        pause = max(PAUSES[message.attempts - 1] * random.uniform(1.0, 1.2), asked)  # noqa: S311
        later = timezone.now() + timedelta(seconds=pause)
        mine.update(state=Delivery.State.WAITING, answer=answer, next_attempt_at=later)
