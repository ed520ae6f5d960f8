"""`manage.py ingest TARGET...`: make sources, start runs, and watch them to their end with --wait."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ingestion import tasks
from ingestion.exceptions import IngestionError
from ingestion.models import Document, Run, Source
from ingestion.pipeline.report.estimate import estimate
from ingestion.pipeline.state.removals import accept_missing
from ingestion.pipeline.state.runs import progress, saved_sentence, start_run, summary
from ingestion.sources.registry import KINDS, detect_kind, normalise
from ingestion.types import Json, SourceSpec

POLL_SECONDS = 0.5
# A look at 100 000 documents takes 0.1 s, which the workers then lack: pause this many times as long. What is seen
# is drawn no more often than it changes, or drawing would take as much again.
PAUSE_PER_LOOK = 50
# A running stack picks a run up within two ticks of the dispatcher; silence this long means there is none.
HINT_SECONDS = 15.0
SHOWN_FAILURES = 10


class Command(BaseCommand):
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
        parser.add_argument("--include", action="append", default=[], metavar="GLOB", help="only these (repeatable)")
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
        wanted = unique(expand(targets))
        if options["dry_run"]:
            self.estimate(wanted, options, console)
        elif options["accept_missing"]:
            self.accept(wanted, options, console)
        else:
            self.ingest(wanted, options, console)

    def ingest(self, targets: list[str], options: Json, console: Console) -> None:
        runs = [start_run(source_for(target, options)) for target in targets]
        wake(console)
        if not (options["wait"] or options["json"]):
            console.print(f"{len(runs)} run(s) started; see them with: python manage.py status")
            return
        watch([run.pk for run in runs], console)
        self.report([run.pk for run in runs], console, as_json=options["json"])

    def accept(self, targets: list[str], options: Json, console: Console) -> None:
        removed = sum(accept_missing(known_source(target, options)) for target in targets)
        console.print(f"{removed} missing pages leave the index.")
        wake(console)

    def estimate(self, targets: list[str], options: Json, console: Console) -> None:
        """Every target is looked at, and one that cannot be is a failure of the command only at its end."""
        bad = 0
        for target in targets:
            try:
                figures = estimate(spec_for(target, options))
            except (CommandError, IngestionError, OSError) as error:
                figures, bad = {"target": target, "error": str(error)}, bad + 1
            self.stdout.write(json.dumps(figures) if options["json"] else "\n".join(estimate_lines(figures)))
        if bad:
            sys.exit(1)

    def report(self, run_ids: list[int], console: Console, *, as_json: bool) -> None:
        figures = summary(run_ids)
        self.stdout.write(json.dumps(figures) if as_json else sentence(figures))
        if spared := saved_sentence(figures["saved"]):
            console.print(f"Saved: {spared}.", markup=False, highlight=False)
        for line in failures(run_ids):
            console.print(line, style="red", markup=False, highlight=False)
        unfinished = Run.objects.filter(id__in=run_ids, state__in=(Run.State.FAILED, Run.State.HELD))
        if figures["failed"] or unfinished.exists():
            sys.exit(1)


def expand(targets: list[str]) -> Iterator[str]:
    """Targets, with @files replaced by their lines (empty lines and # comments skipped)."""
    for target in targets:
        if not target.startswith("@"):
            yield target
            continue
        try:
            lines = Path(target[1:]).read_text().splitlines()
        except OSError as error:
            raise CommandError(f"{target}: {error.strerror}. @ names a text file with one target per line.") from error
        yield from (line.strip() for line in lines if line.strip() and not line.startswith("#"))


def unique(targets: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(targets))


def wake(console: Console) -> None:
    try:
        tasks.wake()
    except IngestionError as error:
        console.print(f"[yellow]{error}[/yellow]")


def identify(target: str, options: Json) -> tuple[str, str]:
    """Kind and normal form of a target."""
    try:
        kind = options["kind"] or detect_kind(target)
        return kind, normalise(kind, target)
    except IngestionError as error:
        raise CommandError(str(error)) from error


def settings_given(options: Json) -> Json:
    """The source's fields that the command line names."""
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
    }
    return {field: value for field, value in given.items() if value is not None}


