"""`manage.py extract TARGET...`: the Markdown that documents become before they are cut into chunks."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from ingestion.management.documents import TARGETS, DocumentsCommand
from ingestion.pipeline.report.preview import Reading
from ingestion.types import Extracted, Json


class Command(DocumentsCommand):
    help = f"Show what documents become: their title and their text as Markdown. {TARGETS}"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--explain", action="store_true", help="also tell which rules left out how many words")

    def handle(self, *args: Any, targets: list[str], **options: Any) -> None:
        self.explain = options["explain"]
        super().handle(*args, targets=targets, **options)

    def record(self, reading: Reading) -> Json:
        """Return the document's title and Markdown as --json prints them."""
        extracted = reading.extracted or Extracted("", "")
        return {
            "target": reading.target,
            "title": extracted.title,
            "markdown": extracted.markdown,
            "error": reading.error or None,
            **({"dropped": [asdict(each) for each in extracted.dropped]} if self.explain else {}),
        }

    def shown(self, extracted: Extracted) -> str:
        """Return the document's Markdown, and with --explain the words that are not in it."""
        if not self.explain:
            return extracted.markdown
        dropped = [f"{each.words:>7,} words, {each.rule}: {each.sample}" for each in extracted.dropped]
        return "\n".join([extracted.markdown, "", "Left out:", *(dropped or ["      nothing"])])
