"""`manage.py ingest TARGET...`: make sources, start runs, and watch them to their end with --wait."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console

from ingestion import tasks
from ingestion.exceptions import IngestionError
from ingestion.management.progress_display import watch
from ingestion.models import Document, Run, Source
from ingestion.pipeline.report.estimate import Estimate, estimate
from ingestion.pipeline.report.sentences import chunks_sentence, dropped_sentence, savings_sentence
from ingestion.pipeline.state.removals import accept_missing
from ingestion.pipeline.state.runs import start_run, summary
from ingestion.sources.registry import KINDS, detect_kind, normalise
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
        parser.add_argument("targets", nargs="+", metavar="TARGET")
        parser.add_argument("--kind", choices=sorted(KINDS), help="instead of telling it from the target")
        parser.add_argument("--name", help="the source's name (default: its target); one target only")
        parser.add_argument("--product", help="what it documents, such as django")
        parser.add_argument("--version", help="of the product, such as 5.2; searches read the newest one")
        parser.add_argument(
            "--include",
            action="append",
            default=[],
            metavar="GLOB",
            help="only these (repeatable); PDF, Office and EPUB files of a website only where a glob ends so, as *.pdf",
        )
        parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="never these (repeatable)")
        parser.add_argument("--max-pages", type=int, metavar="N", help="at most this many documents")
        parser.add_argument("--depth", type=int, metavar="N", help="links followed from the first page (websites)")
        parser.add_argument(
            "--max-alike", type=int, metavar="N", help="linked pages of one form of address; 0: no bound"
        )
        parser.add_argument("--delay", type=float, metavar="SECONDS", help="between two requests to one host")
        parser.add_argument("--connections", type=int, metavar="N", help="requests at a time to one host; 0: no bound")
        parser.add_argument("--refresh", type=int, metavar="SECONDS", help="ingest again after this time, for ever")
        parser.add_argument(
            "--accept-missing", action="store_true", help="remove the missing pages that a run held back, and exit"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="store nothing: show pages, a sample, and what it would cost"
        )
        parser.add_argument("--wait", action="store_true", help="show progress until everything is done")
        parser.add_argument("--json", action="store_true", help="print the figures as JSON (implies --wait)")

    def handle(self, *args: Any, targets: list[str], **options: Any) -> None:
        console = Console(stderr=True)
        expanded = expand(targets)
        if options["version"] and not options["product"]:
            raise CommandError("Name the product that this is a version of, as in: --product django --version 5.2")
        if options["dry_run"]:
            self.estimate(expanded, options)
        elif options["accept_missing"]:
            self.accept(expanded, options, console)
        else:
            self.ingest(expanded, options, console)

    def ingest(self, targets: list[str], options: Json, console: Console) -> None:
        """Start a run of every target and watch the runs if asked to."""
        run_ids = []
        for target in targets:
            kind, normal = identify(target, options)
            changes = fields_given(options)
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

    def estimate(self, targets: list[str], options: Json) -> None:
        """Print an estimate of every target. One that cannot be made fails the command, but only at its end."""
        failed = False
        for target in targets:
            try:
                kind, normal = identify(target, options)
                fields = {name: value for name, value in fields_given(options).items() if name != "name"}
                found = estimate(Source(kind=kind, target=normal, **fields).spec())
            except (CommandError, IngestionError, OSError) as error:
                failed = True
                record, shown = {"target": target, "error": str(error)}, [target, f"  cannot be ingested: {error}"]
            else:
                record, shown = asdict(found), list(estimate_lines(found))
            self.stdout.write(json.dumps(record) if options["json"] else "\n".join(shown))
        if failed:
            sys.exit(1)

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


def expand(targets: list[str]) -> list[str]:
    """Return the different targets, @files replaced by their lines; empty lines and # comments are skipped."""
    found: list[str] = []
    for target in targets:
        if not target.startswith("@"):
            found.append(target)
            continue
        try:
            lines = Path(target[1:]).read_text().splitlines()
        except OSError as error:
            raise CommandError(f"{target}: {error.strerror}. @ names a text file with one target per line.") from error
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return list(dict.fromkeys(found))


def wake(console: Console) -> None:
    """Let the workers start now, or print why they start later."""
    try:
        tasks.wake()
    except IngestionError as error:
        console.print(f"[yellow]{error}[/yellow]")


def identify(target: str, options: Json) -> tuple[str, str]:
    """Return the kind and the normal form of a target."""
    try:
        kind = options["kind"] or detect_kind(target)
        return kind, normalise(kind, target)
    except IngestionError as error:
        raise CommandError(str(error)) from error


def fields_given(options: Json) -> Json:
    """Return the source's fields that the command line names."""
    given = {
        "include": options["include"] or None,
        "exclude": options["exclude"] or None,
        "max_pages": options["max_pages"],
        "max_depth": options["depth"],
        "max_alike": options["max_alike"],
        "delay_seconds": options["delay"],
        "connections": options["connections"],
        "refresh_seconds": options["refresh"],
        "name": options["name"],
        "product": options["product"],
        "version": options["version"],
    }
    return {field: value for field, value in given.items() if value is not None}


def estimate_lines(found: Estimate) -> Iterator[str]:
    """Yield the lines that show an estimate to people."""
    yield found.target
    more = "" if found.complete else " at least (links lead to more)"
    yield f"  pages    {found.pages}{more}; for example {', '.join(found.examples)}"
    yield f"  chunks   about {found.chunks}, {found.tokens} tokens, from {found.sampled} pages read"
    if found.described:
        yield f"  context  {found.described} sentences by CONTEXT_MODEL, which reads {found.described_tokens} tokens"
    yield f"  minutes  about {found.minutes} ({found.slowest} is the slowest part)"
    yield from (f"  note     {note}" for note in found.notes)
    yield f"  sample   {found.sample.title}"
    yield from (f"           {line}" for line in found.sample.text.splitlines())


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
