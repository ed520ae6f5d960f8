"""Logging: to standard error, never page text or secrets; who may read the metrics; where traces go."""

from __future__ import annotations

from environs import validate

from ragproject.settings.locations import env, web_address

env.begin("logs")
LOG_LEVEL = env.text(
    "LOG_LEVEL",
    "INFO",
    "`DEBUG`, `INFO`, `WARNING` or `ERROR`.",
    validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]),
)
LOG_FORMAT = env.text(
    "LOG_FORMAT",
    "line",
    "`line` for people, or `json`: an object a line, with the ids of runs, documents and requests.",
    validate=validate.OneOf(["line", "json"]),
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "ragproject.logs.Line", "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
        "json": {"()": "ragproject.logs.JsonLine"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
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
METRICS_TOKEN = env.text(
    "METRICS_TOKEN",
    "",
    "Token that `/metrics` asks for (`Authorization: Bearer …`); empty: programs on this machine read it.",
    secret=True,
)
# The names that OpenTelemetry's own programs read.
OTEL_EXPORTER_OTLP_ENDPOINT = env.text(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "",
    "Collector of OpenTelemetry, as `http://collector:4318` (OTLP over HTTP); empty: no traces.",
    validate=web_address,
)
OTEL_EXPORTER_OTLP_HEADERS = env.text(
    "OTEL_EXPORTER_OTLP_HEADERS", "", "What the collector wants to be sent, as `api-key=…`.", secret=True
)
OTEL_SERVICE_NAME = env.text("OTEL_SERVICE_NAME", "ragproject", "Name of this system in traces.")
OTEL_TRACES_SAMPLER_ARG = env.number(
    "OTEL_TRACES_SAMPLER_ARG", 1.0, "Share of the requests and tasks that are traced.", validate=validate.Range(0, 1)
)
