"""`manage.py restore FILE`: what `backup` saved, in the place of what is there."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ingestion.backup.load import load
from ingestion.exceptions import IngestionError
from ragproject.embedded.backends import backends_running
from ragproject.embedded.console import Console
from ragproject.embedded.preflight import StackError, migrate
from ragproject.embedded.restarts import stack_runs


class Command(BaseCommand):
    help = "Put a backup's rows, uploads and vectors in the place of what is there. Nothing else may run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a file that `manage.py backup` wrote")
        parser.add_argument("--yes", action="store_true", help="replace the rows that there are")

    def handle(self, *args: Any, **options: Any) -> None:
        if stack_runs(settings.DATA_DIR):
            raise CommandError(f"A stack runs on {settings.DATA_DIR}. Stop it (Ctrl-C), then restore.")
        console = Console(colour=False)
        try:
            with backends_running(console):
                migrate(console)
                done, report = load(options["file"], replace=options["yes"], progress=self.stdout.write)
        except (IngestionError, StackError) as error:
            raise CommandError(str(error)) from error
        left = f"{report.missing} chunks are embedded again" if report and report.missing else "nothing is missing"
        self.stdout.write(f"Restored the backup of {done.made_at}; {left}. Start with: python manage.py up")
