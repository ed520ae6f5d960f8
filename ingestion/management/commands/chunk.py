"""`manage.py chunk TARGET...`: the pieces that the model gets to read of documents."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from ingestion.exceptions import ModelError
from ingestion.management.documents import TARGETS, DocumentsCommand, rule
from ingestion.pipeline.report.preview import Reading, cut
from ingestion.types import Json, TextChunk


class Command(DocumentsCommand):
    help = (
        "Show the chunks of documents: start and end in the text that `extract` shows, heading path, tokens as the "
        f"model counts them. {TARGETS}"
    )

    def handle(self, *args: Any, targets: list[str], **options: Any) -> None:
        try:
            super().handle(*args, targets=targets, **options)
        except ModelError as error:
            hint = " Run: python manage.py standin_model" if settings.EMBED_MODEL == settings.STAND_IN else ""
            raise CommandError(f"{error}{hint}") from error

    def record(self, reading: Reading) -> Json:
        pieces = cut(reading.extracted) if reading.extracted else []
        return {
            "target": reading.target,
            "chunks": [as_record(piece) for piece in pieces],
            "error": reading.error or None,
        }

    def shown(self, reading: Reading) -> str:
        pieces = cut(reading.extracted) if reading.extracted else []
        return "\n\n".join(f"{heading_of(number, piece)}\n{piece.text}" for number, piece in enumerate(pieces, 1))


def as_record(piece: TextChunk) -> Json:
    return {
        "start": piece.start,
        "end": piece.end,
        "heading": piece.heading,
        "tokens": piece.tokens,
        "text": piece.text,
    }


def heading_of(number: int, piece: TextChunk) -> str:
    return rule(f"{number} · {piece.tokens} tokens · {piece.heading}")
