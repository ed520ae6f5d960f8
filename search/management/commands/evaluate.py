"""`manage.py evaluate`: how well retrieval finds known answers, per mode of search."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from ingestion.exceptions import IngestionError
from ingestion.types import Json
from ragproject.commands import VersionedCommand
from search.evaluation import evaluate as evaluation
from search.evaluation.beir import FILES, evaluated
from search.evaluation.evaluate import RERANKED
from search.evaluation.question_sets import DJANGO, JudgedQuestion, read_all, read_set, sources_of
from search.evaluation.refusals import refusals
from search.evaluation.tune import tune
from search.exceptions import SearchError
from search.forms import MODES
from search.retrieval import reranker

NESTED = ("intervals", "kinds", "sources")
WIDTH = 160


class Command(VersionedCommand):
    help = "Measure retrieval on queries with known answers, in BEIR's formats or in those of the project's own set."

    def add_arguments(self, parser: ArgumentParser) -> None:
        help_queries = 'JSON lines of {"_id", "text"}; without it, the questions on Django\'s documentation'
        parser.add_argument("--queries", type=Path, default=DJANGO, help=help_queries)
        parser.add_argument("--qrels", type=Path, help="lines of query-id, corpus-id, relevance (tabs)")
        parser.add_argument("--source", default="", help="the name of the one source to search")
        parser.add_argument("--version", default="", help="of the product, or all (default: the newest)")
        parser.add_argument("--tune", action="store_true", help="find the channels' weights (SEARCH_WEIGHTS)")
        parser.add_argument("--rerank", action="store_true", help="also with the configured reranker (RERANKER)")
        parser.add_argument("--refusals", action="store_true", help="count refused questions, right and wrong ones")
        parser.add_argument("--save", type=Path, help="write what each question achieved to this file")
        parser.add_argument("--baseline", type=Path, help="compare with a saved file; fail where it was better")
        parser.add_argument("--beir", type=Path, metavar="DIR", help=f"{', '.join(FILES)}, on an index of its own")
        parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the index of --beir here for the next time")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        say = self.stderr.write if options["json"] else self.stdout.write
        if options["rerank"] and not reranker.configured():
            raise CommandError("There is no reranker: set RERANKER to local, token-vectors, tei or cohere.")
        try:
            figures = self.figures(options, say)
        except (SearchError, IngestionError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(figures))

    def figures(self, options: Json, say: Callable[[str], object]) -> Json:
        """Measure what the options say, print it, and return it."""
        if options["beir"]:
            figures = evaluated(options["beir"], options["keep"], passed_on(options), say)
            say(f"SEARCH_WEIGHTS={figures['weights']}" if options["tune"] else shown(figures))
            return figures
        if options["refusals"]:
            return counted(read_all(options["queries"], options["qrels"]), options, say)
        questions = read_set(options["queries"], options["qrels"])
        if options["tune"]:
            return tuned(questions, options, say)
        return self.measured(questions, options, say)

    def measured(self, questions: Sequence[JudgedQuestion], options: Json, say: Callable[[str], object]) -> Json:
        """Measure every mode, save and compare. Raise CommandError where the baseline was better."""
        modes = [*MODES, RERANKED] if options["rerank"] else MODES
        results = list(evaluation.evaluate(questions, **searched(options), modes=modes))
        sources = sources_of(questions)
        figures = {result.mode: result.figures(questions, sources) for result in results}
        say(shown(figures))
        if options["save"]:
            evaluation.save(results, options["save"])
        if options["baseline"]:
            changes = list(evaluation.compare(results, evaluation.read_baseline(options["baseline"])))
            for change in changes:
                interval = f"[{change.low:+g}, {change.high:+g}]"
                say(f"{change.mode:8}  {change.measure} {change.difference:+g} {interval} against the baseline")
            if worse := [change for change in changes if change.is_regression]:
                raise CommandError("Worse than the baseline: " + ", ".join(f"{c.mode} {c.measure}" for c in worse))
        return figures


def passed_on(options: Json) -> list[str]:
    """Return the options to pass to the ``evaluate`` command that --beir runs on an index of its own."""
    flags = [f"--{name}" for name in ("tune", "rerank") if options[name]]
    files = [(f"--{name}", str(options[name].resolve())) for name in ("save", "baseline") if options[name]]
    return [*flags, *chain(*files)]


def searched(options: Json) -> dict[str, str]:
    """Return the source and the version that the questions are limited to, as keyword arguments."""
    return {"source": options["source"], "version": options["version"]}


def shown(figures: Json) -> str:
    """Return the tables for people: every mode, and below it its kinds of questions and its sources."""
    modes = {mode: found for mode, found in figures.items() if "intervals" in found}
    table = Table("mode", *(name for name in next(iter(modes.values())) if name not in NESTED), box=SIMPLE)
    for mode, found in modes.items():
        table.add_row(mode, *(with_interval(name, value, found) for name, value in found.items() if name not in NESTED))
        for group, means in {**found["kinds"], **found["sources"]}.items():
            table.add_row(f"  {group or 'no kind'}", *(f"{value:g}" for value in means.values()))
    console = Console(file=StringIO(), width=WIDTH)
    console.print(table)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def with_interval(name: str, value: float, found: Json) -> str:
    """Return a figure, with its interval of 95 % below it where there is one."""
    low, high = found["intervals"].get(name, (None, None))
    return f"{value:g}" if low is None else f"{value:g}\n{low:g}–{high:g}"


def counted(questions: Sequence[JudgedQuestion], options: Json, say: Callable[[str], object]) -> Json:
    """Count refused questions, print them and return the figures."""
    figures = refusals(questions, **searched(options)).figures()
    for group, wrong, sentence in (
        ("answerable", "refused", "questions that the index answers"),
        ("on_other_subjects", "answered", "questions on other subjects"),
    ):
        share = figures[f"{group}_refused"]
        say(f"{figures[group]} {sentence}" + (f": {share:.1%} refused" if share is not None else ""))
        for text in figures[wrong]:
            say(f"  {wrong}: {text}")
    return figures


def tuned(questions: Sequence[JudgedQuestion], options: Json, say: Callable[[str], object]) -> Json:
    """Find the best weights of the channels, print them and return them with the nDCG that they reach."""
    found = tune(questions, **searched(options))
    setting = ",".join(f"{weight:g}" for weight in found.weights.values())
    say(f"SEARCH_WEIGHTS={setting}")
    say(f"nDCG@10 on the half that did not choose: {found.chosen:g}; with the present weights {found.present:g}")
    say("each channel alone: " + ", ".join(f"{name} {value:g}" for name, value in found.channels.items()))
    return {"weights": setting, "ndcg@10": found.chosen, "present": found.present, "channels": dict(found.channels)}
