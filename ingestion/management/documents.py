"""What `extract` and `chunk` share: targets in, one record or one readable part per document out."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from ingestion.pipeline.report.preview import Reading, read
from ingestion.types import Json

BROKEN_PIPE, INTERRUPTED = 141, 130  # what a shell reports of a program that the signal ended
TARGETS = (
    "TARGET is a file, a folder (all its documents), a web page (https://…), a sitemap's address, or another target "
    "that `ingest` takes. Without --json the text is printed for people, errors on standard error; with it a line of "
    "JSON per document and nothing else on standard output. Exits non-zero when a document failed. Files need no "
    "service and no database; web targets need Redis, which keeps the pace of requests."
)


class DocumentsCommand(BaseCommand):
    """Each subclass says what becomes of one document."""

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("targets", nargs="+", metavar="TARGET")
        parser.add_argument("--json", action="store_true", help="print a line of JSON per document")
        parser.add_argument("--include", action="append", default=[], metavar="GLOB", help="only these (repeatable)")
        parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="never these (repeatable)")
        parser.add_argument("--max-pages", type=int, default=0, metavar="N", help="at most this many per target")

    def handle(self, *args: Any, targets: list[str], **options: Any) -> None:
        try:
            failed = self.print_all(targets, options)
            self.stdout.flush()
        except BrokenPipeError:  # the reader has seen enough; nothing may be flushed into its closed end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(BROKEN_PIPE)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        if failed:
            sys.exit(1)

    def print_all(self, targets: list[str], options: Json) -> int:
        """Returns how many documents failed."""
        globs = {name: tuple(options[name]) for name in ("include", "exclude")}
        failed = seen = 0
        for reading in read(targets, max_pages=options["max_pages"], **globs):
            seen, failed = seen + 1, failed + bool(reading.error)
            self.print_one(reading, as_json=options["json"])
        if not seen:
            self.stderr.write("The targets hold no documents: check --include and --exclude.")
        return failed if seen else 1

    def print_one(self, reading: Reading, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(self.record(reading)))
        elif reading.extracted is None:
            self.stderr.write(f"{printable(reading.target)}: {reading.error}")
        else:
            self.stdout.write(f"{rule(printable(reading.target))}\n\n{self.shown(reading)}\n")
        self.stdout.flush()

    def record(self, reading: Reading) -> Json:
        raise NotImplementedError

    def shown(self, reading: Reading) -> str:
        raise NotImplementedError


def printable(target: str) -> str:
    """File names may hold bytes that are no text."""
    return target.encode("utf-8", "replace").decode()


def rule(words: str) -> str:
    return f"── {words} ".ljust(100, "─")
