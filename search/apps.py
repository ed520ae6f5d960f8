"""The search application, its system checks, and what it does when a model has been loaded."""

from typing import ClassVar

from django.apps import AppConfig


class SearchConfig(AppConfig):
    name = "search"
    verbose_name = "Search"
    benchmarks: ClassVar = {"query": "search.evaluation.benchmark"}

    def ready(self) -> None:
        from search import checks  # noqa: F401  registers the checks
        from search.evaluation.cases import run_after_change
        from search.retrieval.retriever import model_ready

        model_ready.connect(run_after_change)
