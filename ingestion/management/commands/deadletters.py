"""`manage.py deadletters`: records that could not be stored, and what to do with them."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingestion.buffer import dead_letters
from ingestion.exceptions import IngestionError
from ingestion.types import Json


class Command(BaseCommand):
    help = "Show records that could not be stored in Milvus, with the reason; put them back in line, or forget them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--requeue", action="store_true", help="put all of them back in line, for one more try")
        what.add_argument("--drop", action="store_true", help="forget all of them; their chunks were embedded again")
        parser.add_argument("--json", action="store_true", help="print an object instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["requeue"]:
                done: Json = {"requeued": dead_letters.requeue()}
            elif options["drop"]:
                done = {"dropped": dead_letters.drop()}
            else:
                done = {"records": [as_json(letter) for letter in dead_letters.buried()]}
        except IngestionError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(done) if options["json"] else "\n".join(lines(done)))


def as_json(letter: dead_letters.DeadLetter) -> Json:
    """Return what --json prints of a dead letter."""
    at = letter.buried_at.isoformat(timespec="seconds")
    return {"buried_at": at, "reason": letter.reason, "key": letter.key, "bytes": letter.size}


def lines(done: Json) -> list[str]:
    """Return for people what the object of --json says."""
    if "records" not in done:
        return [f"{number} records {what}" for what, number in done.items()]
    rows = [f"{r['buried_at']}  {r['key'] or '-':32}  {r['bytes']} bytes  {r['reason']}" for r in done["records"]]
    return rows or ["none"]
