"""`manage.py extract TARGET...`: what documents become before they are cut: Markdown."""

from __future__ import annotations

from ingestion.management.documents import TARGETS, DocumentsCommand
from ingestion.pipeline.report.preview import Reading
from ingestion.types import Json


class Command(DocumentsCommand):
    help = f"Show what documents become: their title and their text as Markdown. {TARGETS}"

    def record(self, reading: Reading) -> Json:
        extracted = reading.extracted
        return {
            "target": reading.target,
            "title": extracted.title if extracted else "",
            "markdown": extracted.markdown if extracted else "",
            "error": reading.error or None,
        }

    def shown(self, reading: Reading) -> str:
        return reading.extracted.markdown if reading.extracted else ""
