"""`manage.py backup FILE`: rows, uploads and vectors in one file, also while everything works."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingestion.backup.save import save
from ingestion.exceptions import IngestionError
from ragproject.embedded.backends import backends_running
from ragproject.embedded.console import Console
from ragproject.embedded.preflight import StackError


class Command(BaseCommand):
    help = "Write rows, uploads and vectors into one file, also while everything works. Keep the secret key apart."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a new file, such as backup.zip; nobody else may read it")
        parser.add_argument("--without-vectors", action="store_true", help="smaller; a restore embeds everything again")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with backends_running(Console(colour=False)):
                done = save(options["file"], with_vectors=not options["without_vectors"])
        except (IngestionError, StackError) as error:
            raise CommandError(str(error)) from error
        size = options["file"].stat().st_size / 2**20
        rows = sum(done.rows.values())
        self.stdout.write(
            f"{options['file']}: {rows} rows, {done.uploads} uploaded files, {done.vectors} vectors, {size:.1f} MiB"
        )