def source_for(target: str, options: Json) -> Source:
    """The source of this target, made or brought up to date with the options given."""
    kind, target = identify(target, options)
    changes = settings_given(options)
    source, _ = Source.objects.update_or_create(
        kind=kind, target=target, defaults=changes, create_defaults={"name": target[:200], **changes}
    )
    if source.deleting:
        raise CommandError(f"{target} is being deleted; try again in a minute.")
    return source


def known_source(target: str, options: Json) -> Source:
    kind, target = identify(target, options)
    source = Source.objects.filter(kind=kind, target=target).first()
    if source is None:
        raise CommandError(f"{target} has not been ingested; `manage.py status` shows the sources.")
    return source


def spec_for(target: str, options: Json) -> SourceSpec:
    """What the source would be, without a row."""
    kind, target = identify(target, options)
    return Source(kind=kind, target=target, **{k: v for k, v in settings_given(options).items() if k != "name"}).spec()


def estimate_lines(figures: Json) -> Iterator[str]:
    yield figures["target"]
    if "error" in figures:
        yield f"  cannot be ingested: {figures['error']}"
        return
    more = "" if figures["complete"] else " at least (links lead to more)"
    yield f"  pages    {figures['pages']}{more}; for example {', '.join(figures['examples'])}"
    yield f"  chunks   about {figures['chunks']}, {figures['tokens']} tokens, from {figures['sampled']} pages read"
    yield f"  minutes  about {figures['minutes']} ({figures['slowest']} is the slowest part)"
    for note in figures["notes"]:
        yield f"  note     {note}"
    yield f"  sample   {figures['sample']['title']}"
    yield from (f"           {line}" for line in figures["sample"]["text"].splitlines())


def watch(run_ids: list[int], console: Console) -> None:
    """A live display until no run is active. Ctrl-C stops watching, not the work."""
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started = time.monotonic()
    try:
        shown = (*columns, TextColumn("{task.fields[note]}"))
        with Progress(*shown, console=console, refresh_per_second=2, auto_refresh=console.is_terminal) as display:
            documents = display.add_task("documents", total=None, note="")
            chunks = display.add_task("chunks", total=None, note="")
            looked = time.monotonic()
            while (now := progress(run_ids))["active"]:
                pause = max(POLL_SECONDS, PAUSE_PER_LOOK * (time.monotonic() - looked))
                note = " ".join(now["notes"]) or now["retry"] or hint(now, time.monotonic() - started)
                display.update(documents, completed=now["documents_done"], total=now["documents"] or None)
                display.update(chunks, completed=now["chunks_done"], total=now["chunks"] or None, note=note)
                time.sleep(pause)
                looked = time.monotonic()
            display.update(documents, completed=now["documents_done"], total=now["documents"])
            display.update(chunks, completed=now["chunks_done"], total=now["chunks"])
    except KeyboardInterrupt:
        console.print("Stopped watching; the work goes on. See it with: python manage.py status")
        sys.exit(130)


def hint(now: Json, waited: float) -> str:
    idle = not now["documents_done"] and not now["chunks"]
    return "No worker has taken it up yet: is `manage.py up` running?" if idle and waited > HINT_SECONDS else ""


def sentence(figures: Json) -> str:
    rate = figures["tokens"] / figures["seconds"] if figures["seconds"] else 0
    return (
        f"{figures['documents']} documents: {figures['indexed']} indexed, {figures['unchanged']} unchanged, "
        f"{figures['duplicates']} duplicates, {figures['failed']} failed, {figures['missing']} missing, "
        f"{figures['gone']} gone; {figures['embedded']} chunks embedded, "
        f"{figures['reused']} reused, in {figures['seconds']} s ({rate:.0f} tokens/s)."
    )


def failures(run_ids: list[int]) -> Iterator[str]:
    """What was left out, then the first failures, each with its address and reason."""
    for run in Run.objects.filter(id__in=run_ids):
        yield from (f"{run.source}: {words} {example}".rstrip() for words, example in run.remarks.items())
        if run.error:
            yield f"{run.source}: {run.error}"
    failed = Document.objects.filter(run_id__in=run_ids, state__in=Document.UNSUCCESSFUL)
    for document in failed[:SHOWN_FAILURES]:
        yield f"{document.url}: {document.error}"
    if failed.count() > SHOWN_FAILURES:
        yield f"... and {failed.count() - SHOWN_FAILURES} more, in the admin under Documents."
