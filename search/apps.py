"""The search application, its checks, and what it does when a model was loaded or a source is about to be deleted."""

from typing import Any, ClassVar

from django.apps import AppConfig
from django.db.models.signals import pre_delete


class SearchConfig(AppConfig):
    name = "search"
    verbose_name = "Search"
    benchmarks: ClassVar = {"query": "search.evaluation.benchmark"}

    def ready(self) -> None:
        from ingestion.models import Source
        from search import checks  # noqa: F401  registers the checks
        from search.retrieval import model_ready

        model_ready.connect(ask_cases)
        pre_delete.connect(end_links, sender=Source)


def ask_cases(**signal: Any) -> None:
    """Ask the retrieval test's questions of a model that was loaded; workers, which load none here, import nothing."""
    from search.evaluation.cases import run_after_change

    run_after_change(**signal)


def end_links(instance: Any, **signal: Any) -> None:
    """End the links of answers from a source that is not for everybody and is about to be deleted."""
    from search.models import StoredAnswer

    if instance.readers.exists():
        StoredAnswer.objects.end_links_to(instance)
