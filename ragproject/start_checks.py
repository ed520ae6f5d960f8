"""The checks of a process that serves or works: errors end it, warnings are logged.

In: Django's system checks, those for production too where others than this machine may come. `manage.py` runs checks by
itself; uvicorn does not, and Celery runs them and ignores what they say.
"""

from __future__ import annotations

import logging

from django.conf import settings
from django.core.checks import run_checks

logger = logging.getLogger(__name__)


def require_checks() -> None:
    """Log what the checks warn of. Raises SystemExit, with all errors, where one of them failed."""
    found = run_checks(include_deployment_checks=settings.SERVES_OTHERS)
    serious = [message for message in found if message.is_serious() and not message.is_silenced()]
    for message in found:
        if message not in serious and not message.is_silenced():
            logger.warning("%s", message)
    if serious:
        raise SystemExit("This process does not start:\n" + "\n".join(map(str, serious)))
