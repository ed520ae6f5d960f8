"""`manage.py evaluate`: how well retrieval finds known answers, per mode of search."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingestion.exceptions import IngestionError
from ingestion.types import Json
from search.evaluation import evaluate as evaluation
from search.evaluation.evaluate import ModeResult
from search.evaluation.question_sets import DJANGO, JudgedQuestion, read_set
from search.evaluation.tune import tune
from search.exceptions import SearchError

INTERVALS = ("ndcg@10", "recall@5")


class Command(BaseCommand):
    help = "Measure retrieval on queries with known answers, in BEIR's formats or in those of the project's own set."

    def add_arguments(self, parser: ArgumentParser) -> None:
        help_queries = 'JSON lines of {"_id", "text"}; without it, the questions on Django\'s documentation'
        parser.add_argument("--queries", type=Path, default=DJANGO, help=help_queries)
        parser.add_argument("--qrels", type=Path, help="lines of query-id, corpus-id, relevance (tabs)")
        parser.add_argument("--source", default="", help="the name of the one source to search")
        parser.add_argument("--tune", action="store_true", help="find the channels' weights (SEARCH_WEIGHTS)")
        parser.add_argument("--save", type=Path, help="write what each question achieved to this file")
        parser.add_argument("--baseline", type=Path, help="compare with a saved file; fail where it was better")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        say = self.stderr.write if options["json"] else self.stdout.write
        try:
            questions = read_set(options["queries"], options["qrels"])
            if options["tune"]:
                figures: Json = tuned(questions, options["source"], say)
            else:
                figures = self.measured(questions, options, say)
        except (SearchError, IngestionError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(figures))

    def measured(self, questions: Sequence[JudgedQuestion], options: Json, say: Callable[[str], object]) -> Json:
        """Measure every mode, save and compare. Raise CommandError where the baseline was better."""
        results = []
        for result in evaluation.evaluate(questions, source=options["source"]):
            results.append(result)
            print_result(result, questions, say)
        if options["save"]:
            evaluation.save(results, options["save"])
        if options["baseline"]:
            changes = list(evaluation.compare(results, evaluation.read_baseline(options["baseline"])))
            for change in changes:
                interval = f"[{change.low:+g}, {change.high:+g}]"
                say(f"{change.mode:8}  {change.measure} {change.difference:+g} {interval} against the baseline")
            if worse := [change for change in changes if change.is_regression]:
                raise CommandError("Worse than the baseline: " + ", ".join(f"{c.mode} {c.measure}" for c in worse))
        return {result.mode: result.figures() for result in results}


def print_result(result: ModeResult, questions: Sequence[JudgedQuestion], say: Callable[[str], object]) -> None:
    """Print the means of a mode, the intervals of some, and below them the means of each kind of question."""
    say(f"{result.mode:8}" + "".join(f"  {name} {value:g}" for name, value in result.figures().items()))
    intervals = ((name, *result.interval(name)) for name in INTERVALS)
    say("          95 %:" + "".join(f"  {name} {low:g} to {high:g}" for name, low, high in intervals))
    kinds = result.kinds(questions)
    for kind, found in kinds.items() if len(kinds) > 1 else ():
        say(f"          {kind}:" + "".join(f"  {name} {value:g}" for name, value in found.items()))


def tuned(questions: Sequence[JudgedQuestion], source: str, say: Callable[[str], object]) -> Json:
    """Find the weights, print and return them with what they are worth."""
    found = tune(questions, source=source)
    setting = ",".join(f"{weight:g}" for weight in found.weights.values())
    say(f"SEARCH_WEIGHTS={setting}")
    say(f"nDCG@10 on the half that did not choose: {found.chosen:g}; with the present weights {found.present:g}")
    say("each channel alone: " + ", ".join(f"{name} {value:g}" for name, value in found.channels.items()))
    return {"weights": setting, "ndcg@10": found.chosen, "present": found.present, "channels": dict(found.channels)}
