"""Logging: to standard error, with the process, never page text or secrets."""

from __future__ import annotations

from environs import validate

from ragproject.settings.locations import env

LOG_LEVEL = env.text(
    "LOG_LEVEL",
    "INFO",
    "`DEBUG`, `INFO`, `WARNING` or `ERROR`.",
    validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]),
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "axes": {"level": "WARNING"},
        "django": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "circus": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        "mcp": {"level": "WARNING"},
        "FlagEmbedding": {"level": "WARNING"},
        "multiprocessing": {"level": "WARNING"},
    },
}
