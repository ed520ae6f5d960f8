"""`manage.py evaluate`: how well retrieval finds known answers, per mode of search."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingestion.exceptions import IngestionError
from search.evaluation.evaluate import evaluate, read_qrels, read_queries
from search.exceptions import SearchError


class Command(BaseCommand):
    help = "Measure retrieval on queries with known answers, in BEIR's formats."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--queries", type=Path, required=True, help='JSON lines of {"_id", "text"}')
        parser.add_argument("--qrels", type=Path, required=True, help="lines of query-id, corpus-id, relevance (tabs)")
        parser.add_argument("--source", default="", help="the name of the one source to search")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        figures = {}
        say = self.stderr.write if options["json"] else self.stdout.write
        try:
            queries, qrels = read_queries(options["queries"]), read_qrels(options["qrels"])
            for result in evaluate(queries, qrels, source=options["source"]):
                figures[result.mode] = found = result.figures()
                say(f"{result.mode:8}" + "".join(f"  {name} {value:g}" for name, value in found.items()))
        except (SearchError, IngestionError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(figures))
