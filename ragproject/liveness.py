"""A file that a worker and Beat touch while they live, for the health checks of containers.

`celery inspect ping` starts a Python with the whole project, 3 s of a core each minute and container; the age of a file
costs nothing. A worker touches it from its event loop, which stands still while it has no connection to Redis.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from celery import bootsteps
from django.conf import settings

logger = logging.getLogger(__name__)

# The health checks look for a file that was touched within a minute.
TOUCH_SECONDS = 10.0


class Liveness(bootsteps.StartStopStep):
    """Celery's step that touches the file as long as the worker's event loop runs."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        """Touch the file every TOUCH_SECONDS from now on."""
        if settings.HEARTBEAT_FILE:
            parent.timer.call_repeatedly(TOUCH_SECONDS, touch)


def touch() -> None:
    """Touch HEARTBEAT_FILE, if one is set; a failure is logged."""
    if settings.HEARTBEAT_FILE:
        try:
            Path(settings.HEARTBEAT_FILE).touch()
        except OSError as error:
            logger.warning("HEARTBEAT_FILE cannot be touched: %s", error)
