"""`manage.py context`: what CONTEXT_MODEL means for the chunks that are stored already, and making it so."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ingestion.exceptions import BufferUnavailable
from ingestion.pipeline.describe.changes import Changes, apply, changes
from ingestion.tasks import wake


class Command(BaseCommand):
    help = (
        "Show what CONTEXT_MODEL, as it is set now, would change of the chunks that are stored: sentences to ask for, "
        "chunks to embed again. New chunks need no command."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--apply", action="store_true", help="do it; the workers go on by themselves")
        parser.add_argument("--retry", action="store_true", help="also chunks without a sentence because of an error")
        parser.add_argument("--json", action="store_true", help="print an object instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        found = changes(retry=options["retry"])
        if options["apply"]:
            apply(retry=options["retry"])
            try:
                wake()
            except BufferUnavailable as error:
                self.stderr.write(str(error))
        self.stdout.write(json.dumps(asdict(found)) if options["json"] else "\n".join(lines(found, options["apply"])))


def lines(found: Changes, applied: bool) -> Iterator[str]:
    """Yield what is printed without --json."""
    model = settings.CONTEXT_MODEL
    yield f"CONTEXT_MODEL is {model}." if model else "CONTEXT_MODEL is empty: chunks have no sentence of context."
    if not found.embedded:
        yield f"All {found.chunks} chunks are as it says."
        return
    if model:
        yield f"Sentences to ask for: {found.asked}, for which it reads at most about {found.asked_tokens} tokens."
    yield f"Chunks to embed again: {found.embedded} of {found.chunks}, {found.embedded_tokens} tokens."
    left = f"`manage.py {'context' if model else 'status'}` shows what is left"
    yield f"It has begun; {left}." if applied else "`manage.py context --apply` does it."
