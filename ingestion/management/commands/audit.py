"""`manage.py audit`: compare the rows with what Milvus holds."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingestion.exceptions import IngestionError
from ingestion.models import Source
from ingestion.pipeline.index.audit import KINDS, Report, audit


class Command(BaseCommand):
    help = "Compare the database with Milvus, key by key. Ends with 1 while something is wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="embed again what is missing, delete what is foreign")
        parser.add_argument("--source", metavar="NAME", help="look at one source only")
        parser.add_argument("--json", action="store_true", help="print an object instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["source"]
        source = Source.objects.filter(name=name).first()
        if name is not None and source is None:
            raise CommandError(f"There is no source named {name!r}.")
        try:
            report = audit(repair=options["repair"], source=source)
        except IngestionError as error:
            raise CommandError(str(error)) from error
        if report is None:
            raise CommandError("Another audit is at work. Wait until it has ended.")
        self.stdout.write(json.dumps(report.as_json()) if options["json"] else "\n".join(lines(report)))
        if report.unrepaired:
            sys.exit(1)


def lines(report: Report) -> Iterator[str]:
    """Yield what is printed without --json."""
    names = dict(Source.objects.values_list("id", "name"))
    for source_id, counts in sorted(report.sources.items()):
        where = names.get(source_id, f"source {source_id}, which is gone")
        yield f"{where}: " + ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    if not report.sources:
        yield "The index fits the rows."
    if report.repaired:
        yield f"{report.repaired} repaired; what has to be embedded again waits for the embedding worker."
    if report.unrepaired:
        yield f"{report.unrepaired} are as they were. `manage.py audit --repair` mends them."
