"""The Celery application. Its settings stand in ``settings.workers`` under the prefix ``CELERY_``."""

import os
from typing import Any

import kombu
from celery import Celery
from celery.app.amqp import AMQP

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragproject.settings")

# Kombu waits two seconds longer before each try, up to 30; workers would notice that late that Redis is back.
LONGEST_RECONNECT_SECONDS = 5


class Connection(kombu.Connection):
    """A connection that is tried again every few seconds, however long Redis has been away."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        return super().ensure_connection(*args, **{"interval_max": LONGEST_RECONNECT_SECONDS, **options})


class Messages(AMQP):
    """Celery's messaging with ``Connection`` for every connection of this application."""

    Connection = Connection


app = Celery("ragproject", amqp=Messages)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="worker_signals")  # what such a worker does at its start and end
