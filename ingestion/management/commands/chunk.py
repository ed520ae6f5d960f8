"""`manage.py chunk TARGET...`: the chunks of documents, which is what the model gets to read."""

from __future__ import annotations

from ingestion.management.documents import TARGETS, DocumentsCommand, rule
from ingestion.pipeline.report.preview import Reading, split_into_chunks
from ingestion.types import Extracted, Json


class Command(DocumentsCommand):
    help = (
        "Show the chunks of documents: start and end in the text that `extract` shows, heading path, tokens as the "
        f"model counts them. {TARGETS}"
    )

    def record(self, reading: Reading) -> Json:
        """Return the document's chunks as --json prints them."""
        chunks = [
            {
                "start": chunk.start,
                "end": chunk.end,
                "heading": chunk.heading,
                "tokens": chunk.tokens,
                "text": chunk.shown,
            }
            for chunk in (split_into_chunks(reading.extracted) if reading.extracted else ())
        ]
        return {"target": reading.target, "chunks": chunks, "error": reading.error or None}

    def shown(self, extracted: Extracted) -> str:
        """Return the document's chunks as people read them."""
        chunks = enumerate(split_into_chunks(extracted), 1)
        return "\n\n".join(
            f"{rule(f'{number} · {chunk.tokens} tokens · {chunk.heading}')}\n{chunk.shown}" for number, chunk in chunks
        )
