"""The search application, its system checks, and what it does when a model has been loaded."""

from typing import Any, ClassVar

from django.apps import AppConfig


class SearchConfig(AppConfig):
    name = "search"
    verbose_name = "Search"
    benchmarks: ClassVar = {"query": "search.evaluation.benchmark"}

    def ready(self) -> None:
        from search import checks  # noqa: F401  registers the checks
        from search.retrieval import model_ready

        model_ready.connect(ask_cases)


def ask_cases(**signal: Any) -> None:
    """Ask the retrieval test's questions of a model that was loaded; workers, which load none here, import nothing."""
    from search.evaluation.cases import run_after_change

    run_after_change(**signal)
