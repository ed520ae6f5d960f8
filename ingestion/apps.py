"""The ingestion application and its system checks."""

from typing import ClassVar

from django.apps import AppConfig


class IngestionConfig(AppConfig):
    name = "ingestion"
    verbose_name = "Ingestion"
    # What `manage.py benchmark` measures, by name; each application adds its own.
    benchmarks: ClassVar = {"embed": "ingestion.benchmarks.embed", "ingest": "ingestion.benchmarks.ingest"}

    def ready(self) -> None:
        from ingestion import checks  # noqa: F401  registers the checks
