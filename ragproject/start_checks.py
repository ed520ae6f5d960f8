"""The checks of a process that serves or works: errors end it, warnings are logged.

In: Django's system checks, those for production too where others than this machine may come. `manage.py` runs checks by
itself; uvicorn does not, and Celery would ignore what they say.
"""

from __future__ import annotations

import logging

from django.conf import settings
from django.core.checks import Tags
from django.core.checks.registry import registry

logger = logging.getLogger(__name__)


def require_checks(*, pages: bool = True) -> None:
    """Run Django's system checks and log their warnings. Raises SystemExit, with all errors, where one failed.

    Without ``pages`` the checks of routes are left out: they load every view, and what views need.
    """
    checks = registry.get_checks(settings.SERVES_OTHERS)
    chosen = [check for check in checks if pages or Tags.urls not in check.tags]
    found = [message for check in chosen for message in check(app_configs=None, databases=None)]
    serious = [message for message in found if message.is_serious() and not message.is_silenced()]
    for message in found:
        if message not in serious and not message.is_silenced():
            logger.warning("%s", message)
    if serious:
        raise SystemExit("This process does not start:\n" + "\n".join(map(str, serious)))
