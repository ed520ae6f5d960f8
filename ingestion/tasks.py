"""Celery tasks: each calls one function and sends what it returns. Messages carry ids only.

A message is a hint that work waits; the rows decide. Losing one, or receiving one twice, changes nothing but the time
at which the work is done.
"""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from kombu.exceptions import OperationalError

from ingestion.coordination import heartbeat, redis_client
from ingestion.coordination.celery_queues import queue_length
from ingestion.exceptions import BufferUnavailable, DeviceFailed
from ingestion.notifications import deliver as notifications
from ingestion.pipeline import dispatcher
from ingestion.pipeline.describe import describe_waiting
from ingestion.pipeline.discover import list_source as listing
from ingestion.pipeline.dispatcher import Work
from ingestion.pipeline.embed import embed_waiting
from ingestion.pipeline.index import audit as auditing
from ingestion.pipeline.index import completeness, rebuild
from ingestion.pipeline.index import drain as indexing
from ingestion.pipeline.process import process_document
from ragproject.logs import log_ids

URGENT = settings.PRIORITY_URGENT
SOFT_LIMIT = settings.PAGE_TIME_LIMIT_SECONDS
HARD_LIMIT = SOFT_LIMIT + 15  # for code that never comes back to Python; the row's lease covers it


@shared_task
def dispatch() -> None:
    """Send the messages for the work that may start now."""
    send(dispatcher.tick())
    heartbeat.note_job("dispatch")


@shared_task(soft_time_limit=settings.LIST_TIME_LIMIT_SECONDS, time_limit=settings.LIST_TIME_LIMIT_SECONDS + 15)
def list_source(run_id: int) -> None:
    """List a run's source and start documents."""
    with log_ids(run=run_id):
        if listing.list_run(run_id):
            send(Work(documents=dispatcher.start_documents()))


@shared_task(soft_time_limit=SOFT_LIMIT, time_limit=HARD_LIMIT)
def process(document_id: int, attempt: int) -> None:
    """Process a document and send what follows from it."""
    with log_ids(document=document_id):
        after = process_document.process(document_id, attempt)
    if after.embed:
        request_embedding()
    if after.again_in is not None:
        process.apply_async((document_id, attempt), countdown=after.again_in)
    if dispatcher.runs_short_of_work():
        send(Work(documents=dispatcher.start_documents()))


@shared_task
def embed() -> None:
    """Embed the chunks that wait, and send a message when more are left."""
    try:
        # Without waiting for Beat: a small source's last vectors, and batches that are full, are written at once.
        more = embed_waiting.embed_waiting(delivered=lambda: send(Work(drain=dispatcher.drain_wanted())))
    except DeviceFailed as error:
        raise SystemExit(f"{error} Another process takes this one's place.") from error
    send(Work(embed=more))


@shared_task
def describe() -> None:
    """Ask for sentences of context for the chunks that want one, and send messages for what follows."""
    more = describe_waiting.describe_waiting()
    send(Work(describe=more))
    request_embedding()


@shared_task
def drain() -> None:
    """Write buffered vectors to Milvus, and send a message when more are left."""
    if indexing.drain().more:
        send(Work(drain=True))
    heartbeat.note_job("drain")


@shared_task
def fill() -> None:
    """Do one step of filling a collection, if one is to be, and ask for an embedding or an audit when one is due."""
    rebuild.fill()
    if rebuild.adoption_due():
        request_embedding()
    if completeness.audit_wanted():
        audit.apply_async(priority=URGENT)


@shared_task
def audit() -> None:
    """Audit the collection if an audit is due."""
    auditing.audit_if_due()


@shared_task
def notify() -> None:
    """Send the messages about ended runs that are due."""
    notifications.write_messages()
    for delivery_id in notifications.messages_to_send():
        deliver.delay(delivery_id)


@shared_task(soft_time_limit=60, time_limit=75)
def deliver(delivery_id: int) -> None:
    """Make one attempt to send a message."""
    notifications.send(delivery_id)


def send(work: Work) -> None:
    """Send the messages for what the dispatcher decided."""
    for run_id in work.runs:
        list_source.apply_async((run_id,), priority=URGENT)
    for document_id, attempt in work.documents:
        process.delay(document_id, attempt)
    if work.describe:  # one that comes while another is at work does nothing
        describe.apply_async(expires=settings.LEASE_SECONDS)
    if work.embed:
        request_embedding()
    if work.drain:
        drain.apply_async(priority=URGENT, expires=settings.LEASE_SECONDS)


def wake() -> None:
    """Have the dispatcher look at the rows now.

    Raises BufferUnavailable within seconds when Redis takes no message. The rows stand, and the dispatcher that Beat
    starts finds them as soon as Redis is back.
    """
    redis_client.require_writes()  # Celery itself would wait for 30 s
    try:
        dispatch.apply_async(priority=URGENT, retry=False)
    except OperationalError as error:
        raise BufferUnavailable(f"Redis took no message ({error}); the work starts when it does.") from error


def request_embedding() -> None:
    """Send a message to the embedding workers unless one waits: it is enough for all chunks that wait."""
    if queue_length("gpu") == 0:
        embed.delay()
