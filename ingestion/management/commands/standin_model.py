"""`manage.py standin_model`: assemble the small model that the demo and the tests use."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ingestion.embedding.stand_in_model import assemble

SUFFIXES = {".txt", ".md", ".rst", ".html"}


class Command(BaseCommand):
    help = "Assemble the stand-in for BGE-M3 (MiniLM, English, 384 dimensions) in DATA_DIR/models."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--corpus", type=Path, help="a folder of .txt, .md, .rst or .html files to weigh words by")

    def handle(self, *args: Any, corpus: Path | None, **options: Any) -> None:
        target = Path(settings.DATA_DIR) / "models" / settings.STAND_IN
        if corpus and not corpus.is_dir():
            raise CommandError(f"--corpus {corpus} is not a folder")
        files = sorted(file for file in corpus.rglob("*") if file.suffix in SUFFIXES) if corpus else []
        written = assemble(target, [file.read_text(errors="replace") for file in files])
        self.stderr.write(f"{'assembled' if written else 'already there:'} {target}")
