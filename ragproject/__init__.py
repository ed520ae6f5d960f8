"""Configuration: settings, the Celery application, URLs and the embedded stack.

Imports neither application. ``app`` is exported for ``celery -A ragproject``.
"""

from ragproject.celery import app

__all__ = ["app"]
