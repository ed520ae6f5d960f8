"""The search application and its system checks."""

from typing import ClassVar

from django.apps import AppConfig


class SearchConfig(AppConfig):
    name = "search"
    verbose_name = "Search"
    benchmarks: ClassVar = {"query": "search.evaluation.benchmark"}

    def ready(self) -> None:
        from search import checks  # noqa: F401  registers the checks
