"""The Celery application. Its settings stand in ``settings.workers`` under the prefix ``CELERY_``.

A worker that loses Redis tries again every few seconds, says so, and ends after REDIS_PATIENCE_SECONDS: who runs it
sees it end, and a new process finds a Redis that has moved.
"""

import gc
import logging
import os
import time
from typing import Any

import kombu
from celery import Celery
from celery.app.amqp import AMQP
from celery.exceptions import WorkerTerminate
from celery.signals import worker_process_init
from django.conf import settings

from ragproject import traced_messages
from ragproject.liveness import Liveness

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragproject.settings")
os.environ.setdefault(
    "CELERY_SKIP_CHECKS", "true"
)  # ``ingestion.checks`` runs them when a worker starts, and heeds them

# Kombu waits two seconds longer before each try, up to 30; workers would notice that late that Redis is back.
LONGEST_RECONNECT_SECONDS = 5

logger = logging.getLogger(__name__)


class Connection(kombu.Connection):
    """A connection that is tried again every few seconds, for REDIS_PATIENCE_SECONDS at most."""

    def ensure_connection(self, errback: Any = None, *args: Any, **options: Any) -> Any:
        patient_until = time.monotonic() + settings.REDIS_PATIENCE_SECONDS

        def note(error: Exception, pause: float) -> None:
            """Pass an error of the connection, and the seconds until the next try, on to ``errback``, if there is one.

            Raises WorkerTerminate when Redis has not answered for REDIS_PATIENCE_SECONDS.
            """
            if errback:
                errback(error, pause)
            if time.monotonic() > patient_until:
                seconds = f"{settings.REDIS_PATIENCE_SECONDS:.0f} s"
                logger.critical("Redis did not answer for %s (REDIS_PATIENCE_SECONDS); this process ends", seconds)
                raise WorkerTerminate(os.EX_TEMPFAIL)

        return super().ensure_connection(note, *args, **{"interval_max": LONGEST_RECONNECT_SECONDS, **options})


class Messages(AMQP):
    """Celery's messaging with ``Connection`` for every connection of this application."""

    Connection = Connection


app = Celery("ragproject", amqp=Messages)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(Liveness)
traced_messages.listen()
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="worker_signals")  # what such a worker does at its start and end


@worker_process_init.connect
def freeze_modules(**_: Any) -> None:
    """Spare the garbage collector what a worker's process has loaded: reading 120 pages takes 1.5 s instead of 1.75."""
    gc.freeze()
