"""`manage.py search QUESTION`: ranked passages with their scores."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from ingestion.exceptions import IngestionError
from ragproject.commands import VersionedCommand
from search.access.caller import OPERATOR
from search.exceptions import SearchError
from search.forms import MODES, read_question
from search.questions import Passage, other_texts
from search.retrieval.retriever import retrieve
from search.timings import Timings

LIMIT = 10
SHOWN_CHARS = 300


class Command(VersionedCommand):
    help = "Find the passages that answer a question."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("question")
        parser.add_argument("--limit", type=int, default=LIMIT, help=f"passages to show ({LIMIT})")
        parser.add_argument("--source", default="", help="the name of the one source to search")
        parser.add_argument("--version", default="", help="of the product, or all (default: the newest)")
        parser.add_argument("--path", default="", help="only pages below this address or path")
        parser.add_argument("--mode", choices=MODES, default=MODES[0])
        parser.add_argument("--json", action="store_true", help="one JSON list on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        fields = {"q": options["question"], **{k: options[k] for k in ("limit", "source", "version", "path", "mode")}}
        try:
            passages = retrieve(read_question(fields, OPERATOR, limit=LIMIT), Timings())
        except (SearchError, IngestionError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps([p.as_row() for p in passages]))
        else:
            if others := other_texts(passages):
                self.stdout.write(f"{others}\n")
            self.stdout.write("\n\n".join(map(shown, passages)) or "Nothing found.")


def shown(passage: Passage) -> str:
    """Return a passage for people: its score, place and address, and the beginning of its text."""
    place = " › ".join(filter(None, [passage.title, passage.section]))
    text = " ".join(passage.text.split())
    excerpt = text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"
    version = f" ({passage.version})" if passage.version else ""
    copies = "".join(f"\n        also in {c.version or c.source}: {c.url}" for c in passage.copies)
    return f"{passage.score:.4f}  {place}{version}\n        {passage.url}{copies}\n        {excerpt}"
