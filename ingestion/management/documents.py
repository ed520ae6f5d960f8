"""The base of the commands `extract` and `chunk`: targets in, one record or one readable part per document out."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingestion.exceptions import ModelError
from ingestion.management.targets import count
from ingestion.pipeline.report.preview import Reading, read
from ingestion.types import Extracted, Json

BROKEN_PIPE, INTERRUPTED = 141, 130  # what a shell reports of a program that the signal ended
TARGETS = (
    "TARGET is a file, a folder (all its documents), a web page (https://…), a sitemap's address, or another target "
    "that `ingest` takes. Without --json the text is printed for people, errors on standard error; with it a line of "
    "JSON per document and nothing else on standard output. Exits non-zero when a document failed. Files need no "
    "service and no database; web targets need Redis, which keeps the pace of requests."
)


class DocumentsCommand(BaseCommand):
    """A command that prints documents; a subclass says what of each."""

    requires_system_checks = ()

    def record(self, reading: Reading) -> Json:
        """Return the object that --json prints of a document, readable or not."""
        raise NotImplementedError

    def shown(self, extracted: Extracted) -> str:
        """Return what people read of a document."""
        raise NotImplementedError

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("targets", nargs="+", metavar="TARGET")
        parser.add_argument("--json", action="store_true", help="print a line of JSON per document")
        parser.add_argument("--include", action="append", default=[], metavar="GLOB", help="only these (repeatable)")
        parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="never these (repeatable)")
        parser.add_argument("--max-pages", type=count, default=0, metavar="N", help="at most this many per target")

    def handle(self, *args: Any, targets: list[str], **options: Any) -> None:
        include, exclude = tuple(options["include"]), tuple(options["exclude"])
        failed = seen = 0
        try:
            for reading in read(targets, include=include, exclude=exclude, max_pages=options["max_pages"]):
                seen, failed = seen + 1, failed + bool(reading.error)
                self.print_document(reading, as_json=options["json"])
        except BrokenPipeError:  # the reader has seen enough; nothing may be flushed into its closed end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(BROKEN_PIPE)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except ModelError as error:  # no chunks without the model's tokenizer
            raise CommandError(str(error)) from error
        if not seen:
            self.stderr.write("The targets hold no documents: check --include and --exclude.")
        if failed or not seen:
            sys.exit(1)

    def print_document(self, reading: Reading, *, as_json: bool) -> None:
        """Print a document, or why it could not be read."""
        name = reading.target.encode("utf-8", "replace").decode()  # file names may hold bytes that are no text
        if as_json:
            self.stdout.write(json.dumps(self.record(reading)))
        elif reading.extracted is None:
            self.stderr.write(f"{name}: {reading.error}")
        else:
            self.stdout.write(f"{rule(name)}\n\n{self.shown(reading.extracted)}\n")
        self.stdout.flush()


def rule(words: str) -> str:
    """Return a line across the screen that begins with these words."""
    return f"── {words} ".ljust(100, "─")
