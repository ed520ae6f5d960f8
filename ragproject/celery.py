"""The Celery application. Its settings live in ``settings.py`` under the prefix ``CELERY_``."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragproject.settings")

app = Celery("ragproject")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="gpu_worker")  # what such a worker does at its start and end
