"""`manage.py extract TARGET...`: the Markdown that documents become before they are cut into chunks."""

from __future__ import annotations

from ingestion.management.documents import TARGETS, DocumentsCommand
from ingestion.pipeline.report.preview import Reading
from ingestion.types import Extracted, Json


class Command(DocumentsCommand):
    help = f"Show what documents become: their title and their text as Markdown. {TARGETS}"

    def record(self, reading: Reading) -> Json:
        """Return the document's title and Markdown as --json prints them."""
        extracted = reading.extracted or Extracted("", "")
        return {
            "target": reading.target,
            "title": extracted.title,
            "markdown": extracted.markdown,
            "error": reading.error or None,
        }

    def shown(self, extracted: Extracted) -> str:
        """Return the document's Markdown."""
        return extracted.markdown
