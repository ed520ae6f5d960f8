"""`manage.py ingest TARGET...`: make sources, start runs, and watch them to their end with --wait."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console

from ingestion import tasks
from ingestion.exceptions import IngestionError
from ingestion.management.estimates import print_estimates
from ingestion.management.progress_display import watch
from ingestion.management.targets import add_source_options, count, expand, fields_given, identify, require_possible
from ingestion.models import Document, Run, Source
from ingestion.pipeline.report.sentences import chunks_sentence, dropped_sentence, savings_sentence
from ingestion.pipeline.state.removals import accept_missing
from ingestion.pipeline.state.runs import start_run, summary
from ingestion.types import Json
from ragproject.commands import VersionedCommand

SHOWN_FAILURES = 10


class Command(VersionedCommand):
    help = (
        "Ingest documentation. TARGET is a website's first page (https://...), a sitemap's address, "
        "github:owner/repo[@ref][/path], a folder, a file, a file of JSON lines (.jsonl), or @list.txt with one "
        "target per line. The work is done by the workers (manage.py up); --wait watches it and exits "
        "non-zero when a document failed or a run is held."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_source_options(parser)
        parser.add_argument("--refresh", type=count, metavar="SECONDS", help="ingest again after this time, for ever")
        parser.add_argument(
            "--accept-missing", action="store_true", help="remove the missing pages that a run held back, and exit"
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="store nothing: do what manage.py estimate does",
        )
        parser.add_argument("--wait", action="store_true", help="show progress until everything is done")
        parser.add_argument("--json", action="store_true", help="print the figures as JSON (implies --wait)")

    def handle(self, *args: Any, targets: list[str], **options: Any) -> None:
        console = Console(stderr=True)
        expanded = expand(targets)
        if options["version"] and not options["product"]:
            raise CommandError("Name the product that this is a version of, as in: --product django --version 5.2")
        if options["dry_run"]:
            if not print_estimates(self.stdout, expanded, options):
                sys.exit(1)
        elif options["accept_missing"]:
            self.accept(expanded, options, console)
        else:
            self.ingest(expanded, options, console)

    def ingest(self, targets: list[str], options: Json, console: Console) -> None:
        """Start a run of every target and watch the runs if asked to."""
        if options["name"] and len(targets) > 1:
            raise CommandError("--name names one source. Give one target, or leave it out.")
        changes = fields_given(options)
        sources = [identify(target, options) for target in targets]
        for kind, normal in sources:  # nothing is begun that a later target would break off
            require_possible(kind, normal, changes)
        run_ids = []
        for kind, normal in sources:
            source, _ = Source.objects.update_or_create(
                kind=kind, target=normal, defaults=changes, create_defaults={"name": normal[:200], **changes}
            )
            if source.deleting:
                raise CommandError(f"{normal} is being deleted; try again in a minute.")
            run_ids.append(start_run(source).pk)
        wake(console)
        if options["wait"] or options["json"]:
            watch(run_ids, console)
            self.report(run_ids, console, as_json=options["json"])
        else:
            console.print(f"{len(run_ids)} run(s) started; see them with: python manage.py status")

    def accept(self, targets: list[str], options: Json, console: Console) -> None:
        """Remove the missing pages of every target from the index."""
        removed = 0
        for target in targets:
            kind, normal = identify(target, options)
            source = Source.objects.filter(kind=kind, target=normal).first()
            if source is None:
                raise CommandError(f"{normal} has not been ingested; `manage.py status` shows the sources.")
            removed += accept_missing(source)
        console.print(f"{removed} missing pages leave the index.")
        wake(console)

    def report(self, run_ids: list[int], console: Console, *, as_json: bool) -> None:
        """Print the figures and failures of the runs; exit with 1 when something failed or a run is held."""
        figures = summary(run_ids)
        rate = figures.tokens / figures.seconds if figures.seconds else 0
        sentence = (
            f"{figures.documents} documents: {figures.indexed} indexed, {figures.unchanged} unchanged, "
            f"{figures.duplicates} duplicates, {figures.failed} failed, {figures.missing} missing, "
            f"{figures.gone} gone; {chunks_sentence(asdict(figures)) or 'no chunks'}, in {figures.seconds} s "
            f"({rate:.0f} tokens/s)."
        )
        self.stdout.write(json.dumps(asdict(figures)) if as_json else sentence)
        if saved := savings_sentence(figures.saved):
            console.print(f"Saved: {saved}.", markup=False, highlight=False)
        if dropped := dropped_sentence(figures.dropped):
            console.print(f"{dropped}. `manage.py extract --explain` shows them.", markup=False, highlight=False)
        for line in failures(run_ids):
            console.print(line, style="red", markup=False, highlight=False)
        unfinished = Run.objects.filter(id__in=run_ids, state__in=(Run.State.FAILED, Run.State.HELD))
        if figures.failed or unfinished.exists():
            sys.exit(1)


def wake(console: Console) -> None:
    """Let the workers start now, or print why they start later."""
    try:
        tasks.wake()
    except IngestionError as error:
        console.print(f"[yellow]{error}[/yellow]")


def failures(run_ids: list[int]) -> Iterator[str]:
    """Yield the remarks and errors of the runs, then the first failures, each with its address and reason."""
    for run in Run.objects.filter(id__in=run_ids):
        yield from (f"{run.source}: {remark} {example}".rstrip() for remark, example in run.remarks.items())
        if run.error:
            yield f"{run.source}: {run.error}"
    failed = Document.objects.filter(run_id__in=run_ids, state__in=Document.UNSUCCESSFUL)
    for document in failed[:SHOWN_FAILURES]:
        yield f"{document.url}: {document.error}"
    if failed.count() > SHOWN_FAILURES:
        yield f"... and {failed.count() - SHOWN_FAILURES} more, in the admin under Documents."
