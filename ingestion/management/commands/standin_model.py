"""`manage.py standin_model`: assemble the small model that the demo and the tests use."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ingestion.embedding.stand_in_model import assemble


class Command(BaseCommand):
    help = "Assemble the stand-in for BGE-M3 (MiniLM, English, 384 dimensions) in DATA_DIR/models."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--corpus", type=Path, help="a folder of .txt, .md, .rst or .html files to weigh words by")

    def handle(self, *args: Any, corpus: Path | None, **options: Any) -> None:
        target = Path(settings.DATA_DIR) / "models" / settings.STAND_IN
        written = assemble(target, read_corpus(corpus))
        self.stderr.write(f"{'assembled' if written else 'already there:'} {target}")


def read_corpus(folder: Path | None) -> list[str]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise CommandError(f"--corpus {folder} is not a folder")
    kinds = {".txt", ".md", ".rst", ".html"}
    files = sorted(f for f in folder.rglob("*") if f.suffix in kinds)
    return [f.read_text(errors="replace") for f in files]
