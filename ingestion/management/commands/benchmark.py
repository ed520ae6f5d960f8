"""`manage.py benchmark embed|ingest|query`: measure the embedder, the whole pipeline or questions on this machine."""

from __future__ import annotations

import json
import signal
import sys
from argparse import ArgumentParser
from importlib import import_module
from types import ModuleType
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from ingestion.exceptions import IngestionError


def parts() -> dict[str, ModuleType]:
    """Return the benchmarks of all applications by name; only this command needs the libraries that they import."""
    named = (getattr(app, "benchmarks", {}) for app in apps.get_app_configs())
    return {name: import_module(path) for each in named for name, path in each.items()}


class Command(BaseCommand):
    help = "Measure the embedder, the whole pipeline beside a naive one and the embedder alone, or questions."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        choices = parser.add_subparsers(dest="part", required=True)
        for name, part in parts().items():
            first_line = (part.__doc__ or "").partition("\n")[0]
            chosen = choices.add_parser(name, help=first_line.partition(": ")[2])
            part.add_arguments(chosen)
            chosen.add_argument("--json", action="store_true", help="print the figures as one JSON object")

    def handle(self, *args: Any, part: str, **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # which stops what was started, as Ctrl-C does
        measured = parts()[part]
        try:
            figures = measured.run(options, self.say)
        except IngestionError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.say("Stopped; what was started is gone.")
            sys.exit(130)
        if options["json"]:
            self.stdout.write(json.dumps(figures))
        else:
            Console().print(*measured.table(figures))

    def say(self, text: str) -> None:
        """Print progress on standard error."""
        self.stderr.write(text)
        self.stderr.flush()
